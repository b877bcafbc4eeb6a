//! TLS of servers: the `ssl_*` directives (nginx manual, `ngx_http_ssl_module`).
//!
//! Directives only store. `build` makes of what a server has inherited who answers its handshakes; `handshakes` chooses for each
//! client; `cache` keeps sessions; `variables` tells.

mod build;
mod cache;
mod handshakes;
mod ocsp_check;
mod responder;
mod rows;
mod session;
mod stapling;
mod variables;
mod watch;

use ::session::tls::ClientVerify;
use ::session::{Complex, Levels, Session};
pub(crate) use build::secret;
pub use build::{inherit, legacy, take_over};
use conf::scope::Config;
use conf::switch::Switch;
use http::{Module, Request};
use std::rc::Rc;
use tls::certificate::cache::Limits;
use tls::commands::Commands;

/// Who owns the zones of sessions and of responses about certificates.
pub(crate) const SESSION_ZONES: [&str; 2] = [cache::OWNER, ocsp_check::OWNER];

/// TLS of servers.
pub const MODULE: Module = Module {
    rows: || [rows::rows(), rows::certificates::<Request>(rows::SERVERS)].concat(),
    levels: levels::<Request>,
    variables: |variables| {
        variables::define(variables);
        variables::define_http(variables);
    },
    server: build::http_server,
    ..Module::named("ssl")
};

/// TLS of servers of `stream`. Rows that are the same in both are those above.
pub const STREAM: stream::Module = stream::Module {
    rows: || [session::rows(), rows::certificates::<stream::Session>(session::STREAM_SERVERS)].concat(),
    levels: |all| {
        levels::<stream::Session>(all);
        session::levels(all);
    },
    variables: variables::define,
    server: build::stream_server,
    attach: session::attach,
    ..stream::Module::named("ssl")
};

/// One certificate with its key, by the names of their files; either may hold variables.
pub(crate) struct Named<S> {
    certificate: Complex<S>,
    key: Option<Complex<S>>,
}

/// The names of certificates and keys that a block gives.
pub(crate) struct Names<S> {
    certificates: Option<Rc<Vec<Complex<S>>>>,
    keys: Option<Rc<Vec<Complex<S>>>>,
}

impl<S> Default for Names<S> {
    fn default() -> Self {
        Names { certificates: None, keys: None }
    }
}

impl<S: 'static> Config for Names<S> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; certificates, keys);
    }
}

/// `ssl_session_cache`
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SessionCache {
    /// `off` and `none`: clients cannot come back by an identifier.
    None,
    /// `builtin[:SESSIONS]`: in the worker.
    Builtin(usize),
    /// `shared:NAME:SIZE`: in a zone.
    Shared(Rc<str>),
}

/// The TLS directives of a block.
#[derive(Clone, Default)]
pub(crate) struct Ssl {
    passwords: Option<Rc<Vec<Vec<u8>>>>,
    certificate_cache: Option<Switch<Limits>>,
    compression: Option<bool>,
    watch: Option<bool>,
    protocols: Option<Rc<Vec<&'static str>>>,
    ciphers: Option<Rc<str>>,
    curves: Option<Rc<str>>,
    server_order: Option<bool>,
    buffer: Option<u64>,
    verify: Option<ClientVerify>,
    depth: Option<u64>,
    client_certificate: Option<Rc<str>>,
    trusted_certificate: Option<Rc<str>>,
    crl: Option<Rc<str>>,
    dhparam: Option<Rc<str>>,
    cache: Option<SessionCache>,
    tickets: Option<bool>,
    ticket_keys: Option<Rc<Vec<Rc<str>>>>,
    timeout: Option<u64>,
    stapling: Option<bool>,
    stapling_file: Option<Rc<str>>,
    stapling_responder: Option<Rc<str>>,
    stapling_verify: Option<bool>,
    ocsp: Option<ocsp_check::OcspMode>,
    ocsp_responder: Option<Rc<str>>,
    ocsp_cache: Option<Switch<Rc<shm::Zone>>>,
    early_data: Option<bool>,
    commands: Option<Rc<Vec<(String, String)>>>,
    reject: Option<bool>,
    key_log: Option<Rc<str>>,
}

impl Config for Ssl {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(
            self, parent;
            passwords, certificate_cache, compression, watch, protocols, ciphers, curves, server_order, buffer, verify, depth,
            client_certificate, trusted_certificate, crl, dhparam, cache, tickets, ticket_keys, timeout, stapling, stapling_file, stapling_responder, stapling_verify, ocsp, ocsp_responder, ocsp_cache, early_data,
            commands, reject, key_log
        );
    }
}

impl<S: Session> Names<S> {
    /// The certificates with their keys; the last one without a key is an error of its own.
    fn pairs(&self, commands: &Commands) -> Vec<Named<S>> {
        // OpenSSL's own commands come last and win.
        if let (Some(certificate), Some(key)) = (&commands.certificate, &commands.key) {
            let literal = |path: &str| Complex::from_literal(path.as_bytes());
            return vec![Named { certificate: literal(certificate), key: Some(literal(key)) }];
        }
        let keys = self.keys.as_deref().map(Vec::as_slice).unwrap_or_default();
        let certificates = self.certificates.iter().flat_map(|all| all.iter());
        certificates.enumerate().map(|(i, certificate)| Named { certificate: certificate.clone(), key: keys.get(i).cloned() }).collect()
    }
}

fn levels<S: 'static>(levels: &mut Levels) {
    levels.server::<Ssl>().server::<Names<S>>();
}
