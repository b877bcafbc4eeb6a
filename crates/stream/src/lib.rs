//! The contract of stream modules: what a session is, how bytes go both ways, where a module joins.
//!
//! A module sees this crate and nothing beside it. The engine runs sessions, the front accepts them.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod client;
pub mod configuration;
pub mod core;
pub mod datagrams;
pub mod downstream;
pub mod handshake;
mod log_context;
pub mod module;
pub mod pass;
pub mod phase;
pub mod preread;
pub mod server;
pub mod session;
mod transfer;
pub mod variables;
pub mod worker;

pub use ::session::log_client as log_session;
pub use ::session::{BoxFuture, Levels, Outcome, Step};
pub use core::Core;
pub use datagrams::Datagrams;
pub use downstream::Downstream;
pub use module::{Attach, Module};
pub use phase::Phase;
pub use server::Preread;
pub use session::{Configuration, Connection, Endpoint, Listen, PrereadHandler, Server, Session, Worker, status};
pub use variables::{Cache, Complex, Regex, Variables};
