//! HTTP/3 (RFC 9114): many requests on one connection of QUIC, each on a stream of its own.
//!
//! `wire::h3` knows the protocol, [`crate::streams`] what a stream does for its request, and `net::quic` the transport. A connection has one
//! task, which follows the transport's events, reads, and gives streams their turn; a request that waits has a task of its own. What is
//! written goes to the transport at once, which sends it when the turn of the event loop ends.
//!
//! `hq-interop` is HTTP/0.9 on such streams, by which implementations of QUIC are tried against each other: the same connection without
//! frames.

pub mod connection;
mod framing;
mod hq;
mod receive;
pub mod serve;
