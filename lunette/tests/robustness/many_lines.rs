//! Many tiny header lines cost little beside their own bytes, as long as their request lives.

use crate::rig::{Foreground, PATIENCE, Prefix, free_port, h2, h3, memory};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Clients at once: enough that what one connection more or less costs does not count.
const CLIENTS: usize = 120;
const LINES: usize = 990;
const LINE: (&str, &str) = ("x-1", "abc");

fn server() -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log;\nevents {{ worker_connections 1000; }}\nhttp {{\n\
             ssl_certificate_key cert.key; ssl_certificate cert.pem; server {{\n\
             listen 127.0.0.1:{port}; listen 127.0.0.1:{port} quic; http2 on;\n\
             location / {{ content_by_lua_block {{ ngx.print('x') ngx.flush(true) ngx.sleep(600) }} }} }} }}\n"
        ),
    );
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    prefix.write("conf/cert.pem", &made.cert.pem());
    prefix.write("conf/cert.key", &made.signing_key.serialize_pem());
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

fn fields(count: usize) -> Vec<(&'static str, &'static str)> {
    vec![LINE; count]
}

fn http1(port: u16, count: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines: String = fields(count).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").as_bytes()).unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    stream
}

fn http2(port: u16, count: usize) -> h2::Client {
    let mut client = h2::Client::connect(port);
    let id = client.request("GET", "/", &fields(count), None);
    client.until("a head", |client| client.replies.get(&id).is_some_and(|reply| reply.answer.status == 200));
    client
}

fn http3(port: u16, count: usize) -> h3::Client {
    let mut client = h3::Client::connect(port);
    let id = client.request("GET", "/", &fields(count), None);
    client.until(|client| client.peek(id).status == 200);
    client
}

/// What the worker holds with so many requests at once.
fn held<T>(count: usize, client: fn(u16, usize) -> T) -> u64 {
    let (_prefix, port, running) = server();
    let clients: Vec<T> = (0..CLIENTS).map(|_| client(port, count)).collect();
    let held = memory(&running);
    drop(clients);
    held
}

fn assert_cheap<T>(client: fn(u16, usize) -> T) {
    let (name, value) = LINE;
    let own = (CLIENTS * (LINES - 1) * format!("{name}: {value}\r\n").len()) as u64;
    // What is on its way at that moment comes on top, and differs: the least of several is what the lines themselves cost.
    let costs = (0..3).map(|_| {
        let few = held(1, client);
        held(LINES, client).saturating_sub(few)
    });
    let cost = costs.min().unwrap_or(u64::MAX);
    println!("{:.2} times their bytes", cost as f64 / own as f64);
    assert!(cost <= 3 * own, "{cost} for {own}");
}

#[test]
fn over_http1() {
    assert_cheap(http1);
}

#[test]
fn over_http2() {
    assert_cheap(http2);
}

#[test]
fn over_http3() {
    assert_cheap(http3);
}
