//! What a server's sessions have in common: certificates, suites, tickets, client verification.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, UnbufferedServerConnection};
pub use rustls::server::{ProducesTickets, StoresServerSessions};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::certificate::Pair;
use crate::ciphers::Offer;
use crate::compression::Zlib;
use crate::error::TlsError;
use crate::exporter::SecretLog;
use crate::handshake_store::HandshakeStore;
use crate::key_log::KeyLog;
use crate::session::{Established, RECORD, ServerSession, Session};
use crate::signatures;
use crate::tickets::Context;
use crate::verify::{ClientVerifier, Verdict};

/// Everything that can be chosen for a server; what is left out is off.
pub struct Options {
    /// Protocols, suites and groups.
    pub offer: Offer,
    /// Certificates with their keys, one per kind of key; the client's first choice among them is taken.
    pub pairs: Vec<Pair>,
    /// Protocols for ALPN, the server's first choice first.
    pub alpn: Vec<Vec<u8>>,
    /// Take the first suite of the server's list instead of the client's (`ssl_prefer_server_ciphers`).
    pub server_order: bool,
    /// Makes session tickets (`ssl_session_tickets`).
    pub tickets: Option<Arc<dyn ProducesTickets>>,
    /// Keeps sessions (`ssl_session_cache`).
    pub store: Option<Arc<dyn StoresServerSessions>>,
    /// Asks clients for certificates.
    pub clients: Option<Arc<ClientVerifier>>,
    /// How many bytes of early data are taken; works with `store` and without `tickets` only.
    pub early_data: u32,
    /// Certificates are sent compressed to clients that take it (`ssl_certificate_compression`).
    pub compresses: bool,
    /// Told the secrets of each session (`ssl_key_log`).
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// The longest plaintext in a record (`ssl_buffer_size`).
    pub record: usize,
    /// What sessions belong to, and for how many seconds they are good, where code keeps them.
    pub sessions: Option<(Context, u64)>,
}

impl Options {
    /// The least: an offer and certificates.
    #[must_use]
    pub fn new(offer: Offer, pairs: Vec<Pair>) -> Self {
        Self {
            offer,
            pairs,
            alpn: Vec::new(),
            server_order: false,
            tickets: None,
            store: None,
            clients: None,
            early_data: 0,
            compresses: false,
            key_log: None,
            record: RECORD,
            sessions: None,
        }
    }
}

/// What a server's sessions are made from. Cheap to clone; immutable.
#[derive(Debug, Clone)]
pub struct Settings {
    config: Arc<ServerConfig>,
    versions: Arc<[&'static SupportedProtocolVersion]>,
    every_version: Arc<CryptoProvider>,
    pairs: Arc<[Pair]>,
    clients: Option<Arc<ClientVerifier>>,
    record: usize,
    sessions: Option<(Context, u64)>,
}

impl Settings {
    /// Settings from options.
    ///
    /// # Errors
    /// When suites and protocols of the offer do not go together.
    pub fn new(options: Options) -> Result<Self, TlsError> {
        let Options { offer, pairs, alpn, server_order, tickets, store, clients, early_data, compresses, key_log, record, sessions } =
            options;
        let mut config = config(offer.provider, &offer.versions, clients.as_ref())?;
        let pairs: Arc<[Pair]> = pairs.into();
        config.cert_resolver = Arc::new(Resolver::new(&pairs));
        config.alpn_protocols = alpn;
        config.ignore_client_order = server_order;
        if tickets.is_none() && store.is_none() {
            config.send_tls13_tickets = 0;
        }
        if tickets.is_none() {
            config.max_early_data_size = early_data;
        }
        config.session_storage = store.unwrap_or_else(|| Arc::new(NoServerSessionStorage {}));
        if let Some(tickets) = tickets {
            config.ticketer = tickets;
        }
        if compresses {
            config.cert_compressors = vec![&Zlib];
        }
        config.key_log = Arc::new(SecretLog(key_log));
        Ok(Self {
            config: Arc::new(config),
            versions: offer.versions.into(),
            every_version: offer.every_version,
            pairs,
            clients,
            record,
            sessions,
        })
    }

