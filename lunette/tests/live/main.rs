//! Groups that live: servers that are asked whether they are well, that come and go by the API, and what is kept of them.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod backend;
mod health;
mod keyvals;
mod lua;
mod names;
mod protocols;
#[path = "../rig/mod.rs"]
mod rig;
mod status_zones;
