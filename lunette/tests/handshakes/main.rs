//! Handshakes of TLS with the real binary, and Lua in them.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acme;
mod client;
mod lua;
mod ocsp;
mod parking;
mod renewal;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../../../crates/tls/tests/given/shop.rs"]
#[allow(dead_code)]
mod shop;
mod stream;
mod stream_lua;
