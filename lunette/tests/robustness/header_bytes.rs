//! Each way to write a header or a request line, with each byte: nothing ends a line or a head but the server itself.

use crate::rig::{Foreground, Prefix, exchange, free_port, until};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

/// Ways to put `$v` or `ngx.var.v`, decoded from the request, into the head of an answer.
const ANSWERS: &[(&str, &str)] = &[
    ("value", "content_by_lua_block { ngx.header['X-A'] = ngx.var.v ngx.say('ok') }"),
    ("values", "content_by_lua_block { ngx.header['X-A'] = { ngx.var.v, ngx.var.v } ngx.say('ok') }"),
    ("name", "content_by_lua_block { ngx.header['X' .. ngx.var.v] = '1' ngx.say('ok') }"),
    ("content_type", "content_by_lua_block { ngx.header.content_type = ngx.var.v ngx.say('ok') }"),
    ("location", "content_by_lua_block { ngx.header.location = ngx.var.v ngx.exit(302) }"),
    ("cookie", "content_by_lua_block { ngx.header['Set-Cookie'] = { 'a=b', ngx.var.v } ngx.say('ok') }"),
    ("etag", "content_by_lua_block { ngx.header['ETag'] = ngx.var.v ngx.say('ok') }"),
    ("cache_control", "content_by_lua_block { ngx.header['Cache-Control'] = { ngx.var.v } ngx.say('ok') }"),
    ("redirect", "content_by_lua_block { return ngx.redirect('/' .. ngx.var.v) }"),
    ("resp", "content_by_lua_block { require('ngx.resp').add_header('X-A', ngx.var.v) ngx.say('ok') }"),
    ("resp_name", "content_by_lua_block { require('ngx.resp').add_header('X' .. ngx.var.v, '1') ngx.say('ok') }"),
    ("reason", "content_by_lua_block { require('ngx.resp').set_status(200, ngx.var.v) ngx.say('ok') }"),
    ("filter", "return 200 ok; header_filter_by_lua_block { ngx.header['X-A'] = ngx.var.v }"),
    ("filter_name", "return 200 ok; header_filter_by_lua_block { ngx.header[ngx.var.v] = 'x' }"),
    ("add_header", "return 200 ok; add_header X-A $v;"),
    ("more_set_headers", "return 200 ok; more_set_headers \"X-A: $v\";"),
    ("return", "return 302 /$v;"),
    ("return_absolute", "return 301 http://localhost/$v;"),
    ("rewrite", "rewrite ^ /$v redirect;"),
    ("error_page", "error_page 404 =302 /$v; return 404;"),
    ("realm", "auth_basic $v; auth_basic_user_file users;"),
    ("charset", "charset $v; return 200 ok;"),
    (
        "capture",
        "content_by_lua_block { local r = ngx.location.capture('/add_header', { args = ngx.var.args })
        ngx.header['X-B'] = r.header['X-A'] ngx.say('ok') }",
    ),
];

/// Ways to put it into the head of a request to another server.
const REQUESTS: &[(&str, &str)] = &[
    ("proxy_set_header", "proxy_set_header X-A $v; proxy_pass http://127.0.0.1:UP;"),
    ("set_header", "access_by_lua_block { ngx.req.set_header('X-A', ngx.var.v) } proxy_pass http://127.0.0.1:UP;"),
    ("set_headers", "access_by_lua_block { ngx.req.set_header('X-A', { ngx.var.v, ngx.var.v }) } proxy_pass http://127.0.0.1:UP;"),
    ("set_header_name", "access_by_lua_block { ngx.req.set_header('X' .. ngx.var.v, '1') } proxy_pass http://127.0.0.1:UP;"),
    ("more_set_input_headers", "more_set_input_headers \"X-A: $v\"; proxy_pass http://127.0.0.1:UP;"),
    ("set_uri", "rewrite_by_lua_block { ngx.req.set_uri('/' .. ngx.var.v, false, true) } proxy_pass http://127.0.0.1:UP;"),
    ("set_uri_args", "rewrite_by_lua_block { ngx.req.set_uri_args('a=' .. ngx.var.v) } proxy_pass http://127.0.0.1:UP;"),
    ("set_args_table", "rewrite_by_lua_block { ngx.req.set_uri_args({ a = ngx.var.v }) } proxy_pass http://127.0.0.1:UP;"),
    ("args", "set $args a=$v; proxy_pass http://127.0.0.1:UP;"),
    ("rewritten", "rewrite ^ /$v break; proxy_pass http://127.0.0.1:UP;"),
    ("variable_uri", "proxy_pass http://127.0.0.1:UP/$v;"),
    ("host", "proxy_set_header Host $v; proxy_pass http://127.0.0.1:UP;"),
    ("proxy_method", "proxy_method $v; proxy_pass http://127.0.0.1:UP;"),
    ("cookie_up", "proxy_set_header Cookie $v; proxy_pass http://127.0.0.1:UP;"),
];

