//! Hand-written responses, and the client's events.

use super::super::frame::{self, FrameHead, HEAD, kind};
use super::{Client, Event};

/// A connection whose request has been sent.
fn asked() -> (Client, Vec<u8>) {
    let mut out = Vec::new();
    let mut client = Client::new(&mut out);
    client.begin(4096);
    client.head([(&b":method"[..], &b"GET"[..])], true, &mut out);
    out.clear();
    (client, out)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut all = FrameHead { len: payload.len(), kind, flags, stream }.bytes().to_vec();
    all.extend_from_slice(payload);
    all
}

const OK: &[u8] = b"\x88";
const HEADERS: u8 = kind::HEADERS;
const DATA: u8 = kind::DATA;

/// Feeds frames; returns the events in short form, and the error that ended it.
fn run(client: &mut Client, input: &[u8], out: &mut Vec<u8>) -> (String, Option<String>) {
    let (mut said, mut used) = (String::new(), 0);
    loop {
        match client.poll(&input[used..], out) {
            Err(failure) => return (said, Some(failure.text.into_owned())),
            Ok(poll) => {
                used += poll.used;
                match poll.event {
                    None => return (said, None),
                    Some(Event::Head { status, end }) => said += &format!("head {status} {end};"),
                    Some(Event::Data { data, end }) => said += &format!("data {} {end};", String::from_utf8_lossy(data)),
                    Some(Event::Trailers) => said += &format!("trailers {};", client.fields().iter().count()),
                }
            }
        }
    }
}

#[test]
fn answers_that_are_whole() {
    let field = b"\x00\x01a\x01b";
    let head = frame(HEADERS, 4, 1, OK);
    let cases: [(&str, Vec<Vec<u8>>); 8] = [
        ("head 200 true;", vec![frame(HEADERS, 5, 1, OK)]),
        ("head 200 false;data hi true;", vec![head.clone(), frame(DATA, 1, 1, b"hi")]),
        ("head 200 false;data hi false;data  true;", vec![head.clone(), frame(DATA, 8, 1, b"\x03hi\0\0\0"), frame(DATA, 1, 1, b"")]),
        ("head 200 false;data hi false;trailers 1;", vec![head.clone(), frame(DATA, 0, 1, b"hi"), frame(HEADERS, 5, 1, field)]),
        ("head 103 false;head 200 true;", vec![frame(HEADERS, 4, 1, b"\x08\x03103"), frame(HEADERS, 5, 1, OK)]),
        ("head 200 true;", vec![frame(HEADERS, 1, 1, OK), frame(kind::CONTINUATION, 4, 1, field)]),
        ("head 200 true;", vec![frame(HEADERS, 0x2d, 1, b"\x02\0\0\0\0\x10\x88\0\0"), frame(0xee, 0, 1, b"unknown")]),
        ("head 200 true;", vec![frame(HEADERS, 5, 1, OK), frame(kind::RST_STREAM, 0, 1, &[0; 4])]),
    ];
    for (expected, frames) in cases {
        let all = frames.concat();
        for size in [all.len(), 1] {
            let (mut client, mut out) = asked();
            let (mut said, mut pending) = (String::new(), Vec::new());
            for piece in all.chunks(size) {
                // What is not used comes again.
                pending.extend_from_slice(piece);
                loop {
                    let poll = client.poll(&pending, &mut out).expect("a good answer");
                    let event = poll.event.map(|event| match event {
                        Event::Head { status, end } => format!("head {status} {end};"),
                        Event::Data { data, end } => format!("data {} {end};", String::from_utf8_lossy(data)),
                        Event::Trailers => format!("trailers {};", client.fields().iter().count()),
                    });
                    let used = poll.used;
                    pending.drain(..used);
                    let Some(event) = event else { break };
                    said += &event;
                }
            }
            assert!(pending.is_empty() && client.is_reusable(), "{expected}");
            if size > 1 {
                assert_eq!(said, expected);
            }
        }
    }
}

