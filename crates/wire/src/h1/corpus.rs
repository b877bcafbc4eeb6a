//! Malformed and ambiguous requests, each with the status it must get (200: the head is accepted). One table, so that a changed decision
//! about any of them shows in one line.

use super::framing::frame;
use super::request::{Head, Limits, Status};

fn status(text: &[u8]) -> u16 {
    let mut head = Head::new();
    match head.parse(text, &Limits::default()) {
        Ok(Status::Partial | Status::Named) => 0,
        Ok(Status::Complete { .. }) => frame(&head, text, false).map_or_else(|e| e.status(), |_| 200),
        Err(error) => error.status(),
    }
}

/// Request lines, sent with a Host header.
const LINES: &[(u16, &str)] = &[
    (200, "GET / HTTP/1.1"),
    (200, "\r\n\r\nGET / HTTP/1.1"),
    (200, "GET  /  HTTP/1.1 "),
    (200, "GET / HTTP/1.9"),
    (200, "GET / HTTP/1.10"),
    (200, "X_Y-Z / HTTP/1.1"),
    (200, "GET http://a.b/c HTTP/1.1"),
    (200, "GET http://a.b HTTP/1.1"),
    (200, "GET http://a.b?x HTTP/1.1"),
    (200, "GET http://[::1]:80/ HTTP/1.1"),
    (200, "GET /\u{e9} HTTP/1.1"),
    (505, "GET / HTTP/2.0"),
    (505, "GET / HTTP/10.1"),
    (505, "GET / HTTP/9.9"),
    (400, "GET / HTTP/0.9"),
    (400, "GET / HTTP/1"),
    (400, "GET / HTTP/1."),
    (400, "GET / HTTP/1.1x"),
    (400, "GET / HTTP/1.1 x"),
    (400, "GET / http/1.1"),
    (400, "GET / HTTP/01.1"),
    (400, "GET / HTTPS/1.1"),
    (400, "GET / HTTP/1.1234"),
    (400, "get / HTTP/1.1"),
    (400, " GET / HTTP/1.1"),
    (400, "GE\tT / HTTP/1.1"),
    (400, "GET\t/ HTTP/1.1"),
    (400, "G@T / HTTP/1.1"),
    (400, "GET /a b HTTP/1.1"),
    (400, "GET /a\tb HTTP/1.1"),
    (400, "GET /a\0b HTTP/1.1"),
    (400, "GET /a\x7fb HTTP/1.1"),
    (400, "GET /a\rb HTTP/1.1"),
    (400, "GET / HTTP/1.1\r"),
    (400, "GET * HTTP/1.1"),
    (400, "OPTIONS * HTTP/1.1"),
    (400, "GET a HTTP/1.1"),
    (400, "GET http:/a/ HTTP/1.1"),
    (400, "GET http:///a HTTP/1.1"),
    (400, "GET http://a@b/ HTTP/1.1"),
    (400, "GET http://a:x/ HTTP/1.1"),
    (400, "GET http://[::1/ HTTP/1.1"),
    (400, "GET http://a..b/ HTTP/1.1"),
    (400, "POST /"),
    (405, "CONNECT a:80 HTTP/1.1"),
    (405, "TRACE / HTTP/1.1"),
    (400, "CONNECT a HTTP/1.1"),
    (400, "CONNECT /a HTTP/1.1"),
];

