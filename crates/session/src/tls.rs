//! TLS as sessions and their configuration see it: results of a handshake, and a server's handshake hooks.

mod handshake;
#[cfg(test)]
mod tests;

pub use crate::tls_info::{HandshakeLeftovers, Revocation, TlsInfo};
pub use handshake::{Failed, FirstBytes, UNRECOGNIZED_NAME, choose, classify, finish, preliminary};

use crate::client::Configured;
use crate::connection::Connection;
use crate::handshake_end::{HandshakeEnd, TlsCounter};
use crate::outcome::BoxFuture;
use crate::worker::Worker;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use tls::certificate::CertificateDer;
use tls::error::TlsError;
use tls::server::Settings;
use wire::tls::hello::Hello;

/// What a server demands of its clients' certificates (`ssl_verify_client`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientVerify {
    /// Nothing.
    #[default]
    Off,
    /// A good one.
    On,
    /// A good one, if there is one.
    Optional,
    /// One whose authority need not be known.
    OptionalNoCa,
}

/// A session whose servers may have a part in TLS.
pub trait Secured: Configured {
    /// A server's part in TLS.
    fn tls_of(server: &Self::Server) -> &ServerTls<Self>;
}

/// A handshake in progress: what can be asked before it is answered.
pub struct ClientHello<S: Secured> {
    /// What the client offers.
    pub hello: Hello,
    /// The worker.
    pub worker: Rc<Worker>,
    /// The client.
    pub connection: Rc<Connection<S::Server>>,
    /// The server that SNI chose, or the address's default.
    pub server: Rc<S::Server>,
    /// SNI chose it.
    pub is_named: bool,
    /// Names for ALPN, best first; none: those that the server itself names.
    pub alpn: Vec<&'static [u8]>,
    /// Makes what [`ClientHello::session`] answers.
    pub subject: Box<dyn Fn() -> Rc<S>>,
    /// What code that runs in the handshake keeps from one member of [`Hooks`] to the next.
    pub leftovers: RefCell<HandshakeLeftovers>,
}

impl<S: Secured> ClientHello<S> {
    /// A session for code that runs in the handshake and for names with variables: it has the connection and the server. In HTTP it is a
    /// request that no client waits for.
    pub fn session(&self) -> Rc<S> {
        (self.subject)()
    }
}

