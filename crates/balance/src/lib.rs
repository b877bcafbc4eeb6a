//! Groups of upstream servers: selecting the next one and evaluating failures. Serves http and stream alike.
//!
//! A [`Group`] has a [`Snapshot`] of peers, which never changes: when addresses come or go, another one takes its place, and who
//! is choosing among the old one goes on with it. What changes all the time (turns, failures, connections) is behind
//! [`Counters`]: cells of this worker, or words of a zone that all workers share ([`shared`]).
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod counters;
pub mod edit;
pub mod group;
pub mod health;
pub mod member;
pub mod method;
pub mod peer;
mod ring;
pub mod selection;
pub mod server;
pub mod sessions;
pub mod shared;
pub mod snapshot;
pub mod template;
mod tier;

pub use counters::{Counter, Counters};
pub use edit::{Edit, Refusal};
pub use group::{Group, Verdict};
pub use health::Health;
pub use member::{Member, Name};
pub use method::{Balancing, Measure};
pub use peer::{Choice, Peer, Timing};
pub use selection::Selection;
pub use server::{Server, ServerState};
pub use sessions::Sessions;
pub use shared::SharedPeers;
pub use snapshot::Snapshot;
pub use template::{Resolved, Template, Update};