fn server(ways: &[(&str, &str)], upstream: u16) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write("conf/users", "a:{PLAIN}b\n");
    let locations: String = ways
        .iter()
        .map(|(name, code)| format!("location /{name} {{ set_unescape_uri $v $arg_v; {} }}\n", code.replace("UP", &upstream.to_string())))
        .collect();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log crit;\nevents {{ worker_connections 256; }}\n\
             http {{ server {{ listen {port};\n{locations} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

/// The lines of a head, and what is wrong with its bytes.
fn wrong_bytes(message: &[u8]) -> Option<String> {
    let end = message.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(message);
    for line in message[..end].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'\r') || line.contains(&0) {
            return Some(format!("a raw byte in {text:?}"));
        }
        if line.starts_with(b"Injected:") || line.is_empty() {
            return Some(format!("a line was smuggled into {text:?}"));
        }
    }
    let line_feeds = message[..end].iter().filter(|byte| **byte == b'\n').count();
    let pairs = message[..end].windows(2).filter(|w| w == b"\r\n").count();
    (line_feeds != pairs).then(|| format!("a bare line feed in {text:?}"))
}

/// What is asked of `way`: the byte alone, between letters, and in front of what would be a line of its own.
fn targets(way: &str, byte: u8) -> [String; 3] {
    let own_line = format!("a%{byte:02x}%0aInjected:%20yes%0d%0a%0d%0abody");
    [format!("%{byte:02x}"), format!("a%{byte:02x}b"), own_line]
        .map(|v| format!("GET /{way}?v={v} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

#[test]
fn answers_have_one_head() {
    let (_prefix, port, _running) = server(ANSWERS, 0);
    for (way, _) in ANSWERS {
        for byte in 0..=255 {
            for request in targets(way, byte) {
                let answer = exchange(port, request.as_bytes()).unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 "), "{way} {byte:#04x}: {:?}", String::from_utf8_lossy(&answer));
                if let Some(wrong) = wrong_bytes(&answer) {
                    panic!("{way} {byte:#04x}: {wrong}");
                }
            }
        }
    }
}

/// A server that keeps what it is asked and answers each request with 204.
fn recorder() -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut part = [0; 4096];
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(count @ 1..) => head.extend_from_slice(&part[..count]),
                    _ => break,
                }
            }
            drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
            if sender.send(head).is_err() {
                return;
            }
        }
    });
    (port, requests)
}

#[test]
fn requests_to_other_servers_have_one_head() {
    let (upstream, requests) = recorder();
    let (_prefix, port, _running) = server(REQUESTS, upstream);
    for (way, _) in REQUESTS {
        let mut sent = 0;
        for byte in 0..=255 {
            for request in targets(way, byte) {
                let answer = exchange(port, request.as_bytes()).unwrap();
                if !answer.starts_with(b"HTTP/1.1 204") {
                    // Refused, which is as good; then nothing may have been sent.
                    continue;
                }
                let mut seen = None;
                until("the request", || {
                    seen = requests.try_recv().ok();
                    seen.is_some()
                });
                sent += 1;
                let seen = seen.unwrap();
                let lines = seen.split(|byte| *byte == b'\n').next().unwrap();
                assert_eq!(
                    lines.iter().filter(|byte| **byte == b' ').count(),
                    2,
                    "{way} {byte:#04x}: {:?}",
                    String::from_utf8_lossy(&seen)
                );
                if let Some(wrong) = wrong_bytes(&seen) {
                    panic!("{way} {byte:#04x}: {wrong}");
                }
            }
        }
        assert!(sent > 200, "{way}: only {sent} requests arrived");
    }
}
