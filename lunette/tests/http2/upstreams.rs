//! What comes from upstream servers beside the answer itself: early hints and trailers.

use crate::rig::{exchange, h2::Client};
use crate::server;
use std::io::{Read, Write};
use std::net::TcpListener;
use wire::h2::frame::{flag, kind};

/// A server of HTTP/1 that gives every connection this answer.
fn upstream(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    port
}

#[test]
fn early_hints_go_to_those_who_may_have_them() {
    let port = upstream(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Accel-Expires: 1\r\nConnection: x\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nX-Hidden: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    );
    let (_prefix, own, _running) = server(&format!(
        "proxy_hide_header X-Hidden;
         location / {{ early_hints $http_sec_fetch_mode; proxy_pass http://127.0.0.1:{port}; }}
         location /never {{ proxy_pass http://127.0.0.1:{port}; }}"
    ));
    let ask = |path: &str, version: &str, more: &str| {
        let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n{more}\r\n");
        String::from_utf8(exchange(own, request.as_bytes()).unwrap()).unwrap()
    };
    let wants = "Sec-Fetch-Mode: navigate\r\n";
    // One that is empty when all is hidden is not sent.
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(ask("/", "1.1", wants).starts_with(hint), "{}", ask("/", "1.1", wants));
    for (path, version, more) in [("/", "1.1", ""), ("/", "1.0", wants), ("/never", "1.1", wants), ("/", "1.1", "Sec-Fetch-Mode: 0\r\n")] {
        assert!(ask(path, version, more).starts_with("HTTP/1.1 200 OK\r\n"), "{path} {version} {more}");
    }
    let mut client = Client::connect(own);
    for (path, interim) in [("/", vec![103]), ("/never", vec![])] {
        let stream = client.request("GET", path, &[("sec-fetch-mode", "navigate")], None);
        let reply = client.reply(stream);
        assert_eq!((reply.interim, reply.answer.status, reply.answer.text().as_str()), (interim, 200, "hi"), "{path}");
    }
}

#[test]
fn trailers_of_chunks_go_on_in_both_protocols() {
    let port = upstream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n");
    let (_prefix, own, _running) = server(&format!(
        "location / {{ proxy_pass http://127.0.0.1:{port}; proxy_pass_trailers on; }}
         location /kept {{ proxy_pass http://127.0.0.1:{port}; }}"
    ));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, te\r\nTE: trailers\r\n\r\n";
    let answer = String::from_utf8(exchange(own, request.as_bytes()).unwrap()).unwrap();
    assert!(answer.ends_with("2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n"), "{answer}");
    let mut client = Client::connect(own);
    for (path, trailers) in [("/", vec![("x-sum".to_owned(), "42".to_owned())]), ("/kept", vec![])] {
        let stream = client.request("GET", path, &[("te", "trailers")], None);
        let reply = client.reply(stream);
        assert_eq!((reply.answer.text().as_str(), reply.trailers), ("hi", trailers), "{path}");
    }
}

/// nginx passes no trailers of requests on; HTTP/2 lets a client send them, and they end the body.
#[test]
fn trailers_of_requests_end_the_body_and_go_nowhere() {
    let (_prefix, seen, _seen) = server(
        "location /seen { content_by_lua_block {
             ngx.req.read_body()
             ngx.print(ngx.req.get_body_data(), ' ', ngx.var.http_x_sum or 'none', ' ', ngx.req.get_headers()['x-sum'] or 'none')
         } }",
    );
    let (_prefix, own, _running) = server(&format!(
        "proxy_http_version 1.1;
         location / {{ proxy_pass http://127.0.0.1:{seen}/seen; }}
         location /streamed {{ proxy_pass http://127.0.0.1:{seen}/seen; proxy_request_buffering off; }}
         location /h2 {{ proxy_pass http://127.0.0.1:{seen}/seen; proxy_http_version 2; proxy_request_buffering off; }}"
    ));
    for path in ["/", "/streamed", "/h2"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n"
        );
        let answer = String::from_utf8(exchange(own, request.as_bytes()).unwrap()).unwrap();
        assert!(answer.contains("hi none none"), "{path}: {answer}");
        let mut client = Client::connect(own);
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"), ("trailer", "x-sum")];
        let stream = client.open(&fields, false);
        client.data(stream, b"hi", false);
        let block = client.block(&[("x-sum", "42")]);
        client.frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block);
        assert_eq!(client.reply(stream).answer.text(), "hi none none", "{path}");
    }
}

/// A server of HTTP/2 that gives every connection these frames (kind, flags, stream, payload) in one write, once the request is there.
fn upstream_of_frames(frames: &[(u8, u8, u32, &[u8])]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut bytes = Vec::new();
    for (kind, flags, stream, payload) in frames {
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend_from_slice(&[*kind, *flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
    }
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut part = [0; 4096];
            // The preface and the request come in one write.
            let _ = stream.read(&mut part);
            drop(stream.write_all(&bytes));
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    port
}

/// An answer with a fault behind it in the same read is broken off, as in nginx, and not taken for an empty one that has ended.
#[test]
fn answers_with_faults_behind_them_are_not_whole() {
    const SETTINGS: (u8, u8, u32, &[u8]) = (kind::SETTINGS, 0, 0, b"");
    const HEAD: (u8, u8, u32, &[u8]) = (kind::HEADERS, flag::END_HEADERS, 1, b"\x88");
    const WHOLE: (u8, u8, u32, &[u8]) = (kind::DATA, flag::END_STREAM, 1, b"whole");
    const PART: (u8, u8, u32, &[u8]) = (kind::DATA, 0, 1, b"part");
    const OTHER: (u8, u8, u32, &[u8]) = (kind::DATA, 0, 3, b"x");
    const PING: (u8, u8, u32, &[u8]) = (kind::PING, 0, 1, b"12345678");
    let rows: [(&[_], &str, bool); 5] = [
        (&[SETTINGS, HEAD, WHOLE], "5\r\nwhole\r\n0\r\n\r\n", true),
        (&[SETTINGS, HEAD, WHOLE, OTHER], "5\r\nwhole\r\n0\r\n\r\n", false),
        (&[SETTINGS, HEAD, PART, WHOLE, PING], "9\r\npartwhole\r\n0\r\n\r\n", false),
        (&[SETTINGS, HEAD, PART, OTHER], "", false),
        (&[SETTINGS, HEAD, OTHER], "", false),
    ];
    for (row, (frames, body, is_whole)) in rows.into_iter().enumerate() {
        let port = upstream_of_frames(frames);
        let (prefix, own, _running) = server(&format!(
            "location /grpc {{ grpc_pass grpc://127.0.0.1:{port}; }} location /plain {{ proxy_http_version 2; proxy_pass http://127.0.0.1:{port}; }}
             location /unbuffered {{ proxy_http_version 2; proxy_buffering off; proxy_pass http://127.0.0.1:{port}; }}"
        ));
        for path in ["/grpc", "/plain", "/unbuffered"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = String::from_utf8(exchange(own, request.as_bytes()).unwrap()).unwrap();
            let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{row} {path}: {answer}");
            let log = prefix.read("logs/error.log");
            // What came in two reads has been passed on before.
            assert!(rest == body || !is_whole && !rest.ends_with("0\r\n\r\n"), "{row} {path}: {answer} {log}");
            assert!(!head.contains("Content-Length"), "{row} {path}: {answer} {log}");
        }
    }
}

/// The head and the trailers may come in one read with nothing between them, as from a gRPC server that has no message to send.
#[test]
fn trailers_of_answers_without_a_body_go_on() {
    const SETTINGS: (u8, u8, u32, &[u8]) = (kind::SETTINGS, 0, 0, b"");
    const HEAD: (u8, u8, u32, &[u8]) = (kind::HEADERS, flag::END_HEADERS, 1, b"\x88");
    const TRAILERS: (u8, u8, u32, &[u8]) = (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, b"\x00\x05x-sum\x0242");
    let frames = upstream_of_frames(&[SETTINGS, HEAD, TRAILERS]);
    let chunks = upstream("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-Sum: 42\r\n\r\n");
    let (_prefix, own, _running) = server(&format!(
        "proxy_pass_trailers on; location /grpc {{ grpc_pass grpc://127.0.0.1:{frames}; }}
         location /frames {{ proxy_http_version 2; proxy_pass http://127.0.0.1:{frames}; }}
         location /chunks {{ proxy_pass http://127.0.0.1:{chunks}; }}"
    ));
    let mut client = Client::connect(own);
    for path in ["/grpc", "/frames", "/chunks"] {
        let stream = client.request("GET", path, &[("te", "trailers")], None);
        let reply = client.reply(stream);
        assert_eq!((reply.answer.status, reply.answer.body.len(), reply.answer.header("Content-Length")), (200, 0, None), "{path}");
        assert_eq!(reply.trailers, [("x-sum".to_owned(), "42".to_owned())], "{path}");
    }
}
