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
//! | `conn`, `receive`, `block`, `send` | the connection: state, frames in, header blocks in, frames out |

mod block;
pub mod budget;
mod conn;
pub mod error;
pub mod frame;
pub mod priority;
mod receive;
pub mod request;
pub mod schedule;
mod send;
pub mod settings;
mod stream;
pub mod tree;

pub use conn::{BodyFault, Config, Connection, Event, Poll, Refusal, StreamError, reset_message};
