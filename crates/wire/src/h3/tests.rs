//! Helpers, and valid sessions.

use super::frame::{FrameHead, kind, push_integer, stream};
use super::*;
use crate::h2::request::Malformed;
use crate::hpack::{Fields, Limits};
use crate::qpack::{Decoder, Encoder};

pub(super) fn integer(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_integer(value, &mut out);
    out
}

pub(super) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { kind, len: payload.len() as u64 }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

pub(super) fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.begin();
    fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), &mut Vec::new()));
    encoder.finish(0, &mut out);
    out
}

pub(super) const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a.b")];

pub(super) fn request(more: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, &section(&[GET, more].concat()))
}

/// A client's control stream with settings of no content.
pub(super) fn control() -> Vec<u8> {
    [integer(stream::CONTROL), frame(kind::SETTINGS, &[])].concat()
}

pub(super) fn codec() -> Codec {
    Codec::new(Config { max_streams: 8, connect_protocol: true, ..Config::default() })
}

/// Everything that happens on a stream, with content as one piece; `size` bytes come at once.
pub(super) fn events(codec: &mut Codec, id: u64, bytes: &[u8], end: bool, size: usize) -> Result<Vec<String>, error::Failure> {
    let (mut found, mut body) = (Vec::new(), Vec::new());
    let mut at = 0;
    if codec.place(id).is_err() {
        assert!(codec.open_request(id)?);
    }
    loop {
        let to = (at + size).min(bytes.len());
        let last = to == bytes.len();
        let poll = codec.receive(id, &bytes[at..to], end && last)?;
        at += poll.used;
        match poll.event {
            Some(Event::Data { data, fault: None }) => body.extend_from_slice(data),
            Some(event) => {
                if !body.is_empty() {
                    found.push(format!("body {}", String::from_utf8_lossy(&std::mem::take(&mut body))));
                }
                found.push(match event {
                    Event::Request { head, end, .. } => match head.fault {
                        Some(fault) => format!("fault {fault:?}"),
                        None => format!("request {} {end}", String::from_utf8_lossy(head.path.of(codec.fields().bytes()))),
                    },
                    other => format!("{other:?}"),
                });
                if event == Event::Blocked {
                    return Ok(found);
                }
            }
            None if last => break,
            None => {}
        }
    }
    if !body.is_empty() {
        found.push(format!("body {}", String::from_utf8_lossy(&body)));
    }
    Ok(found)
}

#[test]
fn requests_in_pieces_are_the_same() {
    let grease = frame(0x21, b"xyz");
    let trailers = frame(kind::HEADERS, &section(&[("x-sum", "1")]));
    let post = request(&[("content-length", "5")]);
    let table: [(Vec<u8>, bool, &[&str]); 8] = [
        (request(&[]), true, &["request / true"]),
        (request(&[]), false, &["request / false"]),
        ([grease.clone(), request(&[]), grease.clone()].concat(), false, &["request / false"]),
        ([post.clone(), frame(0, b"hello")].concat(), true, &["request / false", "body hello", "End { fault: None }"]),
        (
            [post.clone(), frame(0, b"he"), grease.clone(), frame(0, b""), frame(0, b"llo"), trailers, grease].concat(),
            true,
            &["request / false", "body hello", "Trailers { fault: None, body: None }"],
        ),
        (
            [post.clone(), frame(0, b"hell")].concat(),
            true,
            &["request / false", "body hell", "End { fault: Some(TooShort { received: 4, declared: 5 }) }"],
        ),
        ([request(&[]), frame(0, b"any")].concat(), true, &["request / false", "body any", "End { fault: None }"]),
        (Vec::new(), true, &["Incomplete"]),
    ];
    for (bytes, end, expected) in table {
        for size in [1, 2, 3, 7, 1000] {
            let found = events(&mut codec(), 0, &bytes, end, size).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|event| {
                    event.replace("request / false", if bytes == request(&[]) && end { "request / true" } else { "request / false" })
                })
                .collect();
            assert_eq!(found, expected, "{size}");
        }
    }
}

#[test]
fn a_body_that_is_longer_than_declared() {
    for size in [1, 1000] {
        let mut codec = codec();
        let bytes = [request(&[("content-length", "3")]), frame(0, b"he"), frame(0, b"llo"), frame(0, b"more")].concat();
        let found = events(&mut codec, 0, &bytes, true, size).unwrap();
        assert_eq!(found[..3], ["request / false", "body he", "Data { data: [], fault: Some(TooLong) }"]);
        assert_eq!(found.len(), 3);
    }
}

