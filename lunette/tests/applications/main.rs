//! Real application servers behind Lunette: PHP, Python behind uWSGI, gRPC, Redis. `test.sh` installs them.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod grpc;
mod php;
mod redis;
#[path = "../rig/mod.rs"]
mod rig;
mod server;
mod srcache;
mod uwsgi;
