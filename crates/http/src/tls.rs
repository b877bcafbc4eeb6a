//! TLS as requests and configuration see it: what a handshake found, and who answers handshakes for a server.

pub use session::tls::{ClientVerify, Left, Revocation};

use crate::connection::Connection;
use crate::location::Server;
use crate::request::Request;
use crate::root::Http;
use crate::worker::Worker;
use session::BoxFuture;
pub use session::tls_directives as directives;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use tls::certificate::CertificateDer;
use tls::error::TlsError;
use tls::server::Settings;
use wire::tls::hello::Hello;

/// What is known of a connection's TLS once the handshake is over.
pub type TlsInfo = session::tls::TlsInfo<Server>;

/// A handshake in progress: what can be asked before it is answered.
pub struct Greeting {
    /// What the client offers.
    pub hello: Hello,
    /// The worker.
    pub worker: Rc<Worker>,
    /// The configuration.
    pub http: Rc<Http>,
    /// The client.
    pub connection: Rc<Connection>,
    /// The server that SNI chose, or the address's default.
    pub server: Rc<Server>,
    /// Names for ALPN, best first.
    pub alpn: Vec<&'static [u8]>,
    /// What code that runs in the handshake keeps from one member of [`Hooks`] to the next.
    pub left: RefCell<Left>,
}

impl Greeting {
    /// A request for code that runs in the handshake: it has the connection and the server, and no client waits for it.
    pub fn request(&self) -> Rc<Request> {
        self.worker.spare.take_detached(&self.worker, &self.http, self.connection.clone(), self.server.clone())
    }
}

/// Why a handshake is refused.
pub struct Rejection {
    /// The alert that the client gets (RFC 8446, 6.2).
    pub alert: u8,
    /// What the log says before, as an error; empty: nothing.
    pub detail: String,
    /// What the log says of the handshake.
    pub error: TlsError,
}

/// How a handshake goes on: now, or after a wait.
pub enum Answer {
    /// With these settings.
    Now(Result<Settings, Rejection>),
    /// Code must run first.
    Wait(BoxFuture<Result<Settings, Rejection>>),
}

/// Who answers the handshakes of a server.
pub trait Handshakes {
    /// Chooses what a session is made from.
    fn answer(&self, greeting: &Rc<Greeting>) -> Answer;
    /// The numbers of the cipher suites that are spoken.
    fn suites(&self) -> Vec<u16>;
    /// Asks others about a client's certificate that is good in itself; its chain is given, its own certificate first.
    fn inquire(&self, greeting: &Rc<Greeting>, chain: &[CertificateDer<'static>]) -> Option<BoxFuture<Revocation>> {
        let _ = (greeting, chain);
        None
    }
}

/// Code that runs in the handshakes of a server. Each member may take its time.
pub trait Hooks {
    /// The ClientHello is there and nothing has been chosen (`ssl_client_hello_by_lua*`).
    fn greeted(self: Rc<Self>, greeting: Rc<Greeting>) -> BoxFuture<Result<(), Rejection>>;
    /// Changes what a session is made from (`ssl_session_fetch_by_lua*`, `ssl_certificate_by_lua*`).
    fn chosen(self: Rc<Self>, greeting: Rc<Greeting>, settings: Settings) -> BoxFuture<Result<Settings, Rejection>>;
    /// The handshake is over (`ssl_session_store_by_lua*`).
    fn finished(self: Rc<Self>, greeting: Rc<Greeting>, protocol: &'static str) -> BoxFuture<Left>;
}

/// A server's part in TLS; filled when the server is built.
#[derive(Default)]
pub struct ServerTls {
    /// Answers handshakes; not set: the server has no certificate.
    pub handshakes: OnceCell<Rc<dyn Handshakes>>,
    /// Code that runs in them.
    pub hooks: OnceCell<Rc<dyn Hooks>>,
    /// `ssl_verify_client`
    pub verify: Cell<ClientVerify>,
}

impl ServerTls {
    /// The client sent plain HTTP to a port of TLS, or the connection does not satisfy the server: the status to refuse its
    /// request with (`ngx_http_process_request`). `of`: the handshake, if there was one.
    pub fn objection(&self, of: Option<&TlsInfo>) -> Option<(u16, String)> {
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
