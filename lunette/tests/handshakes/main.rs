//! Handshakes of TLS with the real binary, and Lua in them.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod lua;
#[path = "../rig/mod.rs"]
mod rig;
