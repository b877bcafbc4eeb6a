//! 64 clients that ask at once, each on a connection that it keeps or on a stream of one HTTP/2 connection, while upstream servers fail:
//! what they get, and what the access log tells of it.

mod faulty;
mod killed;
mod names;
mod stale;
mod streams;

use crate::rig::{PATIENCE, Prefix, until};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

pub(crate) const CLIENTS: usize = 64;

/// The log format that [`stories`] reads.
const STORY: &str = "log_format story '$request_method $uri $status|$upstream_addr|$upstream_status|$upstream_bytes_received'; \
                     access_log logs/story.log story;";

/// How the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    /// Each has a connection of HTTP/1.
    Connections,
    /// Each has streams of one connection of HTTP/2.
    Streams,
}

/// What a client got.
struct Got {
    uri: String,
    status: u16,
    body: Vec<u8>,
    /// The body has the length that was announced.
    whole: bool,
}

impl Got {
    fn is_post(&self) -> bool {
        self.uri.starts_with("/POST")
    }
}

/// One request and its answer; `None` where the connection is gone before one.
fn ask(stream: &mut BufReader<TcpStream>, uri: &str) -> Option<Got> {
    let request = if uri.starts_with("/POST") {
        format!("POST {uri} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
    } else {
        format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    stream.get_mut().write_all(request.as_bytes()).ok()?;
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        head += &line;
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).unwrap();
    let whole = body.len() as u64 == length;
    Some(Got { uri: uri.to_owned(), status, body, whole })
}

/// What one client gets for `most` requests, of which each third is a POST, or for those until `enough`.
fn client(port: u16, number: usize, most: usize, enough: &AtomicBool, answers: &AtomicUsize) -> Vec<Got> {
    let mut all = Vec::new();
    let mut kept = None;
    for i in 0..most {
        let uri = uri_of(number, i);
        let mut stream = kept.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            BufReader::new(stream)
        });
        let got = ask(&mut stream, &uri).unwrap_or_else(|| panic!("no answer to {uri}"));
        // An answer without its end is the last one of its connection.
        kept = got.whole.then_some(stream);
        all.push(got);
        answers.fetch_add(1, Ordering::SeqCst);
        if enough.load(Ordering::SeqCst) {
            break;
        }
    }
    all
}

/// Whose turn it is for which request: each third of a client's is a POST.
fn uri_of(number: usize, turn: usize) -> String {
    let method = if (number + turn).is_multiple_of(3) { "POST" } else { "GET" };
    format!("/{method}/{number}/{turn}")
}

/// All clients ask while `during` runs, which sees how many answers there have been; at most `most` requests each.
fn crowd(speech: Speech, port: u16, most: usize, during: impl FnOnce(&AtomicUsize)) -> Vec<Got> {
    let (enough, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let count = if speech == Speech::Streams { 1 } else { CLIENTS };
    let clients: Vec<_> = (0..count)
        .map(|number| {
            let (enough, answers) = (enough.clone(), answers.clone());
            thread::spawn(move || match speech {
                Speech::Connections => client(port, number, most, &enough, &answers),
                Speech::Streams => streams::clients(port, most, &enough, &answers),
            })
        })
        .collect();
    during(&answers);
    enough.store(true, Ordering::SeqCst);
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

/// Waits until there have been that many more answers.
fn more(answers: &AtomicUsize, count: usize) {
    so_many(answers, answers.load(Ordering::SeqCst) + count);
}

/// Waits until there have been that many answers since the beginning.
fn so_many(answers: &AtomicUsize, count: usize) {
    until("answers", || answers.load(Ordering::SeqCst) >= count);
}

/// What the access log tells of a request.
struct Story {
    status: u16,
    /// Address, status and received bytes of each try.
    tries: Vec<(String, String, u64)>,
}

/// The stories of all requests. Each was logged once with the status that its client got, and its last try is the one that was passed on.
fn stories(prefix: &Prefix, all: &[Got]) -> HashMap<String, Story> {
    until("the access log", || prefix.read("logs/story.log").lines().count() >= all.len());
    let mut stories = HashMap::new();
    for line in prefix.read("logs/story.log").lines() {
        let parts: Vec<_> = line.split('|').collect();
        let [request, addresses, statuses, received] = parts[..] else { panic!("{line}") };
        let request: Vec<_> = request.split(' ').collect();
        let count = addresses.split(", ").count();
        assert!(statuses.split(", ").count() == count && received.split(", ").count() == count, "{line}");
        let tries = addresses.split(", ").zip(statuses.split(", ")).zip(received.split(", "));
        let tries: Vec<_> =
            tries.map(|((address, status), bytes)| (address.to_owned(), status.to_owned(), bytes.parse().unwrap_or(0))).collect();
        assert_eq!(tries.last().unwrap().1, request[2], "{line}");
        assert!(tries[..count - 1].iter().all(|(_, status, _)| ["502", "504"].contains(&status.as_str())), "{line}");
        let story = Story { status: request[2].parse().unwrap(), tries };
        assert!(stories.insert(request[1].to_owned(), story).is_none(), "twice: {line}");
    }
    assert_eq!(stories.len(), all.len());
    all.iter().for_each(|got| assert_eq!(stories[&got.uri].status, got.status, "{}", got.uri));
    stories
}

/// GET requests have been answered whole, and a POST that was not may have been done, but not twice.
fn check(prefix: &Prefix, all: &[Got], done: impl Fn(&str) -> usize) {
    for got in all {
        let times = done(&got.uri);
        if got.is_post() {
            assert!(times <= 1, "{} was done {times} times", got.uri);
        }
        if !got.is_post() || got.status == 200 {
            assert!(got.status == 200 && got.whole && times >= 1, "{}: {} {}", got.uri, got.status, prefix.read("logs/error.log"));
        }
    }
}
