//! Real application servers behind Lunette, and a proxy in front: PHP, Python behind uWSGI and gunicorn, Node, gRPC, Redis, memcached,
//! HAProxy. `test.sh` installs them.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod grpc;
mod gunicorn;
mod haproxy;
mod memcached;
mod node;
mod php;
mod redis;
#[path = "../rig/mod.rs"]
mod rig;
mod server;
mod srcache;
mod through;
mod uwsgi;
