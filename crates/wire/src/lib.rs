//! Sans-IO protocol code: bytes in, values out.
//!
//! Nothing here reads a clock or a socket, and nothing here panics on bad input. Every parser
//! is resumable, reports ranges into the caller's buffer instead of copies, and keeps its
//! capacity between uses, so that a keep-alive connection parses without allocating.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod block;
pub mod cgi;
#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod chunked;
pub mod date;
pub mod dns;
pub mod fastcgi;
pub mod h1;
pub mod h2;
pub mod h3;
pub mod hpack;
pub mod json;
pub mod known;
pub mod memcached;
pub mod mp4;
mod narrow;
pub mod proxy_protocol;
pub mod qpack;
pub mod quic;
pub mod range;
pub mod redis;
mod repeat;
pub mod scan;
pub mod scgi;
pub mod span;
pub mod sql;
pub mod status;
pub mod tls;
pub mod uri;
pub mod uwsgi;

#[cfg(test)]
mod smoke;
