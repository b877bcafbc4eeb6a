//! Sockets: listening, accepting, connecting, streams, and where idle connections wait.
//!
//! Everything that registers with the event loop belongs to a worker and is made after the fork; [`listener`] is what
//! the master uses before it.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod accept;
pub mod address;
pub mod connect;
pub mod datagram;
pub mod deadline;
pub mod kernel_timer;
pub mod listener;
pub mod park;
pub mod pool;
pub mod quic;
pub mod shared_datagrams;
pub mod stream;
pub mod ticker;
pub mod time;
pub mod tls;
pub mod turn;
