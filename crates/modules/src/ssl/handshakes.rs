//! Selection for one client: certificates by server name, protocols for ALPN.

use super::Named;
use super::ocsp_check::OcspCheck;
use super::stapling::Stapling;
use super::watch::Watch;
use base::clock;
use base::log::Level;
use session::tls::{ClientHello, HandshakeStep, Handshakes, Rejection, Revocation, Secured, UNRECOGNIZED_NAME};
use session::{BoxFuture, Complex, Worker};
use std::cell::{Cell, RefCell};
use std::iter::repeat;
use std::rc::Rc;
use tls::certificate::cache::Cache;
use tls::certificate::{CertificateDer, LoadError, Pair};
use tls::error::TlsError;
use tls::files::Files;
use tls::server::Settings;

/// The extension by which clients ask for what is stapled (RFC 6066, 8).
const STATUS_REQUEST: u16 = 5;
/// `internal_error` (RFC 8446, 6.2).
const INTERNAL_ERROR: u8 = 80;

/// A server's certificates.
pub(super) enum Certificates<S> {
    /// The same for all clients.
    Fixed(RefCell<Vec<Pair>>),
    /// By names with variables.
    Named {
        /// The names.
        pairs: Vec<Named<S>>,
        /// Passwords of the keys.
        passwords: Rc<Vec<Vec<u8>>>,
        /// What is kept.
        cache: Option<RefCell<Cache>>,
    },
}

impl<S> Certificates<S> {
    /// Those that need no client.
    pub(super) fn fixed(&self) -> Vec<Pair> {
        match self {
            Certificates::Fixed(pairs) => pairs.borrow().clone(),
            Certificates::Named { .. } => Vec::new(),
        }
    }
}

/// What responders of OCSP are asked about.
pub(super) struct OcspResponders {
    /// Whose status is stapled, in the order of the certificates.
    pub(super) stapled: RefCell<Vec<Option<Rc<Stapling>>>>,
    /// Clients' certificates.
    pub(super) inquiry: Option<Rc<OcspCheck>>,
}

/// Answers the handshakes of a server.
pub(super) struct ServerHandshakes<S> {
    settings: RefCell<Settings>,
    certificates: Certificates<S>,
    /// Looks whether fixed certificates have changed.
    watch: Option<Watch>,
    reject: bool,
    /// Protocols of the server's own (`ssl_alpn`), where the listener has none.
    alpn: Vec<Vec<u8>>,
    /// The settings for each list of protocols that was asked for.
    by_alpn: RefCell<Vec<(Vec<&'static [u8]>, Settings)>>,
    responders: OcspResponders,
    /// How often what is stapled had changed when `by_alpn` was made.
    changes: Cell<u64>,
}

impl<S: Secured> ServerHandshakes<S> {
    pub(super) fn new(
        settings: Settings,
        certificates: Certificates<S>,
        watch: Option<Watch>,
        reject: bool,
        responders: OcspResponders,
        alpn: Vec<Vec<u8>>,
    ) -> ServerHandshakes<S> {
        let settings = RefCell::new(settings);
        ServerHandshakes { alpn, settings, certificates, watch, reject, by_alpn: RefCell::default(), responders, changes: Cell::new(0) }
    }

    /// Has responders asked that are due, and forgets settings with earlier responses.
    fn maintain(&self, worker: &Rc<Worker>) {
        let stapled = self.responders.stapled.borrow();
        stapled.iter().flatten().for_each(|stapling| stapling.maintain(worker));
        let changes = stapled.iter().flatten().map(|stapling| stapling.changes()).sum();
        if self.changes.replace(changes) != changes {
            self.by_alpn.borrow_mut().clear();
        }
    }

    /// The settings with what is stapled now.
    fn current(&self) -> Settings {
        let settings = self.settings.borrow();
        let stapled = self.responders.stapled.borrow();
        if stapled.is_empty() {
            return settings.clone();
        }
        let responses = stapled.iter().map(|stapling| stapling.as_ref().and_then(|stapling| stapling.der())).chain(repeat(None));
        let pairs = self.certificates.fixed().iter().zip(responses).map(|(pair, response)| pair.with_ocsp(response)).collect();
        settings.with_pairs(pairs)
    }

