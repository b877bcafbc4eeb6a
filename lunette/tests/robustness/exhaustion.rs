//! Connections and descriptors run out: those who ask properly are served, and nothing spins.

use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

fn server(events: &str, main: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log crit; {main}\nevents {{ {events} }}\n\
             http {{ server {{ listen {port}; location / {{ return 200 \"fine\\n\"; }}\n\
             location /large {{ }} location /body {{ client_max_body_size 2k; dav_methods PUT; proxy_pass http://127.0.0.1:1; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

#[test]
fn slow_heads_do_not_shut_others_out() {
    let (_prefix, port, _running) = server("worker_connections 64;", "");
    let mut slow = Vec::new();
    let mut served = 0;
    for round in 0..100 {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // Those that had to go may be gone already.
            drop(stream.write_all(b"GET / HTTP/1.1\r\nHos"));
            slow.push(stream);
        }
        served += usize::from(get(port, &format!("/{round}")).is_ok_and(|answer| answer.text() == "fine\n"));
    }
    assert!(served >= 99, "{served} of 100");
}

/// Bodies that drip and answers that nobody takes: who asks properly is served.
#[test]
fn slow_bodies_and_readers_do_not_shut_others_out() {
    let (prefix, port, _running) = server("worker_connections 64;", "");
    prefix.write("html/large", &"x".repeat(20 << 20));
    for slow_request in ["POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let (mut slow, mut served) = (Vec::new(), 0);
        for round in 0..100 {
            for _ in 0..3 {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                // Those that had to go may be gone already.
                drop(stream.write_all(slow_request.as_bytes()));
                slow.push(stream);
            }
            slow.iter_mut().for_each(|stream| drop(stream.write_all(b"x")));
            served += usize::from(get(port, &format!("/{round}")).is_ok_and(|answer| answer.text() == "fine\n"));
        }
        assert!(served >= 99, "{served} of 100 beside {slow_request:?}");
    }
}

#[test]
fn descriptors_run_out_and_come_back() {
    let (prefix, port, _running) = server("worker_connections 1024;", "worker_rlimit_nofile 64;");
    let mut idle: Vec<_> = (0..120).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    until("a lack of descriptors", || prefix.read("logs/error.log").contains("accept4() failed (24: Too many open files)"));
    idle.clear();
    until("an answer", || get(port, "/").is_ok_and(|answer| answer.text() == "fine\n"));
    // A rest of half a second lies between two attempts: a spin would have written thousands.
    let lines = prefix.read("logs/error.log").matches("accept4() failed").count();
    assert!(lines < 100, "{lines} failed attempts");
}

#[test]
fn slow_heads_do_not_keep_all_descriptors() {
    let (prefix, port, _running) = server("worker_connections 1024;", "worker_rlimit_nofile 64;");
    let slow: Vec<_> = (0..120)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            drop(stream.write_all(b"GET / HTTP/1.1\r\nHos"));
            stream
        })
        .collect();
    until("a lack of descriptors", || prefix.read("logs/error.log").contains("accept4() failed (24: Too many open files)"));
    until("an answer", || get(port, "/").is_ok_and(|answer| answer.text() == "fine\n"));
    drop(slow);
}

#[test]
fn a_full_pipe_as_access_log_costs_lines_and_nothing_else() {
    let prefix = Prefix::new();
    let port = free_port();
    let pipe = prefix.path.join("logs/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log warn;\nevents {{ }}\n\
             http {{ access_log logs/pipe; server {{ listen {port}; location / {{ return 200 \"fine\\n\"; }} }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let path = format!("/{}", "x".repeat(1000));
    for _ in 0..200 {
        assert_eq!(get(port, &path).unwrap().text(), "fine\n");
    }
    let log = prefix.read("logs/error.log");
    let warnings = log.matches("[warn]").count();
    assert!(log.contains("failed (11: Resource temporarily unavailable), lines dropped: "), "{log}");
    // One a second, not one a line.
    assert!(warnings < 100, "{warnings} warnings");
}
