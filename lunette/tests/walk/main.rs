//! The first steps of a user, each as typed: start, ask, reload, reopen, stop; and what goes wrong on the way.
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod advice;
mod balancer;
mod command_line;
mod diagnostics;
mod generations;
mod geoip2;
mod images;
mod libraries;
mod lua;
mod lua_calls;
mod lua_process;
mod manual;
mod metrics;
mod modes;
mod names;
mod packaging;
mod passed_on;
mod phases;
mod post_action;
mod processes;
mod ready;
mod refused;
mod responses;
mod resty;
#[path = "../rig/mod.rs"]
mod rig;
mod secure;
mod sessions;
mod ssi;
mod stream;
mod stream_lua;
mod stream_lua_calls;
mod targets;
mod traces;
mod tunnel;
mod upstream_responses;
mod verdicts;

use rig::Prefix;

/// A configuration that answers `word` on `port`.
pub(crate) fn configuration(port: u16, word: &str) -> String {
    format!(
        "worker_processes 1;\nerror_log logs/error.log notice;\nevents {{ worker_connections 10224; }}\n\
         http {{\n    server {{\n        listen {port};\n        location / {{ return 200 \"{word}\\n\"; }}\n    }}\n}}\n"
    )
}

/// Starts a server with `main` in its `http` block and `inside` in the only `server`; its port.
pub(crate) fn serve(prefix: &Prefix, main: &str, inside: &str) -> u16 {
    let port = rig::free_port();
    let text = format!(
        "worker_processes 1;\nerror_log logs/error.log;\nevents {{ worker_connections 10224; }}\n\
         http {{\n{main}\nserver {{\nlisten {port};\n{inside}\n}}\n}}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    port
}

/// A prefix whose server has been started with `-p` alone, and its port.
pub(crate) fn started(word: &str) -> (Prefix, u16) {
    let prefix = Prefix::new();
    let port = rig::free_port();
    prefix.write("conf/nginx.conf", &configuration(port, word));
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (prefix, port)
}
