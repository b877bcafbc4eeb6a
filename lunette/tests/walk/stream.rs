//! Sessions of `stream` beside the life of the server's processes.

use crate::rig::{BINARY, Prefix, free_port, signal, until};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

/// One server that answers `word`, over TCP and UDP, and one whose sessions wait for a PROXY header.
fn configuration(port: u16, waiting: u16, word: &str, more: &str) -> String {
    format!(
        "worker_processes 1;\nerror_log logs/error.log info;\n{more}\nevents {{ }}\nstream {{\n\
         server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{port} udp; return {word}; }}\n\
         server {{ listen 127.0.0.1:{waiting} proxy_protocol; proxy_protocol_timeout 1h; return \"$proxy_protocol_addr {word}\"; }}\n}}\n"
    )
}

fn started(more: &str) -> (Prefix, u16, u16) {
    let (prefix, port, waiting) = (Prefix::new(), free_port(), free_port());
    prefix.write("conf/nginx.conf", &configuration(port, waiting, "one", more));
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (prefix, port, waiting)
}

fn hear(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text = String::new();
    drop(stream.read_to_string(&mut text));
    text
}

fn say(port: u16) -> String {
    TcpStream::connect(("127.0.0.1", port)).map(|mut stream| hear(&mut stream)).unwrap_or_default()
}

/// Asks over UDP until an answer comes: a datagram may be lost while the server starts.
fn ask(port: u16) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buffer = [0; 100];
    let mut heard = String::new();
    until("an answer over UDP", || {
        drop(socket.send(b"?"));
        socket.recv(&mut buffer).is_ok_and(|length| {
            heard = String::from_utf8_lossy(&buffer[..length]).into_owned();
            true
        })
    });
    heard
}

#[test]
fn a_session_outlives_a_reload_and_datagrams_go_to_the_new_workers() {
    let (prefix, port, waiting) = started("");
    until("the server", || say(port) == "one");
    assert_eq!(ask(port), "one");
    let mut old = TcpStream::connect(("127.0.0.1", waiting)).unwrap();
    until("the session", || prefix.read("logs/error.log").contains(&format!("connected to 127.0.0.1:{waiting}")));
    prefix.write("conf/nginx.conf", &configuration(port, waiting, "two", ""));
    assert!(prefix.run(&["-s", "reload"]).status.success());
    until("the new configuration", || say(port) == "two" && ask(port) == "two");
    old.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n").unwrap();
    assert_eq!(hear(&mut old), "192.0.2.7 one");
    assert!(prefix.run(&["-s", "quit"]).status.success());
    until("the end of the server", || prefix.is_down());
}

#[test]
fn worker_shutdown_timeout_ends_sessions() {
    let (prefix, port, waiting) = started("worker_shutdown_timeout 100ms;");
    until("the server", || say(port) == "one");
    let mut client = TcpStream::connect(("127.0.0.1", waiting)).unwrap();
    until("the session", || prefix.read("logs/error.log").contains(&format!("connected to 127.0.0.1:{waiting}")));
    assert!(prefix.run(&["-s", "quit"]).status.success());
    assert_eq!(hear(&mut client), "");
    until("the end of the server", || prefix.is_down());
    assert!(prefix.read("logs/error.log").contains("shutdown timeout while reading PROXY protocol, client: 127.0.0.1, server: "));
}

#[test]
fn a_new_binary_inherits_the_sockets_of_datagrams() {
    let (prefix, port, _) = started("");
    until("the server", || say(port) == "one");
    let old = prefix.master();
    signal("-USR2", old);
    until("the new master", || prefix.read("logs/nginx.pid").trim().parse::<i32>().is_ok_and(|pid| pid != old));
    signal("-QUIT", old);
    until("the end of the old master", || !std::path::Path::new(&format!("/proc/{old}")).exists());
    assert_eq!(ask(port), "one");
    assert_eq!(say(port), "one");
    assert!(!prefix.read("logs/error.log").contains("[emerg]"), "{} {BINARY}", prefix.read("logs/error.log"));
    assert!(prefix.run(&["-s", "stop"]).status.success());
    until("the end of the server", || prefix.is_down());
}

/// Of a client that leaves without a word, or that says something else than TLS, nothing is known; of one that begins a hello it is known that it has named nobody.
#[test]
fn who_says_nothing_is_not_looked_at() {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log;\nevents {{ }}\nstream {{ log_format f \"$ssl_preread_server_name|$ssl_preread_protocol;\";\n\
             access_log logs/access.log f; server {{ listen 127.0.0.1:{port}; ssl_preread on; return x; }} }}\n"
        ),
    );
    // Who looks whether the server is there says nothing either.
    let _running = crate::rig::Foreground::start(&prefix, port, "").unwrap();
    until("its line", || prefix.read("logs/access.log").contains("-|-;"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"hello, hello").unwrap();
    assert_eq!(hear(&mut stream), "x");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"\x16\x03\x01").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    hear(&mut stream);
    until("its line", || prefix.read("logs/access.log").contains("\n|;"));
    assert!(prefix.read("logs/access.log").lines().all(|line| ["-|-;", "|;"].contains(&line)));
}
