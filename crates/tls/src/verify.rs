//! Certificate verification: webpki decides about chains, with additions that users of private authorities and of OpenSSL expect.

mod common_name;
pub mod crl;
mod explain;
mod handshake;
pub(crate) mod host;
pub(crate) mod parsed;
mod private_leaf;
pub mod reason;
mod trust;

use std::sync::Arc;

use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, UnixTime};

use parsed::Usage;
pub use reason::Verdict;
pub use trust::Trust;

/// Whether the leaf certificate of a chain is for `name`, regardless of its issuer.
#[must_use]
pub fn is_for(chain: &[CertificateDer<'_>], name: &str) -> bool {
    chain.first().and_then(parsed::parse).is_some_and(|certificate| host::matches(&certificate, name))
}

/// Verifies clients. Lets every handshake go on in which the client proves that it has the key of its certificate.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Arc<Trust>,
    subjects: Vec<DistinguishedName>,
}

impl ClientVerifier {
    /// Clients are verified by `trust`; the names of `shown` are sent to them as authorities that are accepted
    /// (`ssl_client_certificate`, but not `ssl_trusted_certificate`).
    #[must_use]
    pub fn new(trust: Arc<Trust>, shown: &[CertificateDer<'static>]) -> Self {
        let subjects = shown.iter().filter_map(parsed::subject).collect();
        Self { trust, subjects }
    }

    /// Everything that is wrong with a chain, in OpenSSL's order.
    #[must_use]
    pub fn findings(&self, chain: &[CertificateDer<'_>]) -> Vec<Verdict> {
        self.trust.verify(chain, Usage::Client, None, UnixTime::now())
    }

    /// Verifies a chain, the client's own certificate first. `None` when there is none. Goes on after an error like nginx's
    /// callback, so that the last error counts.
    #[must_use]
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Option<Verdict> {
        let verdicts = (!chain.is_empty()).then(|| self.findings(chain))?;
        Some(verdicts.last().copied().unwrap_or(Verdict::OK))
    }
}

/// Verifies the certificates of servers.
#[derive(Debug)]
pub struct ServerVerifier {
    trust: Option<Arc<Trust>>,
}

impl ServerVerifier {
    /// Servers are verified by `trust`.
    #[must_use]
    pub fn new(trust: Arc<Trust>) -> Self {
        Self { trust: Some(trust) }
    }

    /// A verifier that accepts every certificate (`*_ssl_verify off`).
    #[must_use]
    pub fn unverified() -> Self {
        Self { trust: None }
    }

    /// Verifies a chain, the server's own certificate first, and whether it is for `name`. The last error counts: with authorities of its own nginx
    /// goes on after an error for servers too, and without any OpenSSL ends at the first.
    #[must_use]
    pub fn verify(&self, chain: &[CertificateDer<'_>], name: Option<&str>) -> Verdict {
        let Some(trust) = &self.trust else { return Verdict::OK };
        let verdicts = trust.verify(chain, Usage::Server, name, UnixTime::now());
        let counts = if trust.certificates().next().is_some() { verdicts.last() } else { verdicts.first() };
        counts.copied().unwrap_or(Verdict::OK)
    }
}
