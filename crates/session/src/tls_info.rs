//! The results of a TLS handshake.

use std::cell::Cell;
use std::rc::Rc;
use tls::exporter::Exporter;
use tls::signatures::Signed;

/// What is known of a connection's TLS once the handshake is over. It stays the same for the connection's life.
pub struct TlsInfo<V> {
    /// The server that the handshake was for: chosen by SNI, or the address's default.
    pub server: Rc<V>,
    /// SNI chose it.
    pub is_named: bool,
    /// `$ssl_protocol`
    pub protocol: &'static str,
    /// `$ssl_cipher`: OpenSSL's name.
    pub cipher: &'static str,
    /// `$ssl_curve`
    pub group: Option<&'static str>,
    /// `$ssl_session_reused`
    pub resumed: bool,
    /// `$ssl_server_name`, as the client sent it.
    pub server_name: Option<Box<[u8]>>,
    /// `$ssl_alpn_protocol`
    pub alpn: Option<Box<[u8]>>,
    /// The random bytes of the ClientHello.
    pub client_random: [u8; 32],
    /// Suites that the client offered, by number.
    pub suites: Box<[u16]>,
    /// Groups that the client offered, by number.
    pub groups: Box<[u16]>,
    /// Signature algorithms that the client offered, by number.
    pub signatures: Box<[u16]>,
    /// What key material follows from, in TLS 1.3.
    pub exporter: Option<Exporter>,
    /// Which algorithms signed.
    pub signed: Signed,
    /// `$ssl_session_id`
    pub session_id: Box<[u8]>,
    /// The client's certificates in DER, its own first.
    pub peer: Box<[Box<[u8]>]>,
    /// OpenSSL's code and words of what is wrong with them; 0 is nothing.
    pub verdict: (u16, &'static str),
    /// What responders say against them.
    pub revocation: Revocation,
    /// What is wrong is only that their authority is not known.
    pub lacks_authority: bool,
    /// The handshake may be a replay: early data was received, and the client's Finished was not.
    pub early: Cell<bool>,
    /// What code that ran in the handshake left.
    pub leftovers: HandshakeLeftovers,
}

/// What is wrong with a client's certificate by what others say (`ssl_ocsp`).
pub type Revocation = Option<&'static str>;

/// What is left of a handshake for the requests of its connection.
pub type HandshakeLeftovers = Option<Rc<dyn std::any::Any>>;
