//! Front ends: a worker's event loop, the protocols of its connections, and `stream` sessions.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod active;
pub mod buffers;
pub mod compact;
mod datagrams;
pub mod fields;
pub mod h1;
pub mod h2;
pub mod h3;
pub mod handshake;
pub mod input;
pub mod output;
pub mod pace;
mod pass;
pub(crate) mod prologue;
pub mod protocol;
pub mod proxy_protocol;
pub mod quic;
pub mod request;
pub mod serve;
pub mod service;
pub mod sessions;
pub mod share;
mod stream_service;
pub mod streams;
#[cfg(test)]
mod tests;
