//! A response cache: storage rules, files, and the index in shared memory.
//!
//! Nothing here knows requests: that is the proxy's.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod cells;
#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod directives;
pub mod file_store;
pub mod freshness;
pub mod head;
pub mod index;
pub mod key;
mod lease;
pub mod purges;
pub mod queues;
pub mod rfc9111;
pub mod snapshot;
pub mod tags;

pub use cells::Entry;
pub use file_store::FileStore;
pub use head::Head;
pub use index::{Index, LoadState, Policy};
pub use key::Digest;
pub use purges::{Purge, PurgeTarget, Purged};
