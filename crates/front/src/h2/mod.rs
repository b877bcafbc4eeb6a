//! HTTP/2 (RFC 9113): many requests on one connection.
//!
//! `wire::h2` knows the protocol; here its events become requests, and what these write becomes frames. A connection has one
//! task, which reads, frames what all streams have ready, and writes it at once; a request that waits has a task of its own
//! ([`crate::streams`]).

pub mod connection;
pub mod serve;