/// Why a handshake is refused.
#[derive(Debug)]
pub struct Rejection {
    /// The alert that the client gets (RFC 8446, 6.2).
    pub alert: u8,
    /// What the log says before, as an error; empty: nothing.
    pub detail: String,
    /// The log context of the handshake.
    pub error: TlsError,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// How a handshake goes on: now, or after a wait.
pub enum HandshakeStep {
    /// With these settings.
    Now(Result<Settings, Rejection>),
    /// Code must run first.
    Wait(BoxFuture<Result<Settings, Rejection>>),
}

/// Answers the handshakes of a server.
pub trait Handshakes<S: Secured> {
    /// Chooses what a session is made from.
    fn answer(&self, client_hello: &Rc<ClientHello<S>>) -> HandshakeStep;
    /// The numbers of the cipher suites that are spoken.
    fn suites(&self) -> Vec<u16>;
    /// Whether a version is spoken, by its number.
    fn supports_version(&self, version: u16) -> bool;
    /// Asks others about a client's certificate that is good in itself; its chain is given, its own certificate first.
    fn check_revocation(&self, client_hello: &Rc<ClientHello<S>>, chain: &[CertificateDer<'static>]) -> Option<BoxFuture<Revocation>> {
        let _ = (client_hello, chain);
        None
    }
}

/// Code that runs in the handshakes of a server. Each member may take its time.
pub trait Hooks<S: Secured> {
    /// The ClientHello is there and nothing has been chosen (`ssl_client_hello_by_lua*`).
    fn client_hello(self: Rc<Self>, client_hello: Rc<ClientHello<S>>) -> BoxFuture<Result<(), Rejection>>;
    /// Changes what a session is made from (`ssl_session_fetch_by_lua*`, `ssl_certificate_by_lua*`).
    fn certificate(self: Rc<Self>, client_hello: Rc<ClientHello<S>>, settings: Settings) -> BoxFuture<Result<Settings, Rejection>>;
    /// The handshake is over (`ssl_session_store_by_lua*`).
    fn finished(self: Rc<Self>, client_hello: Rc<ClientHello<S>>, protocol: &'static str) -> BoxFuture<HandshakeLeftovers>;
}

/// Answers handshakes in which an ACME server looks for a proof (RFC 8737).
pub trait Proofs<S: Secured> {
    /// What a session is made from; `None`: there is no proof for what the client names.
    fn settings(&self, client_hello: &ClientHello<S>) -> Option<Settings>;
}

/// A server's part in TLS; filled when the server is built.
pub struct ServerTls<S> {
    /// Answers handshakes; not set: the server has no certificate.
    pub handshakes: OnceCell<Rc<dyn Handshakes<S>>>,
    /// Code that runs in them.
    pub hooks: OnceCell<Rc<dyn Hooks<S>>>,
    /// Answers clients that look for proofs, before all else.
    pub proofs: OnceCell<Rc<dyn Proofs<S>>>,
    /// `ssl_verify_client`
    pub verify: Cell<ClientVerify>,
}

impl<S> Default for ServerTls<S> {
    fn default() -> Self {
        ServerTls { handshakes: OnceCell::new(), hooks: OnceCell::new(), proofs: OnceCell::new(), verify: Cell::default() }
    }
}

/// OpenSSL's codes of certificates that do not hold at this time, that were revoked, and that are another host's.
const EXPIRED: [u16; 2] = [9, 10];
const REVOKED: u16 = 23;
const HOSTNAME_MISMATCH: u16 = 62;

impl<S: Secured> ServerTls<S> {
    /// What is counted of a handshake that is complete.
    pub fn end(&self, info: &TlsInfo<S::Server>) -> HandshakeEnd {
        let verify = self.verify.get();
        let fault = match info.verdict.0 {
            _ if verify == ClientVerify::Off => None,
            0 if info.revocation == Some("certificate revoked") => Some(TlsCounter::RevokedCertificate),
            0 if info.revocation.is_some() => Some(TlsCounter::OtherFault),
            0 => (verify == ClientVerify::On && info.peer.is_empty()).then_some(TlsCounter::NoCertificate),
            _ if verify == ClientVerify::OptionalNoCa && info.lacks_authority => None,
            code if EXPIRED.contains(&code) => Some(TlsCounter::ExpiredCertificate),
            REVOKED => Some(TlsCounter::RevokedCertificate),
            HOSTNAME_MISMATCH => Some(TlsCounter::HostnameMismatch),
            _ => Some(TlsCounter::OtherFault),
        };
        HandshakeEnd::Complete { resumed: info.resumed, fault }
    }

    /// The client sent plain HTTP to a port of TLS, or the connection does not satisfy the server: the status to refuse its
    /// request with (`ngx_http_process_request`). `of`: the handshake, if there was one.
    pub fn refusal(&self, of: Option<&TlsInfo<S::Server>>) -> Option<(u16, String)> {
        let Some(info) = of else { return Some((497, "client sent plain HTTP request to HTTPS port".to_owned())) };
        let verify = self.verify.get();
        if verify == ClientVerify::Off {
            return None;
        }
        let (code, words) = info.verdict;
        if code != 0 && !(verify == ClientVerify::OptionalNoCa && info.lacks_authority) {
            return Some((495, format!("client SSL certificate verify error: ({code}:{words})")));
        }
        if let Some(words) = info.revocation {
            return Some((495, format!("client SSL certificate verify error: {words}")));
        }
        (verify == ClientVerify::On && info.peer.is_empty()).then(|| (496, "client sent no required SSL certificate".to_owned()))
    }
}
