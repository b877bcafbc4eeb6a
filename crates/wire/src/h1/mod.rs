//! HTTP/1.x message heads and the framing of the bodies that follow them (RFC 9112).

pub mod error;
pub mod framing;
pub mod header;
pub mod host;
mod limits;
pub mod method;
mod repeat;
pub mod request;
pub mod response;
pub(crate) mod response_line;
pub mod version;

#[cfg(test)]
mod corpus;