#[test]
fn requests_that_are_malformed() {
    let limits = Limits { string: 200, total: 400, fields: 4 };
    let (long, half) = ("{".repeat(201), "{".repeat(190));
    let table: [(Vec<(&str, &str)>, Malformed); 7] = [
        (vec![(":method", "GET")], Malformed::NoPseudo(":scheme")),
        (GET[..3].to_vec(), Malformed::NoHost),
        ([GET, &[("connection", "close")]].concat(), Malformed::Connection("Connection")),
        ([GET, &[("te", "gzip")]].concat(), Malformed::Te),
        ([GET, &[("a", "1"), ("a", "2"), ("a", "3"), ("a", "4"), ("a", "5")]].concat(), Malformed::TooMany),
        ([GET, &[("a", &long)]].concat(), Malformed::TooLargeLine),
        ([GET, &[("a", &half), ("b", &half)]].concat(), Malformed::TooLarge),
    ];
    for (fields, fault) in table {
        let mut codec = Codec::new(Config { headers: limits, ..Config::default() });
        let bytes = [frame(kind::HEADERS, &section(&fields)), frame(0, b"dropped")].concat();
        let found = events(&mut codec, 0, &bytes, true, 1000).unwrap();
        assert_eq!(found, [format!("fault {fault:?}")]);
    }
    // Too long to be put together at all.
    let mut codec = Codec::new(Config { headers: limits, ..Config::default() });
    let found = events(&mut codec, 0, &frame(kind::HEADERS, &[0; 5000]), true, 100).unwrap();
    assert_eq!(found, ["fault TooLarge"]);
    assert!(codec.memory() < 10_000);
}

#[test]
fn a_section_waits_for_the_table() {
    let mut codec = codec();
    codec.receive_uni(2, &control(), false).unwrap();
    let (mut encoder, mut instructions) = (Encoder::default(), Vec::new());
    encoder.set_max(4096, &mut instructions);
    encoder.begin();
    GET.iter().chain(&[("server", "x")]).for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), &mut instructions));
    encoder.finish(0, &mut Vec::new());
    // What was inserted is referred to before the instructions have come.
    encoder.acknowledgements(&[1]).unwrap();
    let mut waiting = Vec::new();
    encoder.begin();
    GET.iter().chain(&[("server", "x")]).for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), &mut instructions));
    encoder.finish(4, &mut waiting);
    let bytes = [frame(kind::HEADERS, &waiting), frame(0, b"body")].concat();
    assert_eq!(events(&mut codec, 4, &bytes, true, 1000).unwrap(), ["Blocked"]);
    assert_eq!(codec.next_unblocked(), None);
    codec.receive_uni(6, &[integer(stream::ENCODER), instructions].concat(), false).unwrap();
    assert_eq!(codec.next_unblocked(), Some(4));
    let rest = frame(0, b"body");
    assert_eq!(events(&mut codec, 4, &rest, true, 1000).unwrap(), ["request / false", "body body", "End { fault: None }"]);
    codec.close_request(4);
    // The section's acknowledgement tells of the insertion that it needed, too.
    assert_eq!((codec.server_stream(ServerStream::Decoder).clone(), codec.decoder.inserted()), (vec![3, 0x84, 1], 2));
}

#[test]
fn who_is_not_read_to_the_end_is_cancelled() {
    let mut codec = codec();
    events(&mut codec, 0, &request(&[]), false, 1000).unwrap();
    codec.close_request(0);
    assert_eq!((codec.server_stream(ServerStream::Decoder).clone(), codec.open()), (vec![3, 0x40], 0));
}

#[test]
fn answers_are_read_by_a_client() {
    let mut codec = codec();
    let mut out = Vec::new();
    let long = "{".repeat(20_000);
    let heads: [&[(&[u8], &[u8])]; 2] = [&[(b"server", b"x"), (b"x-a", b"b")], &[(b"x-long", long.as_bytes())]];
    for fields in heads {
        out.clear();
        codec.headers(0, Some(200), fields.iter().copied(), &mut out);
        let (head, used) = FrameHead::parse(&out).unwrap();
        assert_eq!((head.kind, head.len as usize), (kind::HEADERS, out.len() - used));
        let mut read = Fields::default();
        let limits = Limits { string: 1 << 16, total: 1 << 17, fields: 100 };
        Decoder::new(0).decode(&out[used..], &limits, &mut read).unwrap();
        assert!(read.iter().skip(1).eq(fields.iter().copied()));
    }
    out.clear();
    codec.data_head(300, &mut out);
    assert_eq!(FrameHead::parse(&out), Some((FrameHead { kind: kind::DATA, len: 300 }, 3)));
}

#[test]
fn a_connection_that_ends_takes_no_more_requests() {
    let mut codec = codec();
    events(&mut codec, 0, &request(&[]), true, 1000).unwrap();
    assert!(codec.open_request(4).unwrap());
    let settings = codec.server_stream(ServerStream::Control).len();
    codec.goaway();
    codec.goaway();
    assert_eq!(codec.server_stream(ServerStream::Control)[settings..], [7, 1, 8]);
    assert!(!codec.open_request(8).unwrap() && codec.is_closing() && !codec.is_over());
    codec.close_request(0);
    codec.close_request(4);
    assert!(codec.is_over());
}

