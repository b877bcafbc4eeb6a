//! HTTP/2 (RFC 9113) without input and output.
//!
//! [`Connection`] is the server's side of one connection. The caller feeds it what it read and gets events, hands it what it wants to
//! send, and puts what the connection appends to an output buffer on the wire, many streams' frames in one write.
//!
//! | file | what it does |
//! |---|---|
//! | `frame` | frames' heads, and the writing of each type |
//! | `settings` | parameters and their limits |
//! | `stream` | states and windows |
//! | `request` | a header block checked as a request |
//! | `priority`, `tree`, `schedule` | which stream sends next |
//! | `budget` | what a peer may do for nothing |
//! | `event` | what the caller learns |
//! | `conn`, `receive`, `block`, `send` | the connection: state, frames in, header blocks in, frames out |

mod block;
pub mod budget;
#[cfg(any(test, feature = "check"))]
pub mod check;
mod conn;
pub mod error;
mod event;
pub mod frame;
pub mod priority;
mod receive;
pub mod request;
pub mod schedule;
mod send;
pub mod settings;
mod stream;
pub mod tree;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod rfc_tests;
#[cfg(test)]
mod session_tests;

pub use conn::{Config, Connection};
pub use event::{BodyFault, Event, Poll, Refusal, StreamError, reset_message};