    /// Takes up certificates that have changed in their files.
    fn reload_changed(&self, worker: &Worker) {
        let Some(pairs) = self.watch.as_ref().and_then(|watch| watch.changed(&worker.log)) else { return };
        let Certificates::Fixed(fixed) = &self.certificates else { return };
        for (stapling, pair) in self.responders.stapled.borrow_mut().iter_mut().zip(&pairs) {
            let Some(old) = stapling.take_if(|old| !old.is_of(pair)) else { continue };
            match old.renew_for(pair) {
                Ok(new) => *stapling = Some(new),
                Err(warning) => worker.log.write(Level::Warn, 0, warning.to_string().as_bytes()),
            }
        }
        let settings = self.settings.borrow().with_pairs(pairs.clone());
        self.settings.replace(settings);
        fixed.replace(pairs);
        self.by_alpn.borrow_mut().clear();
    }

    fn with_alpn(&self, alpn: &[&'static [u8]]) -> Settings {
        let mut known = self.by_alpn.borrow_mut();
        if let Some((_, settings)) = known.iter().find(|(list, _)| list == alpn) {
            return settings.clone();
        }
        let names = if alpn.is_empty() { self.alpn.clone() } else { alpn.iter().map(|name| name.to_vec()).collect() };
        let settings = self.current().with_alpn(names);
        known.push((alpn.to_vec(), settings.clone()));
        settings
    }
}

impl<S: Secured> Handshakes<S> for ServerHandshakes<S> {
    fn check_revocation(&self, client_hello: &Rc<ClientHello<S>>, chain: &[CertificateDer<'static>]) -> Option<BoxFuture<Revocation>> {
        let inquiry = self.responders.inquiry.clone()?;
        Some(Box::pin(inquiry.check(chain.to_vec(), client_hello.worker.log.clone())))
    }

    fn suites(&self) -> Vec<u16> {
        self.settings.borrow().suites().collect()
    }

    fn supports_version(&self, version: u16) -> bool {
        self.settings.borrow().version([version]).is_some()
    }

    fn answer(&self, client_hello: &Rc<ClientHello<S>>) -> HandshakeStep {
        if self.reject {
            return HandshakeStep::Now(Err(Rejection {
                alert: UNRECOGNIZED_NAME,
                detail: String::new(),
                error: TlsError::CALLBACK_FAILED,
            }));
        }
        self.reload_changed(&client_hello.worker);
        if !self.responders.stapled.borrow().is_empty() && client_hello.hello.extension(STATUS_REQUEST).is_some() {
            self.maintain(&client_hello.worker);
        }
        let settings = self.with_alpn(&client_hello.alpn);
        HandshakeStep::Now(match &self.certificates {
            Certificates::Fixed(_) => Ok(settings),
            Certificates::Named { pairs, passwords, cache } => {
                named(&*client_hello.session(), pairs, passwords, cache.as_ref()).map(|pairs| settings.with_pairs(pairs))
            }
        })
    }
}

/// Evaluates the names and reads what they name; an empty name gives no certificate.
fn named<S: Secured>(
    session: &S,
    pairs: &[Named<S>],
    passwords: &[Vec<u8>],
    cache: Option<&RefCell<Cache>>,
) -> Result<Vec<Pair>, Rejection> {
    let text = |name: &Complex<S>| {
        let value = name.to_vec(session);
        if value.is_empty() || value.starts_with(b"data:") || value.starts_with(b"store:") {
            return String::from_utf8_lossy(&value).into_owned();
        }
        session.paths().resolve_conf(&value).to_string_lossy().into_owned()
    };
    let failed = |problem: LoadError| Rejection { alert: INTERNAL_ERROR, detail: problem.to_string(), error: TlsError::CERT_CB };
    let mut found = Vec::new();
    for pair in pairs {
        let (certificate, key) = (text(&pair.certificate), pair.key.as_ref().map(text).unwrap_or_default());
        if certificate.is_empty() {
            continue;
        }
        let pair = match cache {
            Some(cache) => cache.borrow_mut().pair(&certificate, &key, passwords, clock::monotonic_ms()),
            None => Pair::load(&Files::new(), &certificate, &key, passwords),
        };
        found.push(pair.map_err(failed)?);
    }
    let places = vec![(); found.len()];
    Ok(Pair::last_of_each_kind(found, places).0)
}
