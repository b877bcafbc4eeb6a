//! TLS as far as it can be read without keys.

pub mod hello;

/// What the first byte of a connection says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// A handshake record of TLS.
    Tls,
    /// A ClientHello in the form of SSLv2, which old clients send and which is never accepted.
    Sslv2,
    /// Something else, such as a request in plain HTTP.
    Plain,
}

/// Evaluates the first byte of a connection.
#[must_use]
pub fn first(byte: u8) -> First {
    match byte {
        hello::HANDSHAKE => First::Tls,
        0x80.. => First::Sslv2,
        _ => First::Plain,
    }
}
