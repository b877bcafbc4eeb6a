//! Python behind gunicorn, spoken to in HTTP/1.1.

use crate::client::{in_parts, pattern, request, send};
use crate::rig::{Foreground, Prefix, exchange, free_port, get, signal};
use crate::server::{At, Server, program};
use std::process::Command;

fn start() -> (Prefix, u16, Server, Foreground) {
    let prefix = Prefix::new();
    let (port, socket) = (free_port(), prefix.path.join("gunicorn.sock"));
    prefix.write("app.py", include_str!("gunicorn/app.py"));
    let configuration = include_str!("gunicorn/nginx.conf").replace("$PORT", &port.to_string());
    prefix.write("conf/nginx.conf", &configuration.replace("$SOCKET", &socket.display().to_string()));
    let mut command = Command::new(program("gunicorn").expect("no gunicorn; ./test.sh installs it"));
    // Threads keep connections, which the usual worker does not.
    command.args(["--workers", "1", "--threads", "4", "--umask", "0", "--forwarded-allow-ips", "*", "--chdir"]).arg(&prefix.path);
    command.arg("--bind").arg(format!("unix:{}", socket.display())).arg("app:application").env("GATE", prefix.path.join("gate"));
    let application = Server::start(command, &At::Socket(&socket));
    let server = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, application, server)
}

#[test]
fn variables_statuses_and_bodies() {
    let (prefix, port, _application, _server) = start();
    let forwarded = send(port, "GET", "/env?a=b%20c", &[("X-Forwarded-For", "10.0.0.1")], b"");
    assert_eq!(forwarded.text(), "GET /env a=b%20c 10.0.0.1, 127.0.0.1 https\n");
    let missing = get(port, "/nothing").unwrap();
    let cookies: Vec<_> = missing.headers.iter().filter(|(name, _)| name == "Set-Cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!((missing.status, missing.text().as_str(), cookies), (404, "nothing\n", vec!["a=b", "c=d"]));
    assert_eq!(send(port, "HEAD", "/env", &[], b"").body, b"");
    let data = pattern(3 << 20);
    for path in ["/sized", "/echo", "/streamed/sized", "/streamed/echo"] {
        let answer = send(port, "POST", path, &[], &data);
        assert!(answer.status == 200 && answer.body == data, "{path}: {}", prefix.read("logs/error.log"));
    }
    // A body without a length: buffered it gets one, streamed it comes in chunks.
    let chunks = b"3\r\none\r\n0a\r\n and other\r\n0\r\n\r\n";
    for path in ["/echo", "/streamed/echo"] {
        let head = request("POST", path, &[("Transfer-Encoding", "chunked")], b"");
        let answer = crate::rig::parse(&exchange(port, &[&head, &chunks[..]].concat()).unwrap()).unwrap();
        assert_eq!(answer.text(), "one and other", "{path}");
    }
}

#[test]
fn an_answer_that_is_made_bit_by_bit_arrives_so() {
    let (prefix, port, _application, _server) = start();
    let gate = prefix.path.join("gate");
    in_parts(port, "/streamed/slow", b"first", || std::fs::write(&gate, "").unwrap(), b"second");
}

#[test]
fn an_application_that_fails_in_its_answer_leaves_it_without_an_end() {
    let (prefix, port, _application, _server) = start();
    for path in ["/fails", "/streamed/fails"] {
        let broken = exchange(port, &request("GET", path, &[], b"")).unwrap();
        let text = String::from_utf8_lossy(&broken);
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("so far") && !text.ends_with("0\r\n\r\n"), "{path}: {text}");
    }
    assert!(prefix.read("logs/error.log").contains("upstream prematurely closed connection while reading upstream"));
    assert_eq!(get(port, "/env").unwrap().status, 200);
}

/// gunicorn starts a worker anew after a signal, and drops its idle connections without a word.
#[test]
fn workers_that_are_replaced_cost_no_answer() {
    let (prefix, port, _application, _server) = start();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let before = get(port, "/pid").unwrap().text();
        // It may be gone before it answers once more.
        seen.insert(before.clone());
        signal("-TERM", &before);
        crate::rig::until("another worker", || {
            let answer = get(port, "/pid").unwrap();
            assert_eq!(answer.status, 200, "{}", prefix.read("logs/error.log"));
            seen.insert(answer.text());
            answer.text() != before
        });
    }
    assert!(seen.len() > 3, "{seen:?}");
}
