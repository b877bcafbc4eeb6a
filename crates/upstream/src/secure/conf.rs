//! The `*_ssl_*` directives of a block, and their inheritance.

use conf::switch::Switch;
use session::Complex;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use tls::certificate::cache::Cache;

/// The pairs of `*_ssl_certificate_cache`, shared by all blocks that inherit it.
pub type Certificates = Rc<RefCell<Cache>>;

/// What a block says. Names of files are absolute, or `data:` and what follows.
pub struct TlsConf<S> {
    /// `*_ssl_session_reuse`
    pub session_reuse: Option<bool>,
    /// `*_ssl_protocols`
    pub protocols: Option<Rc<Vec<&'static str>>>,
    /// `*_ssl_ciphers`
    pub ciphers: Option<Rc<str>>,
    /// `*_ssl_name`
    pub name: Option<Complex<S>>,
    /// `*_ssl_server_name`
    pub server_name: Option<bool>,
    /// `*_ssl_alpn`
    pub alpn: Option<Rc<Vec<Complex<S>>>>,
    /// `*_ssl_verify`
    pub verify: Option<bool>,
    /// `*_ssl_verify_depth`
    pub verify_depth: Option<u64>,
    /// `*_ssl_trusted_certificate`
    pub trusted_certificate: Option<Rc<str>>,
    /// `*_ssl_crl`
    pub crl: Option<Rc<str>>,
    /// `*_ssl_certificate`; not resolved yet
    pub certificate: Option<Complex<S>>,
    /// `*_ssl_certificate_key`; not resolved yet
    pub certificate_key: Option<Complex<S>>,
    /// `*_ssl_certificate_cache`
    pub certificate_cache: Option<Switch<Certificates>>,
    /// `*_ssl_password_file`: its lines
    pub passwords: Option<Rc<Vec<Vec<u8>>>>,
    /// `*_ssl_conf_command`, in order
    pub commands: Option<Rc<Vec<(String, String)>>>,
    /// One of them was `VerifyMode Peer`: without a good certificate there is no session.
    pub demands_peer: bool,
    /// `*_ssl_key_log`
    pub key_log: Option<Rc<PathBuf>>,
}

impl<S> Default for TlsConf<S> {
    fn default() -> Self {
        TlsConf {
            session_reuse: None,
            protocols: None,
            ciphers: None,
            name: None,
            server_name: None,
            alpn: None,
            verify: None,
            verify_depth: None,
            trusted_certificate: None,
            crl: None,
            certificate: None,
            certificate_key: None,
            certificate_cache: None,
            passwords: None,
            commands: None,
            demands_peer: false,
            key_log: None,
        }
    }
}

impl<S> Clone for TlsConf<S> {
    fn clone(&self) -> Self {
        let mut made = TlsConf::default();
        made.inherit(self);
        made.demands_peer = self.demands_peer;
        made
    }
}

impl<S> TlsConf<S> {
    /// Takes over what this block does not say.
    pub fn inherit(&mut self, parent: &TlsConf<S>) {
        self.demands_peer |= self.commands.is_none() && parent.demands_peer;
        conf::inherit!(self, parent; session_reuse, protocols, ciphers, name, server_name, alpn, verify, verify_depth);
        conf::inherit!(self, parent; trusted_certificate, crl, certificate, certificate_key, certificate_cache);
        conf::inherit!(self, parent; passwords, commands, key_log);
    }
}
