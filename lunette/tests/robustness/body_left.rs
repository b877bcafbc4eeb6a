//! A handler that answers without reading the body: its bytes must never be taken for the next request (RFC 9112, 9.3).

use crate::rig::{Foreground, PATIENCE, Prefix, exchange, free_port};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Where each handler is, and what it answers with to GET and to POST.
const HANDLERS: &[(&str, u16, u16)] =
    &[("/return", 200, 200), ("/file.txt", 200, 405), ("/auth", 401, 401), ("/redirect", 302, 302), ("/missing", 404, 404)];

/// The same for handlers written in Lua.
const LUA: &[(&str, u16, u16)] = &[("/say", 200, 200), ("/exit", 403, 403), ("/luaredirect", 302, 302)];

const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn server() -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write("html/file.txt", "file\n");
    prefix.write("conf/users", "a:{PLAIN}b\n");
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ worker_connections 64; }}\n\
             http {{ server {{ listen {port};\n\
             location /return {{ return 200 \"returned\\n\"; }}\n\
             location /canary {{ return 200 \"CANARY\\n\"; }}\n\
             location /smuggled {{ return 200 \"SMUGGLED\\n\"; }}\n\
             location /auth {{ auth_basic secret; auth_basic_user_file users; }}\n\
             location /redirect {{ rewrite ^ /elsewhere redirect; }}\n\
             location /say {{ content_by_lua_block {{ ngx.say('said') }} }}\n\
             location /exit {{ access_by_lua_block {{ ngx.exit(403) }} }}\n\
             location /luaredirect {{ content_by_lua_block {{ return ngx.redirect('/elsewhere') }} }}\n\
             }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

fn request(method: &str, path: &str, chunked: bool) -> (String, String) {
    let start = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    let length = INNER.len();
    if chunked {
        (format!("{start}Transfer-Encoding: chunked\r\n\r\n"), format!("{length:x}\r\n{INNER}\r\n0\r\n\r\n"))
    } else {
        (format!("{start}Content-Length: {length}\r\n\r\n"), INNER.to_owned())
    }
}

fn judge(what: &str, answer: &[u8], status: u16) {
    let text = String::from_utf8_lossy(answer);
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {text}");
    assert!(!text.contains("SMUGGLED"), "{what}: the body was taken for a request: {text}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{what}: {text}");
    assert!(text.ends_with("CANARY\n"), "{what}: the next request did not get its own answer: {text}");
}

fn in_two_writes(port: u16, head: &str, rest: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // The answer to the first request may come before its body does.
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).unwrap();
    answer.truncate(count);
    stream.write_all(rest.as_bytes()).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn the_next_request_gets_its_own_answer() {
    let (_prefix, port, _running) = server();
    for &(path, get, post) in HANDLERS.iter().chain(LUA) {
        for method in ["GET", "HEAD", "POST"] {
            for chunked in [false, true] {
                let (head, body) = request(method, path, chunked);
                let status = if method == "POST" { post } else { get };
                let what = format!("{method} {path}, chunked: {chunked}");
                let whole = format!("{head}{body}{CANARY}");
                judge(&what, &exchange(port, whole.as_bytes()).unwrap(), status);
            }
        }
    }
}

#[test]
fn a_body_that_comes_after_the_answer_is_no_request() {
    let (_prefix, port, _running) = server();
    for &(path, get, _) in HANDLERS {
        for chunked in [false, true] {
            let (head, body) = request("GET", path, chunked);
            let what = format!("late body, GET {path}, chunked: {chunked}");
            judge(&what, &in_two_writes(port, &head, &format!("{body}{CANARY}")), get);
        }
    }
}

/// What cannot be a body has come before the answer: nothing says that all is well, and nothing of it is a request.
#[test]
fn a_broken_body_that_nobody_reads_is_refused() {
    let (_prefix, port, _running) = server();
    for &(path, get, _) in HANDLERS.iter().chain(LUA) {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nSEE-THIS\r\n{INNER}");
        let answer = String::from_utf8(exchange(port, text.as_bytes()).unwrap()).unwrap();
        let status = if get == 200 { 400 } else { get };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path}: {answer}");
    }
}
