//! TLS as requests and configuration see it.

pub use session::tls::{ClientVerify, HandshakeLeftovers, HandshakeStep, Handshakes, Hooks, Proofs, Rejection, Revocation};
pub use session::tls_directives as directives;

use crate::location::Server;
use crate::request::Request;

/// What is known of a connection's TLS once the handshake is over.
pub type TlsInfo = session::tls::TlsInfo<Server>;
/// A handshake in progress: what can be asked before it is answered.
pub type ClientHello = session::tls::ClientHello<Request>;
/// A server's part in TLS; filled when the server is built.
pub type ServerTls = session::tls::ServerTls<Request>;
