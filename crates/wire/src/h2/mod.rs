//! HTTP/2 (RFC 9113) without input and output.
//!
//! [`Codec`] is the server's side of one connection. The caller feeds it what it read and gets events, hands it what it wants to
//! send, and puts what the connection appends to an output buffer on the wire, many streams' frames in one write.
//!
//! ```
//! use wire::h2::{Config, Codec, Event, frame};
//!
//! let mut out = Vec::new();
//! let mut connection = Codec::new(Config::default(), &mut out);
//! let mut input = frame::PREFACE.to_vec();
//! frame::settings(&[], &mut input);
//! input.extend_from_slice(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x01\x01a");
//!
//! // After each read:
//! connection.begin_turn(0);
//! let mut used = 0;
//! loop {
//!     let poll = connection.poll(&input[used..], &mut out).expect("a well-behaved client");
//!     used += poll.used;
//!     match poll.event {
//!         Some(Event::Request { stream, head, .. }) => {
//!             assert_eq!(head.path.of(connection.fields().bytes()), b"/");
//!             connection.respond(stream, 200, [(&b"server"[..], &b"lunette"[..])], false, &mut out);
//!             connection.queue(stream);
//!         }
//!         Some(_) => {}
//!         None => break,
//!     }
//! }
//! // Before each write, as long as the output is not too long:
//! while let Some(stream) = connection.next_stream() {
//!     let sent = connection.data(stream, b"hello", true, &mut out);
//!     assert_eq!(sent, 5);
//!     connection.close(stream, &mut out);
//! }
//! ```
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
//! | `step` | what receiving has in common at both ends |
//! | `conn`, `receive`, `block`, `send` | the server's connection: state, frames in, header blocks in, frames out |
//! | `client` | the other side, one request at a time |

mod block;
pub mod budget;
#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod client;
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
mod step;
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

pub use conn::{Codec, Config};
pub use event::{BodyFault, Event, Poll, Refusal, StreamError, reset_message};
