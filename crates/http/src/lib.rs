//! The contract of HTTP modules: what a request is, how a response leaves, where a module joins.
//!
//! A module sees this crate and nothing beside it. The engine runs requests, the front speaks the wire; both are
//! reached through [`Engine`] and [`Downstream`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod assigned;
pub mod blocks;
pub mod body;
pub mod cache_report;
pub mod chain;
mod client;
pub mod connection;
pub mod content_type;
pub mod core;
pub mod discard;
mod early_hints;
mod final_headers;
pub mod flags;
pub mod headers;
pub mod http2;
pub mod http3;
pub mod line;
pub mod location;
pub mod log_context;
pub mod method;
pub mod metrics;
pub mod module;
pub mod next_filters;
pub mod output;
pub mod path;
pub mod permissions;
pub mod phase;
pub mod program;
pub mod protocols;
pub mod purge_registry;
pub mod quic;
pub mod request;
pub mod request_pool;
pub mod request_zones;
pub mod resolving;
pub mod response;
#[cfg(any(test, feature = "rig"))]
pub mod rig;
pub mod root;
pub mod set_function;
pub mod set_header;
pub mod temp_path;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod tunnel;
pub mod variables;
mod withheld_header;
pub mod worker;

pub use chain::{Chain, FilePiece, Piece};
pub use connection::{Connection, Downstream};
pub use core::Core;
pub use headers::Headers;
pub use location::{Location, Server};
pub use method::Method;
pub use module::{Attach, Levels, Module};
pub use phase::Phase;
pub use request::{Jump, Request};
pub use root::Http;
pub use session::log_client as log_request;
pub use session::{BoxFuture, Outcome, Step, contexts, log_files, resources};
pub use variables::{Cache, Complex, Regex, Variables};
pub use worker::{Engine, Worker};
