//! What clients must not be able to do to others: bodies that nobody reads, heads that never end, descriptors used up.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod body_left;
mod bounded;
mod cache_disk;
mod cache_keeping;
mod cache_rules;
mod caching;
mod deaths;
mod exhaustion;
mod extremes;
mod header_bytes;
mod includes;
mod kept;
mod leaving;
mod load;
mod log_bytes;
mod long_bodies;
mod lua_faults;
mod model;
mod purging;
mod raw;
mod records;
mod refused;
mod repeated;
#[path = "../rig/mod.rs"]
mod rig;
mod sessions;
mod spread;
mod upstreams;
