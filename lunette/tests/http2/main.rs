//! HTTP/2 on the real binary: what handlers see of it, hostile peers, and reloads under load.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clients;
mod handlers;
mod hostile;
mod mixtures;
mod reload;
mod resting;
#[path = "../rig/mod.rs"]
mod rig;
mod streams;
mod upstreams;

use rig::{Foreground, Prefix, free_port, get, until};

/// A server with HTTP/2 in clear text on one port, and these locations.
pub(crate) fn server(locations: &str) -> (Prefix, u16, Foreground) {
    server_with("", locations)
}

/// ... and these directives at the level of `http`.
pub(crate) fn server_with(http: &str, locations: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\n\
             http {{ {http}\n server {{ listen 127.0.0.1:{port}; http2 on; location = /ready {{ return 200 ready; }}\n{locations} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    until("a worker", || get(port, "/ready").is_ok());
    (prefix, port, running)
}
