//! `keepalive_min_timeout`: idle connections that are not closed early; and `tcp_nopush`, which holds a head back for its file.

use crate::rig::{Foreground, Prefix, connect, free_port, parked, until};
use std::io::{Read, Write};
use std::net::TcpStream;

fn server(port: u16, directives: &str) -> (Prefix, Foreground) {
    let prefix = Prefix::new();
    prefix.write("html/large.bin", &"x".repeat(60_000));
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log notice; events {{ worker_connections 64; }}
             http {{ access_log off; server {{ listen {port}; {directives} location = /word {{ return 200 word; }} }} }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, running)
}

/// An answer to `GET /word`; empty if the connection is closed instead.
fn word(stream: &mut TcpStream) -> String {
    // What is written to a connection that was closed shows at the reading.
    drop(stream.write_all(b"GET /word HTTP/1.1\r\nHost: a\r\n\r\n"));
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"\r\n\r\nword") {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_worker_that_leaves_waits_for_the_next_request() {
    for (directives, is_kept) in
        [("keepalive_min_timeout 50s;", true), ("keepalive_min_timeout 50s; keepalive_timeout 0;", false), ("", false)]
    {
        let port = free_port();
        let (prefix, server) = server(port, directives);
        let mut stream = connect(port);
        assert!(word(&mut stream).ends_with("word"));
        // One that is kept is not parked before.
        if directives.is_empty() {
            until("the connection to be parked", || parked(server.child.id()) == 1);
        }
        server.signal("-QUIT");
        until("the end to begin", || prefix.read("logs/error.log").contains("gracefully shutting down"));
        if !is_kept {
            until("the end", || prefix.is_down());
        }
        let answer = word(&mut stream);
        assert_eq!(answer.contains("Connection: close"), is_kept, "{directives}: {answer}");
        until("the end", || prefix.is_down());
    }
}

#[test]
fn a_head_waits_for_its_file() {
    let port = free_port();
    let (_prefix, _server) = server(port, "tcp_nopush on;");
    for _ in 0..50 {
        let mut stream = connect(port);
        stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut first = [0; 65536];
        let n = stream.read(&mut first).unwrap();
        let text = String::from_utf8_lossy(&first[..n]).into_owned();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!body.is_empty(), "the head came alone");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(body.len() + rest.len(), 60_000);
    }
}
