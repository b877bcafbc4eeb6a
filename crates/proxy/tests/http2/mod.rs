//! Upstreams over HTTP/2: what they see, what clients get of good answers and of hostile ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what a test needs is a test, whatever its functions are called")]

use crate::harness::{Site, worker};
use http::Outcome;
use http::body::Body;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;
use wire::h2::frame::{FrameHead, HEAD, PREFACE, kind};
use wire::hpack::{Decoder, Fields, Limits};

/// A frame by hand.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut all = FrameHead { len: payload.len(), kind, flags, stream }.bytes().to_vec();
    all.extend_from_slice(payload);
    all
}

/// SETTINGS as a server begins with them, with this window for streams.
fn settings(window: u32) -> Vec<u8> {
    let [a, b, c, d] = window.to_be_bytes();
    frame(kind::SETTINGS, 0, 0, &[0, 4, a, b, c, d])
}

/// One side of a scripted connection.
struct Peer {
    stream: TcpStream,
    decoder: Decoder,
}

impl Peer {
    fn accept(listener: &TcpListener) -> Peer {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        assert_eq!(preface, *PREFACE);
        Peer { stream, decoder: Decoder::new(4096) }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn next(&mut self) -> Option<(FrameHead, Vec<u8>)> {
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).ok()?;
        let head = FrameHead::parse(&head).unwrap();
        let mut payload = vec![0; head.len];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head, payload))
    }

    /// Reads on to the end of the next request, as text: stream, fields, content.
    fn request(&mut self) -> String {
        let mut text = String::new();
        loop {
            let (head, payload) = self.next().expect("a request");
            match head.kind {
                kind::HEADERS => {
                    let mut fields = Fields::default();
                    self.decoder.decode(&payload, true, &Limits::default(), &mut fields).unwrap();
                    text += &format!("{}\n", head.stream);
                    for (name, value) in fields.iter() {
                        text += &format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                    }
                }
                kind::DATA => text += &format!("[{}]", String::from_utf8_lossy(&payload)),
                _ => continue,
            }
            if head.has(1) {
                return text;
            }
        }
    }
}

/// A server that plays a part on each connection.
fn serve<T: Send + 'static>(part: impl FnOnce(&TcpListener) -> T + Send + 'static) -> (u16, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || part(&listener)))
}

/// Sockets that have said their last. One that is closed while frames of the client are still unread resets its connection, and what it has
/// sent may be lost.
static SILENT: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());

/// One that answers one request with these bytes and says no more.
fn answering(bytes: Vec<u8>) -> (u16, JoinHandle<String>) {
    serve(move |listener| {
        let mut peer = Peer::accept(listener);
        let request = peer.request();
        peer.send(&[settings(65_535), bytes].concat());
        peer.stream.shutdown(Shutdown::Write).unwrap();
        SILENT.lock().unwrap().push(peer.stream);
        request
    })
}

fn site(port: u16, more: &str) -> Site {
    Site::new(&format!("{more} location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 2; }}"))
}

const OK: &[u8] = b"\x88";
const END: u8 = 5;
const OPEN: u8 = 4;

