//! Answers that are none, and bodies that are large.

#![allow(clippy::unwrap_used, reason = "what a test needs is a test, whatever its functions are called")]

use super::{answer, record};
use crate::harness::{Site, Upstream, worker};
use http::Outcome;
use http::body::Body;
use session::variable::by_name::set_by_name;
use std::io::{Read, Write};
use std::net::TcpListener;

/// An application that reads what `asked` bytes announce and answers each connection with the next text.
fn plays(answers: Vec<String>) -> (u16, std::thread::JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            let mut request = Vec::new();
            let mut byte = [0; 4096];
            // The record that ends the body ends the request.
            while !request.ends_with(&record(5, "").into_bytes()) {
                let n = stream.read(&mut byte).unwrap();
                assert!(n > 0);
                request.extend_from_slice(&byte[..n]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            requests.push(request);
        }
        requests
    });
    (port, thread)
}

#[test]
fn what_is_no_answer_is_a_502() {
    for (text, line) in [
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "upstream sent unsupported FastCGI protocol version: 72"),
        (record(8, "x"), "upstream sent invalid FastCGI record type: 8"),
        (record(6, "x").replacen("\x06\0", "\x06\x03", 1), "upstream sent unexpected FastCGI request id high byte: 3"),
        (record(6, "x").replacen("\x06\0\x01", "\x06\0\x02", 1), "upstream sent unexpected FastCGI request id low byte: 2"),
        (answer("Status: 200\r\n"), "upstream prematurely closed FastCGI stdout"),
        (record(3, "\0\0\0\0\0\0\0\0"), "upstream sent unexpected FastCGI record: 3"),
        (answer("A b: c\r\n\r\n"), "upstream sent invalid header: \"A\\x20...\""),
        (answer("Status: ok\r\n\r\n"), "upstream sent invalid status \"ok\""),
        (answer("Status: 100 Continue\r\n\r\n"), "upstream sent invalid status \"100 Continue\""),
        (answer("Status: 101 Go\r\nUpgrade: x\r\n\r\n"), "upstream sent unexpected \"101 Switching Protocols\""),
        (answer("Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"), "upstream sent duplicate header line"),
        (record(6, "X: y\r\n").repeat(800), "upstream sent too big header"),
        (record(6, "X: y\r\n"), "upstream prematurely closed connection"),
    ] {
        worker(async {
            let (port, thread) = plays(vec![text.clone()]);
            let site = Site::new(&format!("location / {{ fastcgi_pass 127.0.0.1:{port}; }}"));
            let got = site.get("/x").await;
            assert_eq!((got.outcome, got.body().as_str()), (Outcome::Status(502), ""), "{line}");
            let log = site.log.borrow();
            assert!(log.contains(line) && log.contains("while reading response header from upstream"), "{line}: {log}");
            thread.join().unwrap();
        });
    }
}

#[test]
fn a_body_ends_with_its_request_or_is_broken() {
    let start = record(6, "Content-Type: a/b\r\n\r\nhello");
    let ended = |text: &str| record(6, text) + &record(6, "") + &record(3, "\0\0\0\0\0\0\0\0");
    for (text, body, line, outcome) in [
        (start.clone(), "hello", "upstream prematurely closed connection while reading upstream", Outcome::Error),
        (start.clone() + "\x02", "hello", "upstream sent unsupported FastCGI protocol version: 2", Outcome::Error),
        (start.clone() + &record(6, ""), "hello", "", Outcome::Ok),
        (start + &record(3, "\0\0\0\0\0\0\0\0"), "hello", "", Outcome::Ok),
        (ended("Content-Length: 9\r\n\r\nhello"), "hello", "upstream prematurely closed FastCGI stdout", Outcome::Error),
        (
            record(6, "Content-Length: 9\r\n\r\nhello") + &record(3, "\0\0\0\0\0\0\0\0"),
            "hello",
            "upstream prematurely closed FastCGI request",
            Outcome::Error,
        ),
        (record(6, "Content-Length: 5\r\n\r\nhello"), "hello", "", Outcome::Ok),
        (
            ended("Content-Length: 4\r\n\r\nhello"),
            "hell",
            "upstream sent more data than specified in \"Content-Length\" header",
            Outcome::Ok,
        ),
    ] {
        for buffering in ["on", "off"] {
            worker(async {
                let (port, thread) = plays(vec![text.clone()]);
                let site = Site::new(&format!("location / {{ fastcgi_pass 127.0.0.1:{port}; fastcgi_buffering {buffering}; }}"));
                let got = site.get("/x").await;
                assert_eq!((got.outcome, got.body().as_str()), (outcome, body), "{text}");
                assert_eq!(got.client.ended.get(), outcome == Outcome::Ok);
                assert!(site.log.borrow().contains(line), "{line}: {}", site.log.borrow());
                thread.join().unwrap();
            });
        }
    }
}