/// Header lines, sent behind `GET / HTTP/1.1`; the Host header is part of the case.
const HEADERS: &[(u16, &str)] = &[
    (200, "Host: a\r\nContent-Length: 5\r\n"),
    (200, "Host: a\r\nContent-Length: 0005\r\n"),
    (200, "Host: a\r\nTransfer-Encoding: CHUNKED\r\n"),
    (200, "Host: a\r\nA_b: c\r\n"),
    (200, "Host: a\r\nA(b: c\r\n"),
    (200, "Host: a\r\nA: \x01\r\n"),
    (200, "Host: a\nB: c\n"),
    (200, "Host: A.b.:8080\r\n"),
    (200, "Host: a\r\nAccept: b\r\nAccept: c\r\n"),
    (400, ""),
    (400, "Host: a\r\nHost: a\r\n"),
    (400, "Host:\r\n"),
    (400, "Host: a b\r\n"),
    (400, "Host: a/b\r\n"),
    (400, "Host: a@b\r\n"),
    (400, "Host: a:99999\r\n"),
    (400, "Host: a..b\r\n"),
    (400, "Host: [::1\r\n"),
    (400, "Host: a\x01\r\n"),
    (400, "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    (400, "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    (400, "Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n"),
    (400, "Host: a\r\nContent-Length: 5\r\ncontent-length: 6\r\n"),
    (400, "Host: a\r\nContent-Length: +5\r\n"),
    (400, "Host: a\r\nContent-Length: -1\r\n"),
    (400, "Host: a\r\nContent-Length: 0x5\r\n"),
    (400, "Host: a\r\nContent-Length: 5,5\r\n"),
    (400, "Host: a\r\nContent-Length: 5 5\r\n"),
    (400, "Host: a\r\nContent-Length:\r\n"),
    (400, "Host: a\r\nContent-Length: \t5\r\n"),
    (400, "Host: a\r\nContent-Length: 9223372036854775808\r\n"),
    (400, "Host: a\r\nContent-Length: 99999999999999999999\r\n"),
    (400, "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    (501, "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"),
    (501, "Host: a\r\nTransfer-Encoding: identity\r\n"),
    (501, "Host: a\r\nTransfer-Encoding: \tchunked\r\n"),
    (501, "Host: a\r\nTransfer-Encoding: chunked,\r\n"),
    (501, "Host: a\r\nTransfer-Encoding:\r\n"),
    (400, "Host: a\r\nTransfer-Encoding : chunked\r\n"),
    (400, "Host: a\r\nContent-Length : 5\r\n"),
    (400, "Host: a\r\n folded: b\r\n"),
    (400, "Host: a\r\nA: b\r\n c\r\n"),
    (400, "Host: a\r\nA: b\r\n\tc\r\n"),
    (400, "Host: a\r\n: b\r\n"),
    (400, "Host: a\r\nNoColon\r\n"),
    (400, "Host: a\r\nA\0: b\r\n"),
    (400, "Host: a\r\nA: b\0\r\n"),
    (400, "Host: a\r\nA: b\rC: d\r\n"),
    (400, "Host: a\r\nA: b\r\r\n"),
    (400, "Host: a\r\n\rA: b\r\n"),
    (400, "Host: a\r\nA\x01: b\r\n"),
    (400, "Host: a\r\nA\x7f: b\r\n"),
    (400, "Host: a\r\nExpect: x\r\nExpect: x\r\n"),
    (400, "Host: a\r\nAuthorization: x\r\nAuthorization: y\r\n"),
    (400, "Host: a\r\nIf-Match: x\r\nIf-Match: y\r\n"),
    (400, "Host: a\r\nIf-Range: x\r\nIf-Range: y\r\n"),
    (400, "Host: a\r\nContent-Range: x\r\nContent-Range: y\r\n"),
];

#[test]
fn request_lines() {
    for &(expected, line) in LINES {
        let text = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(status(text.as_bytes()), expected, "{line:?}");
    }
}

#[test]
fn header_lines() {
    for &(expected, lines) in HEADERS {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        assert_eq!(status(text.as_bytes()), expected, "{lines:?}");
    }
}

#[test]
fn older_versions() {
    assert_eq!(status(b"GET / HTTP/1.0\r\n\r\n"), 200);
    assert_eq!(status(b"GET /\r\n"), 200);
    assert_eq!(status(b"GET /\n"), 200);
    assert_eq!(status(b"HEAD /\r\n"), 400);
    assert_eq!(status(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn other_protocols_are_refused_by_their_first_byte() {
    assert_eq!(status(b"\x16\x03\x01"), 400);
    assert_eq!(status(b"\x80"), 400);
    assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\n"), 400);
}

#[test]
fn sizes() {
    let line = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n));
    assert_eq!(status(line(8192 - 16).as_bytes()), 200);
    assert_eq!(status(line(8192 - 15).as_bytes()), 414);
    let header = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(n));
    assert_eq!(status(header(8192 - 5).as_bytes()), 200);
    assert_eq!(status(header(8192 - 4).as_bytes()), 494);
    let count = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A:\r\n".repeat(n));
    assert_eq!(status(count(999).as_bytes()), 200);
    assert_eq!(status(count(1000).as_bytes()), 494);
    let ends = |n: usize| format!("{}GET / HTTP/1.0\r\n\r\n", "\n".repeat(n));
    assert_eq!(status(ends(1024).as_bytes()), 200);
    assert_eq!(status(ends(1025).as_bytes()), 400);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("A: {}\r\n", "x".repeat(5000)).repeat(5));
    assert_eq!(status(many.as_bytes()), 494);
    assert_eq!(status("x".repeat(9000).to_uppercase().as_bytes()), 414);
}

#[test]
fn what_a_good_head_says() {
    let text = b"GET http://Ex.com:81/a?b HTTP/1.1\r\nHost: other\r\nConnection: Upgrade\r\nUpgrade: h\r\n\r\nrest";
    let mut head = Head::new();
    assert_eq!(head.parse(text, &Limits::default()), Ok(Status::Complete { len: text.len() - 4 }));
    assert_eq!(head.target.of(text), b"/a?b");
    assert_eq!(head.schema.of(text), b"http");
    assert_eq!(head.protocol.of(text), b"HTTP/1.1");
    assert_eq!(head.line.of(text), b"GET http://Ex.com:81/a?b HTTP/1.1");
    let framed = frame(&head, text, false).unwrap();
    assert_eq!((framed.host.of(text), framed.port, framed.host_upper), (&b"Ex.com"[..], 81, true));
    assert!(framed.upgrade && framed.keep_alive);
    let capacity = head.headers.capacity();
    head.reset();
    assert!(head.is_new() && head.headers.is_empty() && head.headers.capacity() == capacity);
    assert_eq!((head.target, head.host, head.version), (Head::new().target, None, Head::new().version));
}

#[test]
fn messages_are_nginx_s() {
    let of = |text: &[u8]| {
        let mut head = Head::new();
        let error = match head.parse(text, &Limits::default()) {
            Ok(_) => frame(&head, text, false).unwrap_err(),
            Err(error) => error,
        };
        String::from_utf8_lossy(&error.message(text)).into_owned()
    };
    assert_eq!(of(b"GET / HTTP/1.1\r\nA b: c\r\n\r\n"), "client sent invalid header line: \"A\\x20...\"");
    assert_eq!(
        of(b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
        "client sent duplicate host header: \"host: b\", previous value: \"Host: a\""
    );
    assert_eq!(of(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n"), "client sent unknown \"Transfer-Encoding\": \"x\"");
    assert_eq!(of(b"get"), "client sent invalid method");
}

/// What is bad is refused at its byte, though the rest of the line has not come.
#[test]
fn lines_that_have_not_ended() {
    for (status, text) in [
        (400, "GET /\0"),
        (400, "GET / HTTP/1.1\0"),
        (400, "GET / HTTP/1.1\r\nA: b\0"),
        (400, "GET / HTTP/1.1\r\nA: b \0c"),
        (400, "GET / HTTP/1.1\r\nA\0"),
        (400, "GET / HTTP/1.1\r\n\0"),
        (400, "GET / HTTP/1.1\r\nA:\0"),
        (400, "GET / HTTP/1.1\r\nA b"),
        (400, "GET / HTTP/1.1\r\nA: b\rc"),
        (0, "GET /\r"),
        (0, "GET / HTTP/1.1\r\nA"),
        (0, "GET / HTTP/1.1\r\nA: b c\t"),
        (0, "GET / HTTP/1.1\r\nA: b\r"),
        (0, "GET / HTTP/1.1\r\nA: b\r\n\r"),
        (0, "GET / HTTP/1.1\r\n"),
    ] {
        assert_eq!(self::status(text.as_bytes()), status, "{text:?}");
        // Also if it comes byte by byte.
        let mut head = Head::new();
        let limits = Limits::default();
        let told = (1..=text.len()).find_map(|end| head.parse(text.as_bytes().get(..end)?, &limits).err());
        assert_eq!(told.map_or(0, |error| error.status()), status, "{text:?} byte by byte");
    }
}
