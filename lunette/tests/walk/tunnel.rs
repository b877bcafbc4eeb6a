//! A client that reaches another server through CONNECT.

use crate::rig::{Foreground, PATIENCE, Prefix, free_port, get, until};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends CONNECT; the head of the answer, and the connection behind it.
fn connect(port: u16, target: &str, more: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // What `Host` says has no say in where it goes.
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: elsewhere:1\r\n{more}\r\n").as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    (String::from_utf8(head).unwrap(), stream)
}

#[test]
fn bytes_go_both_ways_behind_connect() {
    let prefix = Prefix::new();
    let (port, own) = (free_port(), free_port());
    prefix.write("conf/users", "me:{PLAIN}secret\n");
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\n\
             http {{ server {{ listen 127.0.0.1:{port}; location / {{ return 200 page; }} }}\n\
             server {{ listen 127.0.0.1:{own}; auth_basic proxy; auth_basic_user_file users; tunnel_pass; }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    until("a worker", || get(port, "/").is_ok());
    let target = format!("127.0.0.1:{port}");
    let (refused, _) = connect(own, &target, "");
    assert!(refused.starts_with("HTTP/1.1 407 ") && refused.contains("Proxy-Authenticate: Basic realm=\"proxy\""), "{refused}");
    let me = "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n";
    let (head, mut stream) = connect(own, &target, me);
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("Transfer-Encoding") && !head.contains("Content-Length"), "{head}");
    for connection in ["keep-alive", "close"] {
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n").as_bytes()).unwrap();
    }
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("page").count(), 2, "{answers}");
    // A server without `tunnel_pass` refuses.
    assert!(connect(port, &target, me).0.starts_with("HTTP/1.1 405 "));
    let (head, _) = connect(own, &format!("127.0.0.1:{}", free_port()), me);
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}
