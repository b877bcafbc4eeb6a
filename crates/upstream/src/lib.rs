//! Upstream groups: what `upstream { }` and its directives say, whatever is spoken with the servers.
//!
//! Everything here is written once and made for each [`Protocol`]: `http { }` and `stream { }` have groups, zones and ways of
//! choosing of their own, which cannot meet. What only one protocol has (idle connections, `sticky`) it keeps in its part of a
//! block's builder and of a group.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod balancer;
pub mod bind;
pub mod builder;
pub mod checks;
pub mod constraints;
pub mod directory;
pub mod group;
pub mod hosts;
pub mod live;
pub mod methods;
pub mod named;
pub mod named_tests;
pub mod protocol;
pub mod refusal;
pub mod resolve;
pub mod secure;
pub mod server;
pub mod state;
#[cfg(test)]
mod tests;
pub mod url;
pub mod zone;

pub use group::{Upstream, Upstreams};
pub use protocol::Protocol;
