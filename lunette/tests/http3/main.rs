//! HTTP/3 on the real binary: what handlers see of it, hostile peers, and reloads under load.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod handlers;
mod hostile;
mod hq;
mod network;
mod reload;
#[path = "../rig/mod.rs"]
mod rig;
mod streams;

use rig::{Foreground, Prefix, free_port, get, until};

/// A server with HTTP/3 and, on the TCP port of the same number, HTTP/1 in clear text; with these locations.
pub(crate) fn server(locations: &str) -> (Prefix, u16, Foreground) {
    server_with("", locations)
}

/// ... and these directives at the level of `http`.
pub(crate) fn server_with(http: &str, locations: &str) -> (Prefix, u16, Foreground) {
    server_in("", http, locations)
}

/// ... and these at the top.
pub(crate) fn server_in(global: &str, http: &str, locations: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    prefix.write("conf/cert.pem", &pair.cert.pem());
    prefix.write("conf/key.pem", &pair.signing_key.serialize_pem());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\n\
             http {{ {http}\n ssl_certificate cert.pem; ssl_certificate_key key.pem; access_log logs/access.log;\n\
             server {{ listen 127.0.0.1:{port} quic; listen 127.0.0.1:{port}; location = /ready {{ return 200 ready; }}\n{locations} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, global).unwrap();
    until("a worker", || get(port, "/ready").is_ok());
    (prefix, port, running)
}
