//! HTTP/3 (RFC 9114) without input and output.
//!
//! [`Codec`] is the server's side of one connection. The caller hands it what comes on each stream of QUIC and gets events of requests; what it
//! has to say on streams of its own (settings, GOAWAY, the tables of QPACK) it puts into three buffers, one per stream ([`ServerStream`]). Frames of an
//! answer are appended to a buffer that the caller sends on the request's stream. What a request is, is checked as for HTTP/2.
//!
//! | file | what it does |
//! |---|---|
//! | `frame` | variable-length integers, frames' heads, settings |
//! | `error` | codes, and what ends a connection |
//! | `event` | what the caller learns |
//! | `conn` | the connection: state, frames out |
//! | `stream` | what is known of streams |
//! | `request` | streams of requests that come in |
//! | `section` | their field sections |
//! | `repeat` | a section that comes again |
//! | `uni`, `control` | streams in one direction that come in |

#[cfg(any(test, feature = "check"))]
pub mod check;
mod conn;
mod control;
pub mod error;
mod event;
pub mod frame;
mod request;
mod section;
mod stream;
mod uni;

#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod rfc_tests;
#[cfg(test)]
mod tests;

pub use conn::{Codec, Config, ServerStream};
pub use event::{BodyFault, Event, Poll, body_message};
pub use uni::UniStreamKind;