    /// The same with other suites and versions, or with other clients.
    fn rebuilt(
        &self,
        provider: Arc<CryptoProvider>,
        versions: Arc<[&'static SupportedProtocolVersion]>,
        clients: Option<Arc<ClientVerifier>>,
    ) -> Result<Self, TlsError> {
        let old = &*self.config;
        let mut config = config(provider, &versions, clients.as_ref())?;
        config.ignore_client_order = old.ignore_client_order;
        config.session_storage.clone_from(&old.session_storage);
        config.ticketer.clone_from(&old.ticketer);
        config.cert_resolver.clone_from(&old.cert_resolver);
        config.alpn_protocols.clone_from(&old.alpn_protocols);
        config.key_log.clone_from(&old.key_log);
        config.max_early_data_size = old.max_early_data_size;
        config.send_tls13_tickets = old.send_tls13_tickets;
        config.cert_compressors.clone_from(&old.cert_compressors);
        config.cert_compression_cache.clone_from(&old.cert_compression_cache);
        Ok(Self { config: Arc::new(config), versions, clients, ..self.clone() })
    }

    /// The same in the versions whose numbers `keep` likes, configured or not, as far as it has cipher suites for them.
    ///
    /// # Errors
    /// None remains.
    pub fn with_versions(&self, keep: impl Fn(u16) -> bool) -> Result<Self, TlsError> {
        let suites = &self.every_version.cipher_suites;
        let usable = |version: &&'static SupportedProtocolVersion| suites.iter().any(|suite| suite.version() == *version);
        let versions = rustls::ALL_VERSIONS.iter().copied().filter(|version| keep(version.version.into()));
        let versions: Arc<[_]> = versions.filter(usable).collect();
        if versions.is_empty() {
            return Err(TlsError::NO_PROTOCOLS);
        }
        self.rebuilt(self.every_version.clone(), versions, self.clients.clone())
    }

    /// The same, asking for a certificate of clients that `clients` verifies.
    ///
    /// # Errors
    /// As [`Settings::new`].
    pub fn with_clients(&self, clients: Arc<ClientVerifier>) -> Result<Self, TlsError> {
        self.rebuilt(self.config.crypto_provider().clone(), self.versions.clone(), Some(clients))
    }

    /// The version that is spoken with a client that offers these.
    #[must_use]
    pub fn version(&self, offered: impl IntoIterator<Item = u16>) -> Option<u16> {
        offered.into_iter().filter(|number| self.versions.iter().any(|version| u16::from(version.version) == *number)).max()
    }

    /// The numbers of its cipher suites.
    pub fn suites(&self) -> impl Iterator<Item = u16> {
        self.config.crypto_provider().cipher_suites.iter().map(|suite| suite.suite().into())
    }

    /// Its certificates.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The verifier of clients' certificates.
    #[must_use]
    pub fn clients(&self) -> Option<&Arc<ClientVerifier>> {
        self.clients.as_ref()
    }

    /// Whether sessions are kept by clients.
    #[must_use]
    pub fn has_tickets(&self) -> bool {
        self.config.ticketer.enabled()
    }

    /// The same with other certificates: those of one connection (`ssl_certificate_by_lua*`, names with variables).
    #[must_use]
    pub fn with_pairs(&self, pairs: Vec<Pair>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        let pairs: Arc<[Pair]> = pairs.into();
        config.cert_resolver = Arc::new(Resolver::new(&pairs));
        Self { config: Arc::new(config), pairs, ..self.clone() }
    }

    /// The same with these protocols for ALPN, the server's first choice first.
    #[must_use]
    pub fn with_alpn(&self, alpn: Vec<Vec<u8>>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = alpn;
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// The same for one handshake whose session code fetches or stores.
    #[must_use]
    pub fn with_handed(&self) -> (Self, Arc<HandshakeStore>) {
        let mut config = ServerConfig::clone(&self.config);
        let below = config.session_storage.can_cache().then(|| config.session_storage.clone());
        let (context, lifetime) = self.sessions.unwrap_or_else(|| (Context::new([]), 0));
        let handed = Arc::new(HandshakeStore::new(context, lifetime, below));
        config.session_storage = handed.clone();
        (Self { config: Arc::new(config), ..self.clone() }, handed)
    }

    /// What QUIC's sessions are made from: either no early data is taken or any, since the transport limits it.
    pub(crate) fn quic_config(&self) -> Arc<ServerConfig> {
        if self.config.max_early_data_size == 0 {
            return self.config.clone();
        }
        let mut config = ServerConfig::clone(&self.config);
        config.max_early_data_size = u32::MAX;
        Arc::new(config)
    }

    /// A new session, which has seen no byte yet.
    ///
    /// # Errors
    /// When a session cannot be made from these settings.
    pub fn session(&self) -> Result<ServerSession, TlsError> {
        let mut session = Session::from_engine(UnbufferedServerConnection::new(self.config.clone())?, self.record);
        session.verifier.clone_from(&self.clients);
        Ok(session)
    }
}

fn config(
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Arc<ClientVerifier>>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        None => builder.with_no_client_auth(),
    };
    Ok(builder.with_cert_resolver(Arc::new(Resolver::new(&[]))))
}

impl ServerSession {
    /// What was found about the client's certificate: `None` when none was asked for or none came. Computed once.
    pub fn verdict(&mut self) -> Option<&Verdict> {
        if self.verdict.is_none() && !self.is_handshaking() {
            let found = self.verifier.as_ref().and_then(|clients| clients.verify(self.peer_chain()));
            self.verdict = found;
        }
        self.verdict.as_ref()
    }

    /// What the handshake found.
    pub fn established(&mut self) -> Established {
        let verdict = self.verdict().copied();
        let mut found = Established::of(self.common());
        (found.signed, found.exporter, found.verdict) = (self.signed(), self.take_exporter(), verdict);
        found.early = self.is_early();
        found
    }
}

/// A record that holds nothing but a fatal alert, for a handshake that is refused before a session exists: 112 is
/// unrecognized_name (`ssl_reject_handshake`), 80 internal_error.
#[must_use]
pub const fn alert_record(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// Certificates to choose from.
#[derive(Debug)]
struct Resolver {
    keys: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    fn new(pairs: &[Pair]) -> Self {
        Self { keys: pairs.iter().map(|pair| pair.key.clone()).collect() }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fits = |scheme| self.keys.iter().find(|key| key.key.choose_scheme(&[scheme]).is_some());
        let chosen = schemes.iter().find_map(|scheme| fits(*scheme))?;
        if let Some(signer) = chosen.key.choose_scheme(schemes) {
            signatures::note_own(signer.scheme());
        }
        Some(chosen.clone())
    }
}
