//! What Lua code of every protocol's sessions has in common: directives that hold code, its compilation and its run,
//! `ngx.var`, `ngx.ctx`, balancers, handshakes, and the code at the start and end of processes.
//!
//! All of it is written for a [`Protocol`] and is compiled once for each: `lua-api` is HTTP's, `stream-lua` that of `stream`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod balancer;
pub mod balancing;
pub mod client;
pub mod code;
pub mod control;
pub mod ctx;
pub mod directive;
pub mod entry;
pub mod handshakes;
pub mod host;
pub mod machines;
pub mod names;
pub mod options;
pub mod output;
pub(crate) mod process_code;
pub mod process_rows;
pub mod protocol;
pub mod secure_settings;
pub mod settings;
pub mod slots;
pub mod socket_settings;
pub mod ssl;
pub mod start;
pub mod state;
pub mod upstream_handshakes;
pub mod var;

pub use code::{Code, PhaseCode};
pub use entry::{Entry, Run};
pub use host::Host;
pub use protocol::Protocol;
pub use state::SessionState;
