//! `proxy_pass` in `stream`: sessions are passed on to upstream servers, over TCP, unix sockets and UDP.
//!
//! [`handler`] is a session's way: it chooses a server, [`connect`]s, and goes on to the next one where it may. What then moves the
//! bytes is [`relay`] for connections and [`datagrams`] for UDP. What is remembered of the tries is a [`record`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod balancer;
pub mod buffers;
pub mod check;
pub mod connect;
pub mod datagrams;
pub mod groups;
pub mod handler;
pub mod header;
pub mod idle;
pub mod lease;
pub mod pace;
pub mod pass;
pub mod record;
pub mod relay;
pub mod rows;
pub mod settings;
pub mod variables;

pub use rows::MODULE;
