//! Heads that are refused while they are read: the answer is the asked server's, and its log says what was asked.

use crate::rig::{Foreground, PATIENCE, Prefix, free_port, until};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// What the access log says: status, URI, arguments, host, the server's name, a header field, protocol, bytes of the head.
const FORMAT: &str = "$status|$uri|$request_uri|$args|$host|$server_name|$http_x|$server_protocol|$request_length";

fn ask(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has answered all the same.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn what_is_known_stands_in_the_log() {
    let table: &[(&[u8], &str)] = &[
        (b"GET /a%20b?c HTTP/1.1\r\nX: 1\r\n\r\n", "400|/a b|/a%20b?c|c|one|one|1|HTTP/1.1|31"),
        (b"GET /a HTTP/1.1\r\nHost: two\r\nContent-Length: z\r\n\r\n", "400|/a|/a|-|two|two|-|HTTP/1.1|49"),
        (b"GET /a HTTP/1.1\r\nHost: two\r\nTransfer-Encoding: z\r\n\r\n", "501|/a|/a|-|two|two|-|HTTP/1.1|52"),
        (b"GET /a HTTP/1.1\r\nHost: two\r\nX: 1\r\nX : 2\r\nX: 3\r\n\r\n", "400|/a|/a|-|two|two|1|HTTP/1.1|34"),
        (b"GET /a HTTP/1.1\r\nX: 1\r\nHost: @\r\n\r\n", "400|/a|/a|-|one|one|1|HTTP/1.1|34"),
        (b"GET /a HTTP/1.1\r\nHost: @\r\nX: 1\r\n\r\n", "400|/a|/a|-|one|one|-|HTTP/1.1|34"),
        (b"GET /a HTTP/1.1\r\nHost: two\r\nX: 1\r\n", "400|/a|/a|-|two|two|1|HTTP/1.1|34"),
        (b"TRACE /a HTTP/1.1\r\nHost: two\r\n\r\n", "405|/a|/a|-|two|two|-|HTTP/1.1|32"),
        (b"CONNECT two:80 HTTP/1.1\r\nHost: two\r\n\r\n", "405|/|/|-|two|two|-|HTTP/1.1|38"),
        (b"GET http://two/a HTTP/1.0\r\nHost: a b\r\n\r\n", "400|/a|/a|-|two|two|-|HTTP/1.0|40"),
        (b"get /a HTTP/1.1\r\nHost: two\r\n\r\n", "400|-|-|-|one|one|-|-|0"),
        (b"GET /a HTTP/9.1\r\nHost: two\r\n\r\n", "505|-|-|-|one|one|-|-|0"),
        (b"GE", "400|-|-|-|one|one|-|-|0"),
    ];
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log;\nevents {{ }}\nhttp {{ log_format known '{FORMAT}'; access_log logs/access.log known;\n\
             server {{ listen 127.0.0.1:{port}; server_name one; return 200; }}\n\
             server {{ listen 127.0.0.1:{port}; server_name two; return 200; }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let log = || prefix.read("logs/access.log");
    let before = log().lines().count();
    for (number, (request, expected)) in table.iter().enumerate() {
        ask(port, request);
        until("a line of the log", || log().lines().count() > before + number);
        assert_eq!(log().lines().last().unwrap(), *expected, "{}", request.escape_ascii());
    }
}

/// Where the client names a host, that one says how large the rest of the head may be, and which of its lines are valid.
#[test]
fn a_host_says_how_its_head_is_read() {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log;\nevents {{ }}\nhttp {{ large_client_header_buffers 2 1k;\n\
             server {{ listen 127.0.0.1:{port}; server_name one; return 200 \"$http_x_y.\"; }}\n\
             server {{ listen 127.0.0.1:{port}; server_name two ~^re; return 200 \"$http_x_y.\"; large_client_header_buffers 2 16k; \
               underscores_in_headers on; }}\n\
             server {{ listen 127.0.0.1:{port}; server_name three; return 200 \"$http_x_y.\"; max_headers 2; }} }}\n"
        ),
    );
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let long = format!("X: {}\r\n", "x".repeat(9000));
    let rows = [
        ("Host: one\r\nX_Y: 1\r\n".to_owned(), "200", "."),
        ("Host: two\r\nX_Y: 1\r\n".to_owned(), "200", "1."),
        ("X_Y: 1\r\nHost: two\r\n".to_owned(), "200", "."),
        (format!("Host: one\r\n{long}"), "400", "</html>"),
        (format!("Host: TWO:8080\r\n{long}"), "200", "."),
        (format!("Host: regular\r\n{long}"), "200", "."),
        (format!("{long}Host: two\r\n"), "400", "</html>"),
        ("Host: three\r\nA: 1\r\nB: 2\r\n".to_owned(), "400", "</html>"),
        ("Host: two\r\nA: 1\r\nB: 2\r\n".to_owned(), "200", "."),
    ];
    for target in ["/", "http://TWO/"] {
        for (lines, status, end) in &rows {
            // What a target names goes before `Host`.
            let expected = match (target, lines.contains("X_Y")) {
                ("/", ..) => (*status, *end),
                (_, true) => ("200", "1."),
                _ => ("200", "."),
            };
            let answer = ask(port, format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes());
            let text = String::from_utf8_lossy(&answer);
            assert_eq!(text.get(9..12), Some(expected.0), "{target} {}", &lines[..lines.len().min(60)]);
            assert!(text.trim_end().ends_with(expected.1), "{target} {}: {text}", &lines[..lines.len().min(60)]);
        }
    }
}

/// A client whose version is not known need not understand chunks; a redirect that is absolute stands where it was added.
#[test]
fn heads_of_answers() {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; error_log logs/error.log;\nevents {{ }}\nhttp {{ sub_filter 400 four; gzip on; gzip_vary on; gzip_min_length 1; etag on;\n\
             server {{ listen 127.0.0.1:{port}; location /go {{ return 302 http://there/; }} location /here {{ return 302 /; }}\n\
             location /if {{ auth_basic a; auth_basic_user_file none; error_page 401 =200 /ok; }} location = /ok {{ return 200 ok; }}\n\
             location / {{ root .; default_type a/b; gzip_types a/b; }} }} }}\n"
        ),
    );
    prefix.write("a", "text");
    std::fs::write(prefix.path.join("conf/none"), "").unwrap();
    let _running = Foreground::start(&prefix, port, "").unwrap();
    let names = |request: &str| {
        let answer = String::from_utf8_lossy(&ask(port, request.as_bytes())).into_owned();
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        head.lines().skip(3).filter_map(|line| line.split(':').next()).collect::<Vec<_>>().join(" ")
    };
    let table = [
        ("get / HTTP/1.1\r\n\r\n", "Content-Type Connection"),
        ("GET /go HTTP/1.0\r\n\r\n", "Content-Type Connection Location"),
        ("GET /here HTTP/1.0\r\n\r\n", "Content-Type Location Connection"),
        ("GET /a HTTP/1.0\r\n\r\n", "Content-Type Content-Length Last-Modified Connection Vary ETag Accept-Ranges"),
        ("GET /if HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-Match: \"x\"\r\n\r\n", "Content-Type Transfer-Encoding Connection"),
    ];
    for (request, expected) in table {
        assert_eq!(names(request), expected, "{request}");
    }
}