#[test]
fn the_request_as_http2_has_it() {
    worker(async {
        let (port, server) = answering(frame(kind::HEADERS, END, 1, b"\x88\x00\x05x-one\x011"));
        let text = format!(
            "location /in/ {{ proxy_pass http://127.0.0.1:{port}/out/; proxy_http_version 2; proxy_set_header Host a.example; \
             proxy_set_header X-Set yes; proxy_set_header Connection upgrade; proxy_set_header X-Empty \"\"; }}"
        );
        let answer = Site::new(&text)
            .run("/in/a?b", |request, _| {
                let mut headers = request.headers.borrow_mut();
                for (name, value) in [("Host", "client"), ("X-Keep", "k"), ("TE", "trailers"), ("X-Empty", "gone"), ("Upgrade", "x")] {
                    headers.push(name.as_bytes(), value.as_bytes());
                }
                let mut line = request.line.borrow_mut();
                line.method_name = b"POST".to_vec();
                request.body.replace(std::rc::Rc::new(Body::from_bytes(b"body".to_vec())));
            })
            .await;
        assert_eq!(answer.outcome, Outcome::Ok);
        assert_eq!(*answer.client.head.borrow(), "200\nContent-Length: 0\nContent-Type: \nx-one: 1\n");
        assert_eq!((answer.variable("upstream_status"), answer.variable("upstream_http_x_one")), ("200".to_owned(), "1".to_owned()));
        let expected =
            "1\n:method: POST\n:scheme: http\n:path: /out/a?b\n:authority: a.example\ncontent-length: 4\nx-set: yes\nx-keep: k\n[body]";
        assert_eq!(server.join().unwrap(), expected);
    });
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    worker(async {
        let (port, server) = serve(|listener| {
            let mut peer = Peer::accept(listener);
            let mut streams = Vec::new();
            for stream in [1, 3, 5] {
                streams.push(peer.request());
                if stream == 1 {
                    peer.send(&settings(65_535));
                }
                peer.send(&[frame(kind::HEADERS, OPEN, stream, OK), frame(kind::DATA, 1, stream, b"hello")].concat());
            }
            streams
        });
        let site =
            Site::new(&format!("upstream u {{ server 127.0.0.1:{port}; }} location / {{ proxy_pass http://u; proxy_http_version 2; }}"));
        for _ in 0..3 {
            let answer = site.get("/x").await;
            assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"));
        }
        let streams = server.join().unwrap();
        assert!(streams.iter().zip(["1\n", "3\n", "5\n"]).all(|(request, number)| request.starts_with(number)), "{streams:?}");
    });
}

#[test]
fn a_body_waits_for_the_window() {
    worker(async {
        let (port, server) = serve(|listener| {
            let mut peer = Peer::accept(listener);
            peer.send(&settings(2));
            let mut sizes = Vec::new();
            let mut sent = 0;
            while sent < 70_000 {
                let (head, _) = peer.next().unwrap();
                if head.kind == kind::DATA {
                    sizes.push(head.len);
                    sent += head.len;
                    // Whatever the window was when the body began, what is left waits for more.
                    let more = (head.len as u32).max(1).to_be_bytes();
                    peer.send(&[frame(kind::WINDOW_UPDATE, 0, 1, &more), frame(kind::WINDOW_UPDATE, 0, 0, &more)].concat());
                }
            }
            peer.send(&[frame(kind::HEADERS, OPEN, 1, OK), frame(kind::DATA, 1, 1, b"got it")].concat());
            sizes
        });
        let answer =
            site(port, "").run("/x", |request, _| drop(request.body.replace(std::rc::Rc::new(Body::from_bytes(vec![b'x'; 70_000]))))).await;
        assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "got it"));
        assert!(server.join().unwrap().iter().all(|size| *size <= 16_384));
    });
}

#[test]
fn hostile_heads_are_a_502() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("upstream rejected request with error 8", frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("upstream sent goaway with error 11", frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])),
        ("upstream sent too large http2 frame: 65793", vec![1, 1, 1]),
        (
            "upstream sent too large http2 header",
            frame(kind::HEADERS, END, 1, &[OK, &[0, 1, b'x', 0x7f, 0xff, 0x7f], &[b'y'; 9000]].concat()),
        ),
        ("upstream sent no :status header", frame(kind::HEADERS, END, 1, b"\x00\x01a\x01b")),
        ("upstream sent invalid header: \"a: b\r\nc\"", frame(kind::HEADERS, END, 1, b"\x88\x00\x01a\x04b\r\nc")),
        ("upstream sent unexpected http2 frame: 0", frame(kind::DATA, 1, 1, b"x")),
        ("upstream sent unexpected push promise frame", frame(kind::PUSH_PROMISE, 4, 1, &[0; 5])),
        ("upstream sent duplicate header line", frame(kind::HEADERS, END, 1, b"\x88\x0f\x0d\x011\x0f\x0d\x012")),
        ("upstream prematurely closed connection", frame(kind::HEADERS, 0, 1, OK)),
    ];
    for (line, bytes) in cases {
        worker(async {
            let (port, server) = answering(bytes);
            let site = site(port, "");
            let answer = site.get("/x").await;
            assert_eq!(answer.outcome, Outcome::Status(502), "{line}");
            assert!(site.log.borrow().contains(line), "{line}: {}", site.log.borrow());
            drop(server.join());
        });
    }
}

