//! What a client's sessions have in common: suites, its certificate, trusted authorities.

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use crate::certificate::{CertificateDer, Pair};
use crate::chooser::{self, CertificateChooser};
use crate::ciphers::Offer;
use crate::error::TlsError;
use crate::key_log::KeyLog;
use crate::resume::{SessionOrigin, Slot};
use crate::session::{ClientSession, RECORD, Session};
use crate::verify::{ServerVerifier, Verdict};

/// Everything that can be chosen for a client.
pub struct Options {
    /// Protocols, suites and groups.
    pub offer: Offer,
    /// The client's own certificate (`proxy_ssl_certificate`).
    pub pair: Option<Pair>,
    /// Protocols for ALPN.
    pub alpn: Vec<Vec<u8>>,
    /// Verifies the server's chain; without it there is no verdict.
    pub servers: Option<Arc<ServerVerifier>>,
    /// Told the secrets of each session (`proxy_ssl_key_log`).
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl Options {
    /// The least: an offer. Nothing is verified.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self { offer, pair: None, alpn: Vec::new(), servers: None, key_log: None }
    }
}

/// What a client's sessions are made from. Cheap to clone; immutable. A session is only resumed with the settings it was
/// made with, or with clones of them.
#[derive(Debug, Clone)]
pub struct Settings {
    config: Arc<ClientConfig>,
    servers: Option<Arc<ServerVerifier>>,
}

impl Settings {
    /// Settings from options.
    ///
    /// # Errors
    /// When suites and protocols of the offer do not go together.
    pub fn new(options: Options) -> Result<Self, TlsError> {
        let Options { offer, pair, alpn, servers, key_log } = options;
        let builder = ClientConfig::builder_with_provider(offer.provider).with_protocol_versions(&offer.versions)?;
        let verifier = servers.clone().unwrap_or_else(|| Arc::new(ServerVerifier::unverified()));
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match pair {
            Some(pair) => builder.with_client_cert_resolver(Arc::new(ClientCertificate(Some(pair.key)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn;
        config.resumption = Resumption::disabled();
        if let Some(key_log) = key_log {
            config.key_log = key_log;
        }
        Ok(Self { config: Arc::new(config), servers })
    }

    /// The same with another client certificate.
    #[must_use]
    pub(crate) fn with_pair(&self, pair: Option<Pair>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(ClientCertificate(pair.map(|pair| pair.key)));
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// The same with other protocols for ALPN.
    #[must_use]
    pub fn with_alpn(&self, alpn: Vec<Vec<u8>>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = alpn;
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// The verifier of servers.
    #[must_use]
    pub fn servers(&self) -> Option<&Arc<ServerVerifier>> {
        self.servers.as_ref()
    }

    /// The same with another server verifier. Sessions made with others are not resumed.
    #[must_use]
    pub fn with_servers(&self, servers: Arc<ServerVerifier>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.dangerous().set_certificate_verifier(servers.clone());
        Self { config: Arc::new(config), servers: Some(servers) }
    }

    /// The same for one session in which `chooser` chooses the certificate. It cannot be resumed: what was chosen for one is
    /// not for the next.
    #[must_use]
    pub fn with_chooser(&self, chooser: Arc<dyn CertificateChooser>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        chooser::install(&mut config, chooser);
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// A new session; [`Session::receive`] without bytes starts its handshake. `name` is sent as SNI if it is a host name;
    /// what the certificate has to be for is asked later, in [`ClientSession::verdict`]. `slot` gives what a session can
    /// be resumed by and takes what the server gives.
    ///
    /// # Errors
    /// When a session cannot be made from these settings.
    pub fn session(&self, name: Option<&str>, slot: Option<Arc<Slot>>) -> Result<ClientSession, TlsError> {
        let sent = name.map(|name| name.strip_suffix('.').unwrap_or(name)).and_then(|name| ServerName::try_from(name).ok());
        let origin = SessionOrigin { slot: slot.clone(), verdict: None };
        let mut config = self.config.clone();
        if slot.is_some() || !matches!(sent, Some(ServerName::DnsName(_))) {
            let own = Arc::make_mut(&mut config);
            own.enable_sni = matches!(sent, Some(ServerName::DnsName(_)));
            if let Some(slot) = slot {
                own.resumption = Resumption::store(slot);
            }
        }
        let unnamed = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let name = sent.map_or(unnamed, |name| name.to_owned());
        let mut session = Session::from_engine(UnbufferedClientConnection::new(config, name)?, RECORD);
        session.verifier.clone_from(&self.servers);
        session.origin = origin;
        Ok(session)
    }
}

impl ClientSession {
    /// What was found about the server's chain, `name` included: `None` while the handshake goes on or nothing verifies. The same
    /// question is answered from memory.
    pub fn verdict(&mut self, name: Option<&str>) -> Option<Verdict> {
        if self.is_handshaking() {
            return None;
        }
        if let Some((asked, found)) = &self.origin.verdict
            && asked.as_deref() == name
        {
            return Some(*found);
        }
        let found = self.verifier.as_ref().map(|servers| servers.verify(self.peer_chain(), name))?;
        self.origin.verdict = Some((name.map(Into::into), found));
        Some(found)
    }

    /// As [`ClientSession::verdict`], but by `servers`: a connection that is used again may have been made for others.
    pub fn verdict_by(&mut self, servers: Option<&Arc<ServerVerifier>>, name: Option<&str>) -> Option<Verdict> {
        match (servers, &self.verifier) {
            (Some(servers), Some(own)) if !Arc::ptr_eq(servers, own) && !self.is_handshaking() => {
                Some(servers.verify(self.peer_chain(), name))
            }
            _ => self.verdict(name),
        }
    }

    /// What a later session can be resumed by, if this one was made to fill something.
    #[must_use]
    pub fn slot(&self) -> Option<&Arc<Slot>> {
        self.origin.slot.as_ref()
    }
}

/// Settings with other certificates, by those: a session is only resumed with the settings it was made with.
#[derive(Debug)]
pub struct Variants {
    /// Oldest first.
    configs: VecDeque<(Vec<CertificateDer<'static>>, Settings)>,
    limit: usize,
}

impl Variants {
    /// None yet; at most `limit` are kept, the oldest goes first.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { configs: VecDeque::new(), limit: limit.max(1) }
    }

    /// `base`, always the same, with another client certificate.
    pub fn get(&mut self, base: &Settings, pair: Pair) -> Settings {
        if let Some((_, settings)) = self.configs.iter().find(|(chain, _)| chain == pair.certificates()) {
            return settings.clone();
        }
        if self.configs.len() >= self.limit {
            self.configs.pop_front();
        }
        let chain = pair.certificates().to_vec();
        let settings = base.with_pair(Some(pair));
        self.configs.push_back((chain, settings.clone()));
        settings
    }
}

/// A client's own certificate, if it has one, shown to every server that asks.
#[derive(Debug)]
struct ClientCertificate(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone().filter(|own| own.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
