//! What `stream` refuses of upstream servers, and what the log and `$upstream_*` tell of sessions that are passed on.

use crate::rig::{Foreground, PATIENCE, Prefix, free_port, until};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

/// What `-t` says of a `stream` block.
fn refused(stream: &str, more: &str) -> String {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", &format!("events {{ }} {more} stream {{ {stream} }}\n"));
    let output = prefix.run(&["-t"]);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_wrong_with_groups_and_servers_is_said_in_nginxs_words() {
    for (stream, line) in [
        ("upstream u { }", "no servers are inside upstream"),
        ("upstream u { server 127.0.0.1; }", "no port in upstream \"127.0.0.1\""),
        ("upstream u { zone z 64k; resolver 127.0.0.1; server a.test resolve; }", "no port in upstream \"a.test\""),
        ("upstream u { server nothing.invalid:80; }", "host not found in upstream \"nothing.invalid:80\""),
        ("upstream u { server 127.0.0.1:80/x; }", "invalid host in upstream \"127.0.0.1:80/x\""),
        ("upstream u { server a.test:1 resolve; }", "resolving names at run time requires upstream \"u\" to be in shared memory"),
        ("upstream u { zone z 64k; server a.test:1 resolve; }", "no resolver defined to resolve names at run time in upstream \"u\""),
        ("upstream u { server a.test service=x; }", "service upstream \"a.test\" requires \"resolve\" parameter"),
        ("upstream u { server 127.0.0.1:1 slow_start=1s; }", "invalid parameter \"slow_start=1s\""),
        ("upstream u { server 127.0.0.1:1 route=a; }", "invalid parameter \"route=a\""),
        ("upstream u { server 127.0.0.1:1 drain; }", "invalid parameter \"drain\""),
        ("upstream u { hash $remote_addr; server 127.0.0.1:1 backup; }", "balancing method does not support parameter \"backup\""),
        ("upstream u { random two least_time=connect; server 127.0.0.1:1; }", "invalid parameter \"least_time=connect\""),
        ("upstream u { least_time header; server 127.0.0.1:1; }", "invalid value \"header\""),
        ("upstream u { keepalive 1; server 127.0.0.1:1; }", "\"keepalive\" directive is not allowed here"),
        ("upstream u { ip_hash; server 127.0.0.1:1; }", "\"ip_hash\" directive is not allowed here"),
        ("upstream u { sticky cookie a; server 127.0.0.1:1; }", "\"sticky\" directive is not allowed here"),
        ("upstream u { server 127.0.0.1:1; } upstream U { server 127.0.0.1:1; }", "duplicate upstream \"U\""),
        ("upstream u { server 127.0.0.1:1; } server { listen 1; proxy_pass u:1; }", "upstream \"u\" may not have port 1"),
        ("server { listen 1; proxy_pass nothing.invalid:1; }", "host not found in upstream \"nothing.invalid\""),
        ("server { listen 1; proxy_pass 127.0.0.1; }", "no port in upstream \"127.0.0.1\""),
        ("server { listen 1; proxy_pass 127.0.0.1:0; }", "invalid port in upstream \"127.0.0.1:0\""),
        ("server { listen 1; proxy_pass 127.0.0.1:1; proxy_pass 127.0.0.1:1; }", "\"proxy_pass\" directive is duplicate"),
        ("proxy_bind 127.0.0.x;", "invalid address \"127.0.0.x\""),
        ("proxy_bind 127.0.0.1 opaque;", "invalid parameter \"opaque\""),
        ("proxy_protocol v3;", "invalid value \"v3\""),
        ("proxy_upload_rate fast;", "\"proxy_upload_rate\" directive invalid value"),
        ("proxy_ssl_key_log a;", "\"proxy_ssl_key_log\" directive is not allowed here"),
        (
            "server { listen 1; proxy_pass 127.0.0.1:1; proxy_ssl on; proxy_ssl_verify on; }",
            "no proxy_ssl_trusted_certificate for proxy_ssl_verify",
        ),
    ] {
        let said = refused(stream, "");
        assert!(said.contains(&format!("[emerg] {line}")), "{stream}\n{line}\n{said}");
    }
    let both = refused("upstream u { zone z 64k; server 127.0.0.1:1; }", "http { upstream u { zone z 64k; server 127.0.0.1:1; } }");
    assert!(both.contains("the shared memory zone \"z\" is already declared for a different use"), "{both}");
    let fine = refused("proxy_downstream_buffer 8k; upstream u { server 127.0.0.1:1; }", "http { upstream u { server 127.0.0.1:1; } }");
    let warning = "[warn] the \"proxy_downstream_buffer\" directive is deprecated, use the \"proxy_buffer_size\" directive instead";
    assert!(fine.contains(warning) && fine.contains("test is successful"), "{fine}");
}

/// A server whose sessions end as soon as their upstream servers cannot be had, each on a port of its own.
struct Fixture {
    prefix: Prefix,
    _server: Foreground,
}

fn start(port: u16, blocks: &str) -> Fixture {
    let prefix = Prefix::new();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}\nstream {{\n\
             log_format way '$server_port $status $bytes_received/$bytes_sent [$upstream_addr] [$upstream_bytes_sent] [$upstream_bytes_received]';\n\
             access_log logs/access.log way;\n{blocks}\n}}\n"
        ),
    );
    let server = Foreground::start(&prefix, port, "").unwrap();
    Fixture { prefix, _server: server }
}

