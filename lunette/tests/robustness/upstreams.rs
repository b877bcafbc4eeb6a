//! A good upstream server beside one that closes, resets, breaks off, leaves idle connections and goes away: what may be asked again is
//! answered, and nothing is done twice.

use crate::raw::{ANSWER, Seen, note, read, server};
use crate::rig::{Foreground, Prefix, exchange, free_port, parse};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const CLIENTS: usize = 4;
const REQUESTS: usize = 60;

/// The server under test, with both in a group.
fn proxy(front: u16, bad: u16, good: u16) -> (Prefix, Foreground) {
    let prefix = Prefix::new();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 2; error_log logs/error.log info;\nevents {{ }}\nhttp {{\n\
             upstream group {{ zone group 64k; server 127.0.0.1:{bad} fail_timeout=1s; server 127.0.0.1:{good}; }}\n\
             server {{ listen {front}; location / {{ proxy_pass http://group; proxy_next_upstream error timeout invalid_header; }} }} }}\n"
        ),
    );
    let running = Foreground::start(&prefix, front, "").unwrap();
    (prefix, running)
}

#[test]
fn what_may_be_asked_again_is_answered_and_nothing_is_done_twice() {
    let (good, bad, front) = (free_port(), free_port(), free_port());
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
    let to = seen.clone();
    let good_server = server(good, &stop, move |mut stream, _| {
        while let Some(path) = read(&mut stream) {
            note(&to, path);
            stream.write_all(ANSWER).unwrap();
        }
    });
    let to = seen.clone();
    let bad_server = server(bad, &stop, move |mut stream, number| {
        let Some(path) = read(&mut stream) else { return };
        note(&to, path);
        match number % 4 {
            // An answer, and an end that nothing announces.
            0 => drop(stream.write_all(ANSWER)),
            1 => {}
            2 => drop(stream.write_all(b"HTTP/1.1 200 O")),
            // More to read than was read: the kernel resets.
            _ => drop(stream.write_all(b"\0")),
        }
    });
    let (prefix, _running) = proxy(front, bad, good);
    let refused = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let refused = refused.clone();
            thread::spawn(move || {
                for i in 0..REQUESTS {
                    let post = i % 3 == 0;
                    let (method, body) = if post { ("POST", "Content-Length: 1\r\n\r\nx") } else { ("GET", "\r\n") };
                    let request = format!("{method} /{method}/{client}/{i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}");
                    let answer = parse(&exchange(front, request.as_bytes()).unwrap()).unwrap();
                    if post && answer.status == 502 {
                        refused.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{request}");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    // The bad one goes away: nobody notices.
    stop.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(("127.0.0.1", bad)));
    bad_server.join().unwrap();
    stop.store(false, Ordering::SeqCst);
    for i in 0..REQUESTS {
        let request = format!("POST /POST/late/{i} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        let answer = parse(&exchange(front, request.as_bytes()).unwrap()).unwrap();
        assert_eq!(answer.status, 200, "{i}");
    }
    stop.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(("127.0.0.1", good)));
    good_server.join().unwrap();
    let seen = seen.lock().unwrap();
    let twice: Vec<_> = seen.iter().filter(|(path, count)| path.starts_with("/POST") && **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // Each POST was done once, or its client was told that it may not have been.
    let done = seen.keys().filter(|path| path.starts_with("/POST")).count();
    assert!(done + refused.load(Ordering::SeqCst) >= CLIENTS * REQUESTS / 3, "{done}");
    assert!(prefix.read("logs/error.log").contains("upstream server temporarily disabled"));
}
