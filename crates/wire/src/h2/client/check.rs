//! The invariants of a client's connection that the fuzz target and the smoke test assert.

use super::super::frame::{FrameHead, HEAD};
use super::{Client, Event};

/// What a client made of its input.
#[derive(PartialEq, Eq)]
struct Session {
    events: Vec<String>,
    out: Vec<u8>,
    failure: Option<String>,
}

/// A server's whole session, with a request after each response: the same whatever the input's pieces are; bounded; and what is sent is
/// whole.
pub fn h2_client(data: &[u8]) {
    let whole = session(data, data.len().max(1));
    for size in [1, 7, 64] {
        let pieces = session(data, size);
        assert_eq!(whole.events, pieces.events);
        assert_eq!(whole.failure, pieces.failure);
        assert_eq!(whole.out, pieces.out);
    }
    let mut rest = &whole.out[24..];
    while !rest.is_empty() {
        let head = FrameHead::parse(rest).filter(|head| rest.len() >= HEAD + head.len);
        assert!(head.is_some(), "a frame was cut");
        rest = &rest[HEAD + head.map_or(0, |head| head.len)..];
    }
}

fn session(input: &[u8], size: usize) -> Session {
    let mut session = Session { events: Vec::new(), out: Vec::new(), failure: None };
    let mut client = Client::new(&mut session.out);
    send_request(&mut client, &mut session.out);
    let (mut from, mut to) = (0, 0);
    while to < input.len() && session.failure.is_none() {
        to = (to + size).min(input.len());
        loop {
            match client.poll(&input[from..to], &mut session.out) {
                Ok(poll) => {
                    from += poll.used;
                    let Some(event) = poll.event else { break };
                    take(&mut client, event, &mut session);
                }
                Err(failure) => {
                    assert!(!failure.text.is_empty() && !client.is_reusable());
                    session.failure = Some(failure.text.into_owned());
                    break;
                }
            }
        }
        assert!(client.fields.memory() + client.partial.capacity() + client.decoder.memory() < 1 << 18);
        assert!(session.failure.is_some() || to - from <= Client::INPUT);
    }
    session
}

fn take(client: &mut Client, event: Event<'_>, session: &mut Session) {
    match event {
        // Pieces of content depend on how the input was cut; only their ends do not.
        Event::Data { data, end } => {
            assert!(end || !data.is_empty());
            if !end {
                return;
            }
            session.events.push("content ends".to_owned());
        }
        Event::Head { status, end } => {
            assert!(client.fields().iter().all(|(name, value)| !name.is_empty() && !value.contains(&b'\n')));
            session.events.push(format!("{event:?}"));
            assert!(status >= 100 && status != 101 && !(end && status < 200));
        }
        Event::Trailers => session.events.push(format!("{event:?}")),
    }
    client.data(b"hello", false, &mut session.out);
    if client.stream.is_answered() && client.stream.id < 9 {
        client.data(b"", true, &mut session.out);
        send_request(client, &mut session.out);
    }
}

fn send_request(client: &mut Client, out: &mut Vec<u8>) {
    client.begin(512);
    client.head([(&b":method"[..], &b"POST"[..]), (b":path", b"/"), (b"x-long", &[b'x'; 300])], false, out);
    assert!(client.data(b"hello", false, out) <= 5);
}