#[test]
fn bodies_that_break_off_are_not_ended() {
    let head = frame(kind::HEADERS, OPEN, 1, OK);
    let sized = frame(kind::HEADERS, OPEN, 1, b"\x88\x0f\x0d\x013");
    let hello = frame(kind::DATA, 0, 1, b"hello");
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("upstream prematurely closed connection", vec![head.clone(), hello.clone()]),
        ("upstream rejected request with error 2", vec![head.clone(), hello.clone(), frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 2])]),
        ("upstream sent response body larger than indicated content length", vec![sized.clone(), hello]),
        ("upstream prematurely closed stream", vec![sized, frame(kind::DATA, 1, 1, b"he")]),
        ("upstream sent trailer without end stream flag", vec![head, frame(kind::HEADERS, OPEN, 1, b"\x00\x01a\x01b")]),
    ];
    for (line, frames) in cases {
        worker(async {
            let (port, server) = answering(frames.concat());
            let site = site(port, "");
            let answer = site.get("/x").await;
            assert_eq!(answer.outcome, Outcome::Error, "{line}");
            assert!(!answer.client.ended.get(), "{line}");
            assert!(site.log.borrow().contains(line), "{line}: {}", site.log.borrow());
            drop(server.join());
        });
    }
}

#[test]
fn trailers_are_kept_and_head_has_no_body() {
    worker(async {
        let frames = [frame(kind::HEADERS, OPEN, 1, OK), frame(kind::DATA, 0, 1, b"hi"), frame(kind::HEADERS, END, 1, b"\x00\x01a\x01b")];
        let (port, server) = answering(frames.concat());
        let answer = site(port, "proxy_pass_trailers on;").get("/x").await;
        assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hi"));
        assert_eq!(answer.variable("upstream_trailer_a"), "b");
        assert_eq!(answer.request.response.borrow().trailers.get(b"a"), Some(&b"b"[..]));
        drop(server.join());
    });
}

/// A POST that was sent is not sent again, unless the server says that it did nothing with it.
#[test]
fn what_was_not_looked_at_goes_to_the_next_server() {
    let goaway = frame(kind::GOAWAY, 0, 0, &[0; 8]);
    let refused = frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 7]);
    let cancelled = frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    for (first, outcome) in [(goaway, Outcome::Ok), (refused, Outcome::Ok), (cancelled, Outcome::Status(502))] {
        worker(async {
            let (port, server) = answering(first);
            let good = frame(kind::HEADERS, END, 1, OK);
            let (other, listener) = serve(move |listener| {
                listener.set_nonblocking(false).unwrap();
                let mut peer = Peer::accept(listener);
                peer.request();
                peer.send(&good);
            });
            let text = format!(
                "upstream u {{ server 127.0.0.1:{port}; server 127.0.0.1:{other} backup; }} proxy_next_upstream error invalid_header; \
                 location / {{ proxy_pass http://u; proxy_http_version 2; }}"
            );
            let answer = Site::new(&text)
                .run("/x", |request, _| {
                    request.line.borrow_mut().method = http::Method::POST;
                    request.line.borrow_mut().method_name = b"POST".to_vec();
                })
                .await;
            assert_eq!(answer.outcome, outcome);
            drop(server.join());
            if outcome == Outcome::Ok {
                listener.join().unwrap();
            }
        });
    }
}
