//! Groups of upstream servers: which one is next, and what its failures mean. Serves http and stream alike.
#![forbid(unsafe_code)]

pub mod group;
pub mod peer;
pub mod selection;

pub use group::{Group, Policy, Verdict};
pub use peer::{Peer, Server};
pub use selection::Selection;
