//! Upstream servers that die or answer with what is no answer: the client gets a 502, or an answer that visibly has no end, and never
//! bytes that look like one. In HTTP/1.1 and in HTTP/2.

use crate::rig::{Foreground, PATIENCE, Prefix, exchange, free_port, get, h2, parse};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// 502, and nothing of it is passed on.
    Bad,
    /// Status 200 and this much of a body, without an end.
    Broken(&'static str),
    /// This status and body, whole; the connection is not used again.
    Whole(u16, &'static str),
}

use Fate::{Bad, Broken, Whole};

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// What the upstream sends before it closes, and what becomes of it.
fn answers() -> Vec<(String, Fate)> {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    let fixed = [
        ("", Bad),
        ("HTTP/1.1 200 O", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Bad),
        ("garbage\r\n\r\nmore", Bad),
        ("<html>an answer of HTTP/0.9</html>", Bad),
        ("HTTP/1.1 20 OK\r\n\r\n", Bad),
        ("\0\0\0\0", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", Bad),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Bad),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello", Bad),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\nforged", Bad),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", Bad),
        (LENGTH, Broken("hello")),
        (CHUNKED, Broken("hello")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Broken("hel")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Broken("hello")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", Whole(200, "hello")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nforged", Whole(200, "hello")),
        ("HTTP/1.1 204 No Content\r\n\r\nforged", Whole(204, "")),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nforged", Whole(304, "")),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", Whole(200, "until the end")),
    ];
    let fixed = fixed.into_iter().map(|(bytes, fate)| (bytes.to_owned(), fate));
    fixed.chain([(long, Bad), (many, Bad)]).collect()
}

/// Answers `/N` with the bytes of that number and closes; a connection is used once.
fn upstream(answers: &[(String, Fate)]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers: Vec<_> = answers.iter().map(|(bytes, _)| bytes.clone()).collect();
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let text = String::from_utf8(head).unwrap();
            let number: usize = text.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
            drop(stream.write_all(answers[number].as_bytes()));
        }
    });
    port
}

fn start() -> (Prefix, u16, Vec<(String, Fate)>, Foreground) {
    let answers = answers();
    let (prefix, port, upstream) = (Prefix::new(), free_port(), upstream(&answers));
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info; events {{ worker_connections 256; }}\n\
             http {{ upstream group {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 4; }}\n\
             server {{ listen 127.0.0.1:{port}; http2 on; proxy_pass_request_headers off; proxy_http_version 1.1; proxy_set_header Connection '';\n\
             location / {{ proxy_pass http://group; }}\n\
             location /unbuffered/ {{ proxy_buffering off; proxy_pass http://group/; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, answers, running)
}

#[test]
fn in_http_1() {
    let (prefix, port, answers, _running) = start();
    for way in ["", "unbuffered/"] {
        for (number, (bytes, fate)) in answers.iter().enumerate() {
            let bytes = &bytes[..bytes.len().min(200)];
            let request =
                format!("GET /{way}{number} HTTP/1.1\r\nHost: a\r\n\r\nGET /{way}15 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            // The second answer shows whether the connection went on; it breaks off.
            let answer = exchange(port, request.as_bytes()).unwrap();
            let text = String::from_utf8_lossy(&answer).into_owned();
            let goes_on = text.matches("HTTP/1.1 ").count() > 1;
            assert!(!text.contains("forged") && !text.contains("garbage"), "{bytes}: {text}");
            match fate {
                Bad => assert!(text.starts_with("HTTP/1.1 502 ") && goes_on, "{way} {bytes}: {text}\n{}", prefix.read("logs/error.log")),
                Broken(part) => {
                    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains(part), "{way} {bytes}: {text}");
                    assert!(!goes_on && !text.ends_with("0\r\n\r\n"), "{way} {bytes}: {text}");
                }
                Whole(status, body) => {
                    let answer = get(port, &format!("/{way}{number}")).unwrap();
                    assert_eq!((answer.status, answer.text().as_str(), goes_on), (*status, *body, true), "{way} {bytes}: {text}");
                }
            }
        }
    }
    assert!(parse(&exchange(port, b"GET /19 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap()).unwrap().text() == "hello");
}

#[test]
fn in_http_2() {
    let (prefix, port, answers, _running) = start();
    // All on one connection: nobody's death is anybody else's.
    let mut client = h2::Client::connect(port);
    for way in ["", "unbuffered/"] {
        for (number, (bytes, fate)) in answers.iter().enumerate() {
            let bytes = &bytes[..bytes.len().min(200)];
            let reply = client.get(&format!("/{way}{number}"));
            let (status, text) = (reply.answer.status, reply.answer.text());
            match fate {
                Bad => assert!(status == 502 && reply.ended && text.contains("502 Bad Gateway"), "{way} {bytes}: {reply:?}"),
                Broken(part) => assert!(status == 200 && !reply.ended && part.starts_with(&text), "{way} {bytes}: {reply:?}"),
                Whole(wanted, body) => assert!(status == *wanted && reply.ended && text == *body, "{way} {bytes}: {reply:?}"),
            }
        }
    }
    assert!(!client.closed && client.goaway.is_none(), "{}", prefix.read("logs/error.log"));
}
