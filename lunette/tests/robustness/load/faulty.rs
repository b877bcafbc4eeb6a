//! One of two servers resets, stalls in a body, or is slow beyond measure.

use super::{CLIENTS, Got, STORY, Speech, Story, check, crowd, so_many, stories};
use crate::raw::{ANSWER, Seen, note, read, server};
use crate::rig::{Foreground, Prefix, free_port};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

/// A run with a server that answers as it should and one that does not.
struct Run {
    prefix: Prefix,
    all: Vec<Got>,
    stories: HashMap<String, Story>,
    seen: Seen,
    bad: String,
}

impl Run {
    /// Each client sends `most` requests; `serve` is the bad server with one connection.
    fn new(speech: Speech, most: usize, directives: &str, serve: impl Fn(TcpStream, &Seen) + Send + Sync + 'static) -> Run {
        let (good, bad, front) = (free_port(), free_port(), free_port());
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
        let to = seen.clone();
        // The threads of both end with the test's process.
        server(good, &stop, move |mut stream, _| {
            while let Some(path) = read(&mut stream) {
                note(&to, path);
                stream.write_all(ANSWER).unwrap();
            }
        });
        let to = seen.clone();
        server(bad, &stop, move |stream, _| serve(stream, &to));
        let prefix = Prefix::new();
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 2; error_log logs/error.log info; events {{ worker_connections 512; }}\n\
                 http {{ {STORY}\n\
                 upstream group {{ zone group 64k; server 127.0.0.1:{bad} max_fails=0; server 127.0.0.1:{good}; }}\n\
                 server {{ listen 127.0.0.1:{front}; http2 on; location / {{ proxy_pass http://group; {directives} }} }} }}\n"
            ),
        );
        let _proxy = Foreground::start(&prefix, front, "").unwrap();
        let all = crowd(speech, front, most, |answers| so_many(answers, CLIENTS * most));
        assert_eq!(all.len(), CLIENTS * most);
        let stories = stories(&prefix, &all);
        Run { prefix, all, stories, seen, bad: format!("127.0.0.1:{bad}") }
    }

    fn done(&self, uri: &str) -> usize {
        self.seen.lock().unwrap().get(uri).copied().unwrap_or_default()
    }

    /// Whoever came to the bad server first went on to the other, if it was no POST: with this status of the try.
    fn goes_on(&self, status: &str) {
        check(&self.prefix, &self.all, |uri| self.done(uri));
        let mut met = 0;
        for (uri, story) in &self.stories {
            let first = &story.tries[0];
            if first.0 != self.bad {
                assert!(story.tries.len() == 1 && story.status == 200, "{uri}");
                continue;
            }
            met += 1;
            assert_eq!(first.1, status, "{uri}");
            assert_eq!(story.tries.len(), if uri.starts_with("/POST") { 1 } else { 2 }, "{uri}");
        }
        assert!(met >= self.all.len() / 4, "{met} of {}", self.all.len());
    }
}

/// The path of a request that stays unread, so that closing the connection resets it.
fn peek(stream: &TcpStream) -> Option<String> {
    let mut bytes = [0; 1024];
    loop {
        let got = stream.peek(&mut bytes).ok().filter(|got| *got > 0)?;
        let text = String::from_utf8_lossy(&bytes[..got]);
        if let (true, Some(path)) = (text.contains("\r\n"), text.split(' ').nth(1)) {
            return Some(path.to_owned());
        }
    }
}

fn a_server_that_resets(speech: Speech) {
    let run = Run::new(speech, 12, "", |stream, seen| {
        if let Some(path) = peek(&stream) {
            note(seen, path);
        }
    });
    run.goes_on("502");
    let log = run.prefix.read("logs/error.log");
    assert!(log.contains("(104: Connection reset by peer) while reading response header from upstream"), "{log}");
}

fn a_server_that_stalls_in_a_body(speech: Speech) {
    let run = Run::new(speech, 4, "proxy_read_timeout 2s;", |mut stream, seen| {
        let Some(path) = read(&mut stream) else { return };
        note(seen, path);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").unwrap();
        // Until it is left.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    let mut stalled = 0;
    for got in &run.all {
        let story = &run.stories[&got.uri];
        assert_eq!((got.status, story.tries.len(), run.done(&got.uri)), (200, 1, 1), "{}", got.uri);
        let (address, _, received) = &story.tries[0];
        let bad = *address == run.bad;
        let (body, whole) = if bad { ("half", false) } else { ("done", true) };
        assert!(got.body == body.as_bytes() && got.whole == whole, "{}: {:?}", got.uri, got.body);
        // Head and half of a body.
        assert_eq!(*received, if bad { 42 } else { ANSWER.len() as u64 }, "{}", got.uri);
        stalled += usize::from(bad);
    }
    assert!(stalled >= CLIENTS, "{stalled}");
    let log = run.prefix.read("logs/error.log");
    assert_eq!(log.matches("upstream timed out (110: Connection timed out) while reading upstream").count(), stalled, "{log}");
}

fn a_server_that_sends_a_byte_of_its_body_a_second(speech: Speech) {
    let run = Run::new(speech, 3, "", |mut stream, seen| {
        while let Some(path) = read(&mut stream) {
            note(seen, path);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap();
            for byte in b"abc" {
                sleep(Duration::from_secs(1));
                stream.write_all(&[*byte]).unwrap();
            }
        }
    });
    for got in &run.all {
        let body: &[u8] = if run.stories[&got.uri].tries[0].0 == run.bad { b"abc" } else { b"done" };
        assert!(got.whole && got.body == body && run.done(&got.uri) == 1, "{}: {:?}", got.uri, got.body);
    }
    assert!(run.all.iter().any(|got| got.body == b"abc"));
}

/// Each byte comes in time, but the head never does.
fn a_server_that_sends_its_head_byte_by_byte(speech: Speech) {
    let run = Run::new(speech, 3, "proxy_read_timeout 2s;", |mut stream, seen| {
        let Some(path) = read(&mut stream) else { return };
        note(seen, path);
        for byte in ANSWER {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            sleep(Duration::from_millis(400));
        }
    });
    run.goes_on("504");
    let log = run.prefix.read("logs/error.log");
    assert!(log.contains("upstream timed out (110: Connection timed out) while reading response header from upstream"), "{log}");
}

#[test]
fn server_that_resets() {
    a_server_that_resets(Speech::Connections);
    a_server_that_resets(Speech::Streams);
}

#[test]
fn server_that_stalls_in_a_body() {
    a_server_that_stalls_in_a_body(Speech::Connections);
    a_server_that_stalls_in_a_body(Speech::Streams);
}

#[test]
fn server_that_sends_a_byte_of_its_body_a_second() {
    a_server_that_sends_a_byte_of_its_body_a_second(Speech::Connections);
    a_server_that_sends_a_byte_of_its_body_a_second(Speech::Streams);
}

#[test]
fn server_that_sends_its_head_byte_by_byte() {
    a_server_that_sends_its_head_byte_by_byte(Speech::Connections);
    a_server_that_sends_its_head_byte_by_byte(Speech::Streams);
}
