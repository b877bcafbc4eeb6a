//! What can be read of QUIC without its state (RFC 9000): headers of packets, and the client's first message, which is spread over
//! CRYPTO frames of Initial packets. Keys are the caller's.

#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod crypto;
pub mod header;
pub mod varint;

pub use crypto::{CryptoError, CryptoStream};
pub use header::{Header, Initial};