fn hear(port: u16, word: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who is gone already says so by his silence.
    drop(stream.write_all(word));
    let mut heard = Vec::new();
    drop(stream.read_to_end(&mut heard));
    heard
}

/// Answers one client, and closes.
fn answering(answer: &'static [u8], reads: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut heard = vec![0; reads];
            drop(stream.read_exact(&mut heard));
            drop(stream.write_all(answer));
        }
    });
    port
}

/// Levels and words of an error log: the process and the connection stand between them.
fn plain_text(log: &str) -> String {
    let words = |line: &str| {
        let (level, rest) = (line.find('[')?, line.find(": ").map(|at| at + 2)?);
        let end = line[level..].find(']')? + level + 1;
        let rest = line[rest..].strip_prefix('*').map_or(&line[rest..], |rest| rest.split_once(' ').map_or(rest, |(_, rest)| rest));
        Some(format!("{} {rest}\n", &line[level..end]))
    };
    log.lines().filter_map(words).collect()
}

#[test]
fn each_end_of_a_session_has_its_line() {
    let [plain, refused, none, bound, named, next, silent] = std::array::from_fn(|_| free_port());
    let (dead, live) = (free_port(), answering(b"answer", 4));
    let stalled = TcpListener::bind("127.0.0.1:0").unwrap();
    let stalled = stalled.local_addr().map(|address| (address.port(), stalled)).unwrap();
    let fixture = start(
        plain,
        &format!(
            "upstream pair {{ server 127.0.0.1:{dead}; server 127.0.0.1:{live}; }}\n\
             upstream bound {{ server 127.0.0.1:{dead}; server 127.0.0.1:{live}; }}\n\
             upstream down {{ server 127.0.0.1:{live} down; server 127.0.0.1:{dead} down; }}\n\
             server {{ listen 127.0.0.1:{plain}; proxy_pass 127.0.0.1:{live}; }}\n\
             server {{ listen 127.0.0.1:{refused}; proxy_pass 127.0.0.1:{dead}; }}\n\
             server {{ listen 127.0.0.1:{none}; proxy_pass down; }}\n\
             server {{ listen 127.0.0.1:{bound}; proxy_bind 192.0.2.1; proxy_pass bound; }}\n\
             server {{ listen 127.0.0.1:{named}; set $to a.test:1; proxy_pass $to; }}\n\
             server {{ listen 127.0.0.1:{next}; proxy_pass pair; }}\n\
             server {{ listen 127.0.0.1:{silent}; proxy_timeout 200ms; proxy_pass 127.0.0.1:{}; }}",
            stalled.0
        ),
    );
    assert_eq!(hear(plain, b"word"), b"answer");
    for port in [refused, none, bound, named, silent] {
        assert!(hear(port, b"word").is_empty());
    }
    assert_eq!(hear(next, b"word"), b"answer");
    let none_at_all = "bytes from/to client:0/0, bytes from/to upstream:0/0";
    let place = |port: u16| format!("client: 127.0.0.1, server: 127.0.0.1:{port}");
    let lines = [
        "[info] upstream disconnected, bytes from/to client:4/6, bytes from/to upstream:6/4".to_owned(),
        format!("connected to 127.0.0.1:{live}"),
        format!(
            "[error] connect() failed (111: Connection refused) while connecting to upstream, {}, upstream: \"127.0.0.1:{dead}\", {none_at_all}",
            place(refused)
        ),
        format!("[error] no live upstreams while connecting to upstream, {}, upstream: \"down\", {none_at_all}", place(none)),
        format!(
            "[crit] bind(192.0.2.1) failed (99: Cannot assign requested address) while connecting to upstream, {}, upstream: \"127.0.0.1:{dead}\", {none_at_all}",
            place(bound)
        ),
        format!("[error] no resolver defined to resolve a.test, {}, {none_at_all}", place(named)),
        format!(
            "[info] connection timed out (110: Connection timed out) while proxying connection, {}, upstream: \"127.0.0.1:{}\", bytes from/to client:4/0, bytes from/to upstream:0/4",
            place(silent),
            stalled.0
        ),
    ];
    for line in &lines {
        until(line, || plain_text(&fixture.prefix.read("logs/error.log")).contains(line));
    }
    let accesses = [
        format!("{plain} 200 4/6 [127.0.0.1:{live}] [4] [6]"),
        format!("{refused} 502 0/0 [127.0.0.1:{dead}] [0] [0]"),
        format!("{none} 502 0/0 [down] [0] [0]"),
        format!("{bound} 500 0/0 [127.0.0.1:{dead}] [0] [0]"),
        format!("{named} 500 0/0 [-] [-] [-]"),
        format!("{next} 200 4/6 [127.0.0.1:{dead}, 127.0.0.1:{live}] [0, 4] [0, 6]"),
        format!("{silent} 200 4/0 [127.0.0.1:{}] [4] [0]", stalled.0),
    ];
    for line in &accesses {
        until(line, || fixture.prefix.read("logs/access.log").lines().any(|one| one == line));
    }
}