#[test]
fn what_ends_a_connection() {
    let head = frame(HEADERS, 4, 1, OK);
    let end = frame(HEADERS, 5, 1, OK);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("upstream sent too large http2 frame: 16385", vec![vec![0, 64, 1]]),
        ("upstream sent unexpected http2 frame: 0", vec![frame(DATA, 0, 1, b"x")]),
        ("upstream sent unexpected http2 frame: 9", vec![frame(kind::CONTINUATION, 4, 1, OK)]),
        ("upstream sent unexpected http2 frame: 6", vec![frame(HEADERS, 0, 1, OK), frame(kind::PING, 0, 0, &[0; 8])]),
        ("upstream sent frame for unknown stream 3", vec![frame(HEADERS, 4, 3, OK)]),
        ("upstream sent frame for unknown stream 2", vec![frame(kind::WINDOW_UPDATE, 0, 2, &[0, 0, 0, 1])]),
        ("upstream sent data frame for unknown stream 3", vec![head.clone(), frame(DATA, 0, 3, b"")]),
        ("upstream sent frame for closed stream 1", vec![end.clone(), frame(DATA, 0, 1, b"")]),
        ("upstream sent unexpected push promise frame", vec![frame(kind::PUSH_PROMISE, 4, 1, &[0; 5])]),
        ("upstream rejected request with error 8", vec![frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])]),
        ("upstream rejected request with error 0", vec![head.clone(), frame(kind::RST_STREAM, 0, 1, &[0; 4])]),
        ("upstream sent frame for closed stream 1", vec![end, frame(kind::RST_STREAM, 0, 1, &[0; 4]).repeat(2)]),
        ("upstream sent rst stream frame with invalid length: 3", vec![frame(kind::RST_STREAM, 0, 1, &[0; 3])]),
        ("upstream sent goaway with error 5", vec![frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 5])]),
        ("upstream sent goaway frame with non-zero stream id: 1", vec![frame(kind::GOAWAY, 0, 1, &[0; 8])]),
        ("upstream sent zero window update", vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])]),
        ("upstream sent too large window update", vec![frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])]),
        ("upstream sent ping frame with ack flag", vec![frame(kind::PING, 1, 0, &[0; 8])]),
        ("upstream sent settings frame with invalid length: 5", vec![frame(kind::SETTINGS, 0, 0, &[0; 5])]),
        ("upstream sent settings frame with ack flag and non-zero length: 6", vec![frame(kind::SETTINGS, 1, 0, &[0; 6])]),
        (
            "upstream sent settings frame with too large initial window size: 2147483648",
            vec![frame(kind::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])],
        ),
        ("upstream sent http2 frame with too long padding: 9 in frame 2", vec![head.clone(), frame(DATA, 8, 1, b"\x09ab")]),
        ("upstream sent too short http2 frame", vec![head.clone(), frame(DATA, 8, 1, b"")]),
        ("upstream sent headers frame with invalid length: 3", vec![frame(HEADERS, 0x24, 1, &[0; 3])]),
        ("upstream sent no :status header", vec![frame(HEADERS, 5, 1, b"\x00\x01a\x01b")]),
        ("upstream sent duplicate :status header", vec![frame(HEADERS, 5, 1, b"\x88\x88")]),
        ("upstream sent invalid :status \"20\"", vec![frame(HEADERS, 5, 1, b"\x08\x0220")]),
        ("upstream sent unexpected :status \"101\"", vec![frame(HEADERS, 4, 1, b"\x08\x03101")]),
        ("upstream sent invalid header \":path: /\"", vec![frame(HEADERS, 5, 1, b"\x88\x84")]),
        ("upstream sent invalid header: \"A: b\"", vec![frame(HEADERS, 5, 1, b"\x88\x00\x01A\x01b")]),
        ("upstream sent invalid header: \"a: b\n\"", vec![frame(HEADERS, 5, 1, b"\x88\x00\x01a\x02b\n")]),
        ("upstream sent invalid http2 table index: 0", vec![frame(HEADERS, 5, 1, b"\x80")]),
        ("upstream sent invalid http2 table index: 62", vec![frame(HEADERS, 5, 1, b"\xbe")]),
        ("upstream sent invalid http2 dynamic table size update: 1", vec![frame(HEADERS, 5, 1, b"\x21")]),
        ("upstream sent truncated http2 header", vec![frame(HEADERS, 5, 1, b"\x88\x00\x05a")]),
        ("upstream sent zero http2 header name length", vec![frame(HEADERS, 5, 1, b"\x88\x00\x00\x00")]),
        ("upstream prematurely closed stream", vec![frame(HEADERS, 5, 1, b"\x08\x03103")]),
        ("upstream sent trailer without end stream flag", vec![head.clone(), frame(HEADERS, 4, 1, b"\x00\x01a\x01b")]),
        ("upstream sent invalid trailer \":status: 200\"", vec![head, frame(HEADERS, 5, 1, OK)]),
    ];
    for (expected, frames) in cases {
        let (mut client, mut out) = asked();
        let (_, failure) = run(&mut client, &frames.concat(), &mut out);
        assert_eq!(failure.as_deref(), Some(expected));
        assert!(!client.is_reusable());
    }
}