#[test]
fn priorities_come_in_fields_and_in_frames() {
    let mut codec = codec();
    let update = |id: u64, value: &str| frame(kind::PRIORITY_UPDATE, &[integer(id), value.as_bytes().to_vec()].concat());
    codec.receive_uni(2, &[control(), update(4, "u=1")].concat(), false).unwrap();
    events(&mut codec, 0, &request(&[("priority", "u=5, i")]), true, 1000).unwrap();
    events(&mut codec, 4, &request(&[("priority", "u=5")]), true, 1000).unwrap();
    let of = |codec: &Codec, id| (codec.priority(id).urgency, codec.priority(id).incremental);
    assert_eq!((of(&codec, 0), of(&codec, 4), of(&codec, 8)), ((5, true), (1, false), (3, false)));
    codec.receive_uni(2, &update(0, "u=0"), false).unwrap();
    assert_eq!((of(&codec, 0), codec.next_changed(), codec.next_changed()), ((0, false), Some(0), None));
}

#[test]
fn an_extended_connect_opens_a_tunnel() {
    let connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/"), (":authority", "a")];
    let bytes = [frame(kind::HEADERS, &section(&connect)), frame(0, b"abc")].concat();
    let found = events(&mut codec(), 0, &bytes, true, 1000).unwrap();
    assert_eq!(found, ["request / false", "body abc", "End { fault: None }"]);
    let plain = [(":method", "CONNECT"), (":authority", "a")];
    let found = events(&mut codec(), 0, &frame(kind::HEADERS, &section(&plain)), true, 1000).unwrap();
    assert_eq!(found, ["fault NoPseudo(\":scheme\")"]);
}

/// What a codec makes of one more request: whether it is the last one again, and its last field's value.
fn repeated(codec: &mut Codec, id: u64, section: &[u8], end: bool) -> Option<(bool, String)> {
    let bytes = frame(kind::HEADERS, section);
    assert!(codec.open_request(id).unwrap());
    let mut at = 0;
    loop {
        let poll = codec.receive(id, &bytes[at..], end).unwrap();
        at += poll.used;
        if let Event::Request { head, again, .. } = poll.event? {
            assert_eq!(head.fault, None);
            let value = codec.fields().iter().last().unwrap().1;
            return Some((again, String::from_utf8_lossy(value).into_owned()));
        }
    }
}

#[test]
fn a_section_that_comes_again_is_known_as_long_as_it_means_the_same() {
    let mut codec = codec();
    let plain = section(&[GET, &[("x-a", "b")]].concat());
    let b = |again| Some((again, "b".to_owned()));
    assert_eq!(repeated(&mut codec, 0, &plain, true), b(false));
    assert_eq!(repeated(&mut codec, 4, &plain, true), b(true));
    assert_eq!(repeated(&mut codec, 8, &plain, false), b(false), "a body follows this one");
    assert_eq!(repeated(&mut codec, 12, &plain, false), b(true));
    // Trailers have fields of their own.
    let trailers = frame(kind::HEADERS, &section(&[("t", "v")]));
    assert!(matches!(codec.receive(12, &trailers, true).unwrap().event, None | Some(Event::Trailers { .. })));
    assert_eq!(repeated(&mut codec, 16, &plain, false), b(false));
    // A table of one entry, and requests that refer to the newest one.
    let capacity = [0x3f, 0xe1, 0x1f];
    codec.receive_uni(2, &[&integer(stream::ENCODER)[..], &capacity, b"\x43x-a\x01b"].concat(), false).unwrap();
    let newest = |required: u8| [&[required + 1, 0][..], &section(GET)[2..], &[0x80]].concat();
    let plain_still = repeated(&mut codec, 20, &plain, false);
    assert_eq!(plain_still, b(true), "it refers to no table");
    assert_eq!(repeated(&mut codec, 24, &newest(1), true), b(false));
    let told = codec.server_stream(ServerStream::Decoder).len();
    assert_eq!(repeated(&mut codec, 28, &newest(1), true), b(true));
    assert!(codec.server_stream(ServerStream::Decoder).len() > told, "each is acknowledged");
    codec.receive_uni(2, b"\x43x-a\x01c", false).unwrap();
    assert_eq!(repeated(&mut codec, 32, &newest(1), true), b(false), "the table has changed");
    assert_eq!(repeated(&mut codec, 36, &newest(2), true), Some((false, "c".to_owned())));
    codec.shrink();
    assert_eq!(repeated(&mut codec, 40, &newest(2), true), Some((false, "c".to_owned())));
}
