//! Answers compressed with brotli: over each protocol, in pieces, from the cache of bodies, and never twice.

use crate::rig::{Foreground, PATIENCE, Prefix, Response, exchange, free_port, get, h2, h3, parse, until};
use std::io::{Read, Write};
use std::net::TcpStream;

fn server(locations: &str) -> (Prefix, u16, Foreground) {
    let prefix = Prefix::new();
    let port = free_port();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    prefix.write("conf/cert.pem", &key.cert.pem());
    prefix.write("conf/cert.key", &key.signing_key.serialize_pem());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\n\
             http {{ default_type text/html; lua_shared_dict d 100k; log_format r '$uri $brotli_ratio $gzip_ratio'; access_log logs/ratio.log r;\n\
             server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{port} quic; http2 on; ssl_certificate cert.pem; ssl_certificate_key cert.key;\n\
             location /ready {{ return 200 \"x\"; }} brotli on; gzip on; gzip_vary on; {locations} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    until("a worker", || get(port, "/ready").is_ok());
    (prefix, port, running)
}

/// What there is of a text, which may not be over.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = brotli::Decompressor::new(packed, 4096).read_to_end(&mut text);
    text
}

fn text() -> String {
    (0..20_000_u32).map(|n| format!("{} line\n", n.wrapping_mul(n) % 977)).collect()
}

fn ask(port: u16, method: &str, path: &str, headers: &str) -> Response {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    parse(&exchange(port, request.as_bytes()).unwrap()).unwrap()
}

#[test]
fn each_protocol_gets_what_it_takes() {
    let (prefix, port, _running) = server("location / { root html; } location /later { rewrite_by_lua_block { ngx.sleep(0) } root html; }");
    let text = text();
    prefix.write("html/page", &text);
    prefix.write("html/later/page", &text);
    let block = |path: &str| format!("GET {path} HTTP/1.1\nHost: localhost\nAccept-Encoding: gzip, br\n");
    for path in ["/page", "/page", "/page", "/later/page"] {
        let one = ask(port, "GET", path, "Accept-Encoding: gzip, br\r\n");
        let two = h2::exchange(port, &block(path)).unwrap();
        let three = h3::exchange(port, &block(path)).unwrap();
        for answer in [one, two, three] {
            assert_eq!(
                (answer.status, answer.header("Content-Encoding"), answer.header("Vary")),
                (200, Some("br"), Some("Accept-Encoding"))
            );
            assert!(answer.header("ETag").unwrap().starts_with("W/\"") && answer.header("Content-Length").is_none());
            assert!(unpacked(&answer.body) == text.as_bytes());
            assert!(answer.body.len() < text.len() / 2);
        }
    }
    let head = ask(port, "HEAD", "/page", "Accept-Encoding: br\r\n");
    assert_eq!((head.status, head.header("Content-Encoding"), head.body.len()), (200, Some("br"), 0));
    // Only one of the two packs, whatever the client prefers; a range is of the plain file.
    for (headers, coding) in [
        ("Accept-Encoding: gzip\r\n", Some("gzip")),
        ("Accept-Encoding: gzip;q=1.0, br;q=0.1\r\n", Some("br")),
        ("Accept-Encoding: br;q=0, gzip\r\n", Some("gzip")),
        ("Accept-Encoding: br;q=0.000\r\n", None),
        ("Accept-Encoding: *\r\n", None),
        ("Accept-Encoding: brotli\r\n", None),
        ("Via: 1.1 x\r\nAccept-Encoding: gzip, br\r\n", Some("br")),
    ] {
        let answer = ask(port, "GET", "/page", headers);
        assert_eq!((answer.header("Content-Encoding"), answer.header("Vary")), (coding, Some("Accept-Encoding")), "{headers}");
    }
    let part = ask(port, "GET", "/page", "Range: bytes=0-4\r\nAccept-Encoding: br\r\n");
    assert_eq!((part.status, part.header("Content-Encoding")), (200, Some("br")));
    until("the log", || prefix.read("logs/ratio.log").lines().any(|line| line.starts_with("/page ") && line.ends_with(" -")));
    let log = prefix.read("logs/ratio.log");
    assert!(log.lines().any(|line| line.starts_with("/page - ") && !line.ends_with(" -")), "{log}");
}

#[test]
fn each_flush_can_be_read_at_once() {
    let (_prefix, port, _running) = server(
        "location /go { content_by_lua_block { ngx.shared.d:set(ngx.var.arg_n, true) ngx.say('ok') } }\n\
         location /slow { lua_http10_buffering off; brotli_min_length 0; content_by_lua_block {\n\
             for n = 1, 3 do\n\
                 ngx.print('part ', n, ' ') ngx.flush(true)\n\
                 while not ngx.shared.d:get(tostring(n)) do ngx.sleep(0.005) end\n\
             end\n\
             ngx.print('end')\n\
         } }",
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /slow HTTP/1.0\r\nAccept-Encoding: br\r\n\r\n").unwrap();
    let (mut all, mut expected) = (Vec::new(), String::new());
    for n in 1..=3 {
        expected += &format!("part {n} ");
        loop {
            let start = all.windows(4).position(|w| w == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
            let so_far = unpacked(&all[start..]);
            assert!(expected.as_bytes().starts_with(&so_far), "{:?}", String::from_utf8_lossy(&so_far));
            if so_far == expected.as_bytes() {
                break;
            }
            let mut some = [0; 500];
            let count = stream.read(&mut some).unwrap();
            assert_ne!(count, 0);
            all.extend_from_slice(&some[..count]);
        }
        assert_eq!(get(port, &format!("/go?n={n}")).unwrap().text(), "ok\n");
    }
    stream.read_to_end(&mut all).unwrap();
    let start = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(unpacked(&all[start..]), format!("{expected}end").as_bytes());
}

#[test]
fn files_that_stand_compressed_are_sent_to_those_who_take_them() {
    let (prefix, port, _running) =
        server("location / { brotli_static on; gzip_static on; root html; } location /a { brotli_static always; root html; }");
    for (name, body) in
        [("both", "plain"), ("both.br", "as br"), ("both.gz", "as gzip"), ("gz", "plain"), ("gz.gz", "as gzip"), ("a/x.br", "as br")]
    {
        prefix.write(&format!("html/{name}"), body);
    }
    for (path, headers, coding, body) in [
        ("/both", "Accept-Encoding: gzip, br\r\n", Some("br"), "as br"),
        ("/both", "Accept-Encoding: gzip\r\n", Some("gzip"), "as gzip"),
        ("/both", "", None, "plain"),
        // A file that is missing in one form does not keep the other from being sent.
        ("/gz", "Accept-Encoding: br, gzip\r\n", Some("gzip"), "as gzip"),
        ("/a/x", "", Some("br"), "as br"),
    ] {
        let answer = ask(port, "GET", path, headers);
        assert_eq!((answer.status, answer.header("Content-Encoding"), &*answer.text()), (200, coding, body), "{path} {headers}");
    }
    let part = ask(port, "GET", "/both", "Accept-Encoding: br\r\nRange: bytes=3-\r\n");
    assert_eq!((part.status, part.header("Content-Encoding"), &*part.text()), (206, Some("br"), "br"));
}
