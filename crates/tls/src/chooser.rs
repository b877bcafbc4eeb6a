//! Client certificates that are chosen asynchronously when a server asks for one.
//!
//! rustls asks in the middle of a message and expects the answer synchronously. A session whose [`CertificateChooser::choose`] waits must
//! therefore be driven where it may block.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use crate::certificate::Pair;
use crate::key_log::KeyLog;

/// `TLSv1.2` and `TLSv1.3` as numbers.
const TLS1_2: u16 = 0x0303;
const TLS1_3: u16 = 0x0304;

/// The client certificate that was chosen, or none.
#[derive(Debug, Clone, Default)]
pub struct CertificateChoice {
    /// Certificates that may be shown, best first.
    pub pairs: Vec<Pair>,
    /// Those of the settings are out.
    pub cleared: bool,
}

/// Chooses the client certificate when the server requests one.
pub trait CertificateChooser: fmt::Debug + Send + Sync {
    /// Chooses in a session of this version; nothing, when its end no longer matters.
    fn choose(&self, version: u16) -> Option<CertificateChoice>;
}

/// Asks `chooser` when the server asks, and shows what `config` does where it chooses nothing else.
pub(crate) fn install(config: &mut ClientConfig, chooser: Arc<dyn CertificateChooser>) {
    let asking = Arc::new(ChooserAdapter {
        default: config.client_auth_cert_resolver.clone(),
        log: config.key_log.clone(),
        is_tls13: AtomicBool::new(false),
        chooser,
    });
    config.client_auth_cert_resolver = asking.clone();
    config.key_log = asking;
}

/// Stands between rustls and who chooses, for one session. Secrets pass by, because the first of them tells the version.
#[derive(Debug)]
struct ChooserAdapter {
    default: Arc<dyn ResolvesClientCert>,
    log: Arc<dyn KeyLog>,
    is_tls13: AtomicBool,
    chooser: Arc<dyn CertificateChooser>,
}

impl ResolvesClientCert for ChooserAdapter {
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let version = if self.is_tls13.load(Ordering::Relaxed) { TLS1_3 } else { TLS1_2 };
        let CertificateChoice { pairs, cleared } = self.chooser.choose(version)?;
        let fits = |pair: &Pair| pair.key.key.choose_scheme(schemes).is_some();
        let chosen = pairs.into_iter().find(fits).map(|pair| pair.key);
        chosen.or_else(|| if cleared { None } else { self.default.resolve(authorities, schemes) })
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl KeyLog for ChooserAdapter {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label == "SERVER_HANDSHAKE_TRAFFIC_SECRET" {
            self.is_tls13.store(true, Ordering::Relaxed);
        }
        if self.log.will_log(label) {
            self.log.log(label, client_random, secret);
        }
    }
}
