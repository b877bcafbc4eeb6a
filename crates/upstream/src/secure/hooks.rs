//! Code that runs in the handshakes with upstream servers (`proxy_ssl_certificate_by_lua*`, `proxy_ssl_verify_by_lua*`).
//!
//! A directive of a location puts it into the location's [`UpstreamTls`]; who passes requests or sessions on runs it.

use conf::scope::Config;
use session::BoxFuture;
use std::cell::Cell;
use std::rc::Rc;
use tls::certificate::CertificateDer;
use tls::chooser::CertificateChoice;
use tls::error::TlsError;

/// Chooses the certificate that a server asks for. It may take its time.
pub trait ChooseCertificate<S> {
    /// Chooses in a session of this version.
    fn choose(&self, session: &Rc<S>, version: u16) -> BoxFuture<Result<CertificateChoice, TlsError>>;
}

/// Verifies a server. It may take its time.
pub trait VerifyServer<S> {
    /// Returns OpenSSL's code of what is wrong with the server; 0 is nothing.
    fn verify(&self, session: &Rc<S>, shown: ServerChain) -> BoxFuture<Result<u16, TlsError>>;
}

/// What is known of a server.
pub struct ServerChain {
    /// The version of its session.
    pub version: u16,
    /// Its certificates, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// OpenSSL's error code for them; 0 if they are valid or were not verified.
    pub verdict: u16,
}

/// The code of a location.
pub struct UpstreamTls<S> {
    /// `proxy_ssl_certificate_by_lua*`
    pub certificate: Option<Rc<dyn ChooseCertificate<S>>>,
    /// `proxy_ssl_verify_by_lua*`
    pub verify: Option<Rc<dyn VerifyServer<S>>>,
    /// `lua_upstream_skip_openssl_default_verify`
    pub skip_default_verify: Option<bool>,
    /// The location says some of it itself.
    pub is_own: bool,
    /// It is in use.
    pub is_used: Cell<bool>,
}

impl<S> Default for UpstreamTls<S> {
    fn default() -> Self {
        UpstreamTls { certificate: None, verify: None, skip_default_verify: None, is_own: false, is_used: Cell::new(false) }
    }
}

impl<S: 'static> Config for UpstreamTls<S> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; certificate, verify, skip_default_verify);
    }
}

impl<S> UpstreamTls<S> {
    /// What tells it from the code of other locations.
    pub fn identity(&self) -> [usize; 3] {
        let certificate = self.certificate.as_ref().map_or(0, |code| Rc::as_ptr(code).cast::<()>() as usize);
        let verify = self.verify.as_ref().map_or(0, |code| Rc::as_ptr(code).cast::<()>() as usize);
        [certificate, verify, usize::from(self.skip_default_verify == Some(true))]
    }
}