#[test]
fn a_message_of_the_application_can_make_its_answer_invalid() {
    worker(async {
        let (port, thread) = plays(vec![record(7, "PHP Fatal error: x") + &answer("\n\nbad")]);
        let (other, second) = plays(vec![answer("\n\ngood")]);
        let site = Site::new(&format!(
            "upstream u {{ server 127.0.0.1:{port}; server 127.0.0.1:{other}; }} location / {{ fastcgi_pass u; \
             fastcgi_catch_stderr nothing; fastcgi_catch_stderr 'PHP Fatal'; fastcgi_next_upstream invalid_header; }}"
        ));
        let got = site.get("/x").await;
        assert_eq!((got.body().as_str(), got.variable("upstream_status")), ("\ngood", "502, 200".to_owned()));
        thread.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_head_of_tiny_records_with_messages_between_them() {
    worker(async {
        let text: String = "X-Long: yyyyyyyyyyyyyyyyyyyy\r\n\r\nhel".chars().map(|c| record(6, &c.to_string()) + &record(7, "m")).collect();
        let (port, thread) = plays(vec![text + &record(6, "lo") + &record(6, "") + &record(3, "\0\0\0\0\0\0\0\0")]);
        let site = Site::new(&format!("location / {{ fastcgi_pass 127.0.0.1:{port}; }}"));
        let got = site.get("/x").await;
        assert_eq!((got.variable("upstream_http_x_long").as_str(), got.body().as_str()), ("yyyyyyyyyyyyyyyyyyyy", "hello"));
        assert_eq!(site.log.borrow().matches("FastCGI sent in stderr: \"m\"").count(), 35);
        thread.join().unwrap();
    });
}

#[test]
fn many_messages_in_front_of_a_head_need_no_buffer() {
    worker(async {
        let text = record(7, &"warning ".repeat(14)).repeat(200) + &answer("X: y\r\n\r\nhello");
        let (port, thread) = plays(vec![text]);
        let site = Site::new(&format!(
            "location / {{ fastcgi_pass 127.0.0.1:{port}; fastcgi_buffer_size 1k; fastcgi_buffers 4 1k; fastcgi_busy_buffers_size 1k; }}"
        ));
        assert_eq!(site.get("/x").await.body(), "hello");
        thread.join().unwrap();
    });
}

/// The streams of a request's records: parameters and body.
fn streams(request: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut params, mut body, mut rest) = (Vec::new(), Vec::new(), request);
    while let [1, kind, 0, 1, high, low, padding, 0, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        match kind {
            4 => params.extend_from_slice(&tail[..length]),
            5 => body.extend_from_slice(&tail[..length]),
            _ => {}
        }
        rest = &tail[length + usize::from(*padding)..];
    }
    assert!(rest.is_empty());
    (params, body)
}

/// Makes a variable larger than a record.
fn enlarge(request: &http::Request) {
    assert!(set_by_name(request, "empty", Some("x".repeat(70_000).as_bytes())).is_ok());
}

#[test]
fn large_bodies_and_parameters_take_several_records() {
    worker(async {
        let data: Vec<u8> = (0..100_001_u32).flat_map(u32::to_be_bytes).collect();
        let (port, thread) = plays(vec![answer("\n\nok"), answer("\n\nok")]);
        let site = Site::new(&format!("location / {{ fastcgi_pass 127.0.0.1:{port}; fastcgi_param A $empty; }}"));
        let got = site
            .run("/x", |request, _| {
                enlarge(request);
                http::body::replace(request, Body::from_bytes(data.clone()));
            })
            .await;
        assert_eq!(got.body(), "\nok");
        let file = std::env::temp_dir().join(format!("lunette-fastcgi-{}", std::process::id()));
        std::fs::write(&file, &data).unwrap();
        let got = site
            .run("/x", |request, _| {
                enlarge(request);
                http::body::replace(request, http::body::from_file(&file, true).unwrap());
            })
            .await;
        assert_eq!(got.body(), "\nok");
        for request in thread.join().unwrap() {
            let (params, body) = streams(&request);
            assert_eq!(params.len(), 1 + 4 + 1 + 70_000);
            assert!(body == data);
        }
    });
}

#[test]
fn a_uwsgi_packet_that_does_not_fit_is_not_sent() {
    worker(async {
        let up = Upstream::start(Vec::new());
        let site = Site::new(&format!("location / {{ uwsgi_pass 127.0.0.1:{}; uwsgi_param A $empty; }}", up.port));
        let got = site.run("/x", |request, _| enlarge(request)).await;
        assert_eq!(got.outcome, Outcome::Status(500));
        assert!(site.log.borrow().contains("[alert]") && site.log.borrow().contains("uwsgi request is too big: 70005"));
        up.requests();
    });
}
