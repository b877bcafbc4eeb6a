//! QUIC (RFC 9000) on sockets of UDP: an endpoint per socket, connections with streams, and clients that are not accepted yet.
//!
//! The state of connections is quinn-proto's, and nothing above sees its types. Sockets and time are here: an [`Endpoint`] has one
//! task, which receives several datagrams per system call, lets connections take them, and sends what they have to say when their
//! own tasks have had a turn, so that answers and acknowledgements of one turn leave together.
//!
//! A client that is not known yet is a [`Incoming`]: its datagrams are held, within limits, until its ClientHello is whole and
//! somebody has chosen what it is answered with.

mod connection;
mod counters;
mod crypto;
mod drive;
mod endpoint;
mod event;
mod forward;
mod ids;
mod incoming;
mod initial;
mod outbox;
mod parameters;
mod shared;
mod state;
mod stream;
mod tokens;

pub use connection::Connection;
pub use counters::{CountFn, QuicEvent};
pub use endpoint::{Endpoint, Setup};
pub use event::{Event, Reason};
pub use incoming::{Incoming, Rejected};
pub use initial::HelloError;
pub use parameters::{Limits, Transport};
pub use stream::{Dir, Read, ReadError, StreamId, WriteError};

#[cfg(test)]
mod tests;