#[test]
fn floods_end() {
    let field = [b"\x00\x7f\x02" as &[u8], &[b'a'; 129], b"\x7f\x02", &[b'b'; 129]].concat();
    let cases: Vec<(&str, Vec<u8>, usize)> = vec![
        ("upstream sent too many settings frames", frame(kind::SETTINGS, 0, 0, b""), 2000),
        ("upstream sent too many ping frames", frame(kind::PING, 0, 0, &[0; 8]), 2000),
        ("upstream sent too many http2 frames", frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 10_000),
        ("upstream sent too many http2 frames", frame(0xee, 0, 0, b""), 10_000),
        ("upstream sent too many http2 frames", [frame(HEADERS, 0, 1, b""), frame(kind::CONTINUATION, 0, 1, b"").repeat(300)].concat(), 1),
        ("upstream sent too many http2 frames", [frame(HEADERS, 4, 1, OK), frame(DATA, 0, 1, b"").repeat(10_000)].concat(), 1),
        ("upstream sent too large http2 header", frame(HEADERS, 4, 1, &[OK, &field.repeat(40)].concat()), 1),
    ];
    for (expected, input, times) in cases {
        let (mut client, mut out) = asked();
        let (_, failure) = run(&mut client, &input.repeat(times), &mut out);
        assert_eq!(failure.as_deref(), Some(expected));
        assert!(out.len() < 32_768, "{expected}");
    }
    // What is answered and sent is no flood.
    let (mut client, mut out) = asked();
    for second in 1..5000 {
        client.tick(second);
        assert_eq!(run(&mut client, &frame(kind::PING, 0, 0, &[7; 8]), &mut out).1, None);
        out.clear();
        client.flushed();
    }
}

#[test]
fn content_keeps_to_the_windows() {
    let mut out = Vec::new();
    let mut client = Client::new(&mut out);
    client.begin(4096);
    client.head([(&b":method"[..], &b"POST"[..])], false, &mut out);
    out.clear();
    run(&mut client, &frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 2]), &mut out);
    assert_eq!(out, frame(kind::SETTINGS, 1, 0, b""));
    out.clear();
    assert_eq!((client.data(b"Hello", true, &mut out), client.quota()), (2, 0));
    assert_eq!(out, frame(DATA, 0, 1, b"He"));
    out.clear();
    assert_eq!(client.data(b"llo", true, &mut out), 0);
    run(&mut client, &frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]), &mut out);
    assert_eq!(client.data(b"llo", true, &mut out), 3);
    assert_eq!(out, frame(DATA, 1, 1, b"llo"));
    // A frame is never larger than the least that a peer must take, whatever it allows.
    client.begin(4096);
    assert_eq!(client.quota(), 2);
    run(&mut client, &frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]), &mut out);
    assert_eq!(client.quota(), frame::DEFAULT_SIZE);
}

#[test]
fn a_window_that_is_used_up_is_filled_again() {
    let (mut client, mut out) = asked();
    run(&mut client, &frame(HEADERS, 4, 1, OK), &mut out);
    let data = frame(DATA, 0, 1, &vec![b'x'; frame::DEFAULT_SIZE]);
    let mut frames = 0;
    while out.is_empty() && frames < 200_000 {
        assert_eq!(run(&mut client, &data, &mut out).1, None);
        frames += 1;
    }
    assert_eq!(out.len(), 2 * (HEAD + 4));
    assert!((90_000..110_000).contains(&frames), "{frames}");
}

#[test]
fn one_request_after_the_other() {
    let (mut client, mut out) = asked();
    assert!(!client.is_reusable());
    run(&mut client, &frame(HEADERS, 5, 1, OK), &mut out);
    assert!(client.is_reusable());
    client.begin(4096);
    client.head([(&b":method"[..], &b"GET"[..])], true, &mut out);
    assert_eq!(FrameHead::parse(&out).map(|head| head.stream), Some(3));
    // What is left of the first one on its way does no harm.
    let late = [frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), frame(kind::RST_STREAM, 0, 1, &[0; 4])].concat();
    assert_eq!(run(&mut client, &late, &mut out).1, None);
    let goaway = frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(run(&mut client, &[goaway, frame(HEADERS, 5, 3, OK)].concat(), &mut out), ("head 200 true;".to_owned(), None));
    assert!(!client.is_reusable());
}

#[test]
fn what_a_server_did_not_look_at_can_be_sent_again() {
    let goaway = frame(kind::GOAWAY, 0, 0, &[0; 8]);
    let refused = frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 7]);
    let cancelled = frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let answered = [frame(HEADERS, 4, 1, OK), goaway.clone()].concat();
    for (input, expected) in [(goaway, true), (refused, true), (cancelled, false), (answered, false)] {
        let (mut client, mut out) = asked();
        assert!(run(&mut client, &input, &mut out).1.is_some());
        assert_eq!(client.is_unprocessed(), expected);
    }
}
