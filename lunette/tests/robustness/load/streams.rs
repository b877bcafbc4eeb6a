//! The clients as streams of one HTTP/2 connection.

use super::{CLIENTS, Got, uri_of};
use crate::rig::PATIENCE;
use crate::rig::h2::{Client, Reply};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// The request that a client waits for.
struct Asked {
    number: usize,
    turn: usize,
    stream: u32,
    since: Instant,
}

fn ask(connection: &mut Client, number: usize, turn: usize) -> Asked {
    let uri = uri_of(number, turn);
    let (method, body) = if uri.starts_with("/POST") { ("POST", Some(&b"x"[..])) } else { ("GET", None) };
    let stream = connection.request(method, &uri, &[], body);
    Asked { number, turn, stream, since: Instant::now() }
}

fn got(asked: &Asked, reply: Reply) -> Got {
    let answer = reply.answer;
    let length = answer.headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse::<usize>().unwrap());
    let whole = reply.ended && reply.reset.is_none() && length.is_some_and(|length| length == answer.body.len());
    Got { uri: uri_of(asked.number, asked.turn), status: answer.status, body: answer.body, whole }
}

/// What all clients get for `most` requests each, or for those until `enough`.
pub(super) fn clients(port: u16, most: usize, enough: &AtomicBool, answers: &AtomicUsize) -> Vec<Got> {
    let mut connection = Client::connect(port);
    let mut asked: Vec<_> = (0..CLIENTS).map(|number| ask(&mut connection, number, 0)).collect();
    let mut all = Vec::new();
    while !asked.is_empty() {
        connection.poll();
        for one in std::mem::take(&mut asked) {
            let reply = connection.replies.get(&one.stream).filter(|reply| reply.ended || reply.reset.is_some());
            if reply.is_none() {
                let uri = uri_of(one.number, one.turn);
                assert!(!connection.closed && one.since.elapsed() < PATIENCE, "no answer to {uri}: GOAWAY {:?}", connection.goaway);
                asked.push(one);
                continue;
            }
            all.extend(connection.replies.remove(&one.stream).map(|reply| got(&one, reply)));
            answers.fetch_add(1, Ordering::SeqCst);
            if one.turn + 1 < most && !enough.load(Ordering::SeqCst) {
                asked.push(ask(&mut connection, one.number, one.turn + 1));
            }
        }
    }
    all
}