#[test]
fn a_server_that_answers_no_datagram_has_failed() {
    let (port, silent) = (free_port(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let behind = silent.local_addr().unwrap().port();
    let fixture = start(
        port,
        &format!(
            "server {{ listen 127.0.0.1:{port}; return here; }}\n\
             server {{ listen 127.0.0.1:{port} udp; proxy_timeout 100ms; proxy_responses 1; proxy_pass 127.0.0.1:{behind}; }}"
        ),
    );
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let line = format!(
        "upstream timed out (110: Connection timed out) while proxying connection, udp client: 127.0.0.1, server: 127.0.0.1:{port}, \
         upstream: \"127.0.0.1:{behind}\", bytes from/to client:4/0, bytes from/to upstream:0/4"
    );
    client.send_to(b"word", ("127.0.0.1", port)).unwrap();
    until("the line", || fixture.prefix.read("logs/error.log").contains(&line));
    until("the access log", || fixture.prefix.read("logs/access.log").contains(&format!("{port} 502 4/0 [127.0.0.1:{behind}] [4] [0]")));
}

/// Half of a session may end and the other go on, with TLS or without, and what is under way is not lost.
#[test]
fn large_transfers_end_whole_both_ways() {
    let (front, secure, middle) = (free_port(), free_port(), free_port());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let behind = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                // All that the client says, and only then the answer, twice as long.
                let mut heard = Vec::new();
                drop(stream.read_to_end(&mut heard));
                drop(stream.write_all(&heard));
                drop(stream.write_all(&heard));
            });
        }
    });
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fixture = Prefix::new();
    fixture.write("conf/server.crt", &made.cert.pem());
    fixture.write("conf/server.key", &made.signing_key.serialize_pem());
    fixture.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log info; events {{ }}\nstream {{ proxy_half_close on;\n\
             server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{behind}; }}\n\
             server {{ listen 127.0.0.1:{secure}; proxy_ssl on; proxy_protocol v2; proxy_pass 127.0.0.1:{middle}; }}\n\
             server {{ listen 127.0.0.1:{middle} ssl proxy_protocol; ssl_certificate server.crt; ssl_certificate_key server.key;\n\
             proxy_pass 127.0.0.1:{behind}; }} }}\n"
        ),
    );
    let _server = Foreground::start(&fixture, front, "").unwrap();
    let pattern: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    for port in [front, secure] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&pattern).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), pattern.len() * 2, "{}", fixture.read("logs/error.log"));
        assert!(heard == [pattern.as_slice(), &pattern].concat());
    }
}

/// The privileges of the first worker, once it has left root.
fn privileges(prefix: &Prefix) -> String {
    let mut found = String::new();
    until("a worker that has left root", || {
        let master = prefix.read("logs/nginx.pid").trim().to_owned();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        let worker = children.split_whitespace().next().unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
        let word = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default().to_owned();
        found = word("CapEff:");
        !found.is_empty() && !word("Uid:").starts_with("0\t")
    });
    found
}

#[test]
fn workers_keep_the_privilege_for_transparent_sockets_and_no_other() {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    if !own.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        // Who is not root has nothing that a worker could keep.
        return;
    }
    for (bind, left) in [("192.0.2.1", 0), ("192.0.2.1 transparent", 1 << 13)] {
        let (prefix, port) = (Prefix::new(), free_port());
        let text = format!(
            "daemon off; user daemon; worker_processes 1; error_log logs/error.log info; events {{ }}\n\
             stream {{ server {{ listen 127.0.0.1:{port}; proxy_connect_timeout 50ms; proxy_bind {bind}; proxy_pass 127.0.0.1:{}; }} }}\n",
            free_port()
        );
        prefix.write("conf/nginx.conf", &text);
        let _server = Foreground::start(&prefix, port, "").unwrap();
        assert_eq!(u64::from_str_radix(&privileges(&prefix), 16), Ok(left), "{bind}");
        hear(port, b"word");
        let log = prefix.read("logs/error.log");
        assert_eq!(log.contains("bind(192.0.2.1) failed"), left == 0, "{log}");
        assert!(!log.contains("IP_TRANSPARENT"), "{log}");
    }
}
