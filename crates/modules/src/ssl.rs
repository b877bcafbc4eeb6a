//! TLS of servers: the `ssl_*` directives (nginx manual, `ngx_http_ssl_module`).
//!
//! Directives only store. `build` makes of what a server has inherited who answers its handshakes; `handshakes` chooses for each
//! client; `cache` keeps sessions; `variables` tells.

mod build;
mod cache;
mod handshakes;
mod rows;
mod variables;

pub use build::OwnTicketKeys;
use conf::scope::Config;
use http::tls::ClientVerify;
use http::{Complex, Levels, Module};
use std::rc::Rc;

/// TLS of servers.
pub const MODULE: Module = Module { rows: rows::rows, levels, variables: variables::define, server: build::server, ..Module::named("ssl") };

/// One certificate with its key, by the names of their files; either may hold variables.
#[derive(Clone)]
pub(crate) struct Named {
    certificate: Complex,
    key: Option<Complex>,
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

/// What a block says of TLS.
#[derive(Clone, Default)]
pub(crate) struct Ssl {
    certificates: Option<Rc<Vec<Complex>>>,
    keys: Option<Rc<Vec<Complex>>>,
    passwords: Option<Rc<Vec<Vec<u8>>>>,
    certificate_cache: Option<Option<handshakes::CacheLimits>>,
    protocols: Option<Rc<Vec<String>>>,
    ciphers: Option<Rc<str>>,
    curves: Option<Rc<str>>,
    server_order: Option<bool>,
    buffer: Option<u64>,
    verify: Option<ClientVerify>,
    depth: Option<u64>,
    client_certificate: Option<Rc<str>>,
    trusted_certificate: Option<Rc<str>>,
    crl: Option<Rc<str>>,
    cache: Option<SessionCache>,
    tickets: Option<bool>,
    ticket_keys: Option<Rc<Vec<Rc<str>>>>,
    timeout: Option<u64>,
    stapling: Option<bool>,
    stapling_file: Option<Rc<str>>,
    early_data: Option<bool>,
    commands: Option<Rc<Vec<(String, String)>>>,
    reject: Option<bool>,
    key_log: Option<Rc<str>>,
}

impl Config for Ssl {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(
            self, parent;
            certificates, keys, passwords, certificate_cache, protocols, ciphers, curves, server_order, buffer, verify, depth,
            client_certificate, trusted_certificate, crl, cache, tickets, ticket_keys, timeout, stapling, stapling_file, early_data,
            commands, reject, key_log
        );
    }
}

impl Ssl {
    /// The certificates with their keys; the last one without a key is an error of its own.
    fn pairs(&self) -> Vec<Named> {
        // OpenSSL's own commands come last and win.
        if let (Some(certificate), Some(key)) = (self.command(&["Certificate"]), self.command(&["PrivateKey"])) {
            let literal = |path: &str| Complex::from_literal(path.as_bytes());
            return vec![Named { certificate: literal(certificate), key: Some(literal(key)) }];
        }
        let keys = self.keys.as_deref().map(Vec::as_slice).unwrap_or_default();
        let certificates = self.certificates.iter().flat_map(|all| all.iter());
        certificates.enumerate().map(|(i, certificate)| Named { certificate: certificate.clone(), key: keys.get(i).cloned() }).collect()
    }
}

impl Ssl {
    /// The last value of an `ssl_conf_command` of one of these names.
    fn command(&self, names: &[&str]) -> Option<&str> {
        let all = self.commands.iter().flat_map(|commands| commands.iter());
        all.filter(|(name, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name))).map(|(_, value)| value.as_str()).next_back()
    }

    /// What `ssl_conf_command Options` says last of one of them.
    fn option(&self, wanted: &str) -> Option<bool> {
        let all = self.commands.iter().flat_map(|commands| commands.iter()).filter(|(name, _)| name.eq_ignore_ascii_case("Options"));
        let words = all.flat_map(|(_, value)| value.split(',')).map(str::trim);
        words.filter(|word| word.trim_start_matches(['+', '-']).eq_ignore_ascii_case(wanted)).map(|word| !word.starts_with('-')).next_back()
    }
}

fn levels(levels: &mut Levels) {
    levels.server::<Ssl>();
}
