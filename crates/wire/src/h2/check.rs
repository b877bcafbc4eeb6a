//! The invariants of HPACK and HTTP/2 that fuzz targets and the smoke tests assert.

use crate::h2::frame::{FrameHead, HEAD, MAX_SIZE, PREFACE, kind};
use crate::h2::priority::Priority;
use crate::h2::{Codec, Config, Event, error::ErrorCode};
use crate::hpack::decoder::PSEUDO;
use crate::hpack::{Decoder, Encoder, Fields, HpackError, Limits, huffman};

/// A block read in two pieces is the block read at once; limits hold; what was read can be encoded and read again.
pub fn hpack(data: &[u8]) {
    let limits = Limits { string: 512, total: 2048, fields: 32 };
    let mut whole = Fields::default();
    let mut decoder = Decoder::new(256);
    let result = decoder.decode(data, true, &limits, &mut whole);
    assert!(result.is_err() || result == Ok(data.len()));
    assert!(whole.list().len() <= limits.fields + PSEUDO && decoder.memory() < 16_384);
    for split in (0..=data.len()).step_by((data.len() / 16).max(1)) {
        let (first, _) = data.split_at(split);
        let (mut decoder, mut pieces) = (Decoder::new(256), Fields::default());
        let second = decoder.decode(first, false, &limits, &mut pieces).and_then(|used| {
            let rest = data.get(used..).unwrap_or(&[]);
            decoder.decode(rest, true, &limits, &mut pieces)
        });
        assert_eq!(second.is_ok(), result.is_ok());
        if result.is_ok() {
            assert!(pieces.iter().eq(whole.iter()));
        }
    }
    if result.is_ok() {
        encoded_again(&whole);
    }
    let mut text = Vec::new();
    if huffman::decode(data, &mut text).is_ok() {
        let mut code = Vec::new();
        huffman::encode(&text, &mut code);
        assert!(code.len() == huffman::encoded_len(&text) && code == data);
    }
    let priority = Priority::parse(data);
    assert!(priority.urgency <= 7);
}

fn encoded_again(fields: &Fields) {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(4096));
    for round in 0..3 {
        encoder.set_max([4096, 64, 1000][round % 3]);
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in fields.iter() {
            encoder.field(name, value, &mut block);
        }
        let mut again = Fields::default();
        let limits = Limits { string: 1 << 16, total: 1 << 20, fields: 1 << 10 };
        let read: Result<usize, HpackError> = decoder.decode(&block, true, &limits, &mut again);
        assert_eq!(read, Ok(block.len()));
        assert!(again.iter().eq(fields.iter()));
    }
}

/// A frame's head comes back as it was, but for the reserved bit.
pub fn h2_frame(data: &[u8]) {
    let Some(head) = FrameHead::parse(data) else { return assert!(data.len() < HEAD) };
    assert!(head.len <= MAX_SIZE && head.stream <= 0x7fff_ffff);
    assert_eq!(FrameHead::parse(&head.bytes()), Some(head));
}

/// What a connection made of its input, for comparison.
struct Session {
    events: Vec<String>,
    out: Vec<u8>,
    failed: bool,
}

/// A whole session, with responses: the same whatever the input's pieces are; bounded; and what is sent is well-formed.
pub fn h2_session(data: &[u8]) {
    let input = [PREFACE, data].concat();
    let whole = session(&input, input.len());
    for size in [1, 7, 64] {
        let pieces = session(&input, size);
        assert_eq!(whole.failed, pieces.failed);
        assert_eq!(whole.events, pieces.events);
        assert_eq!(answers(&whole.out), answers(&pieces.out));
    }
    well_formed(&whole);
}

/// What was sent, without the windows of streams: whether one is enlarged before a stream's last content arrives depends on the pieces.
fn answers(out: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut frames) = (out, Vec::new());
    while let Some((head, (frame, behind))) = FrameHead::parse(rest).and_then(|head| Some((head, rest.split_at_checked(HEAD + head.len)?)))
    {
        if head.kind != kind::WINDOW_UPDATE || head.stream == 0 {
            frames.push(frame);
        }
        rest = behind;
    }
    frames.push(rest);
    frames
}

/// Every frame that was sent is whole, blocks can be read by a client's decoder, and no stream says anything behind its end.
fn well_formed(session: &Session) {
    let (mut rest, mut ended) = (&session.out[..], Vec::new());
    let (mut decoder, mut fields) = (Decoder::new(4096), Fields::default());
    let mut block = Vec::new();
    let mut goaways = 0;
    while !rest.is_empty() {
        let head = FrameHead::parse(rest).filter(|head| rest.len() >= HEAD + head.len);
        assert!(head.is_some(), "a frame was cut");
        let Some(head) = head else { return };
        let payload = &rest[HEAD..HEAD + head.len];
        if matches!(head.kind, 0 | 1 | 9) {
            assert!(!ended.contains(&head.stream), "stream {} goes on behind its end", head.stream);
        }
        match head.kind {
            0 if head.has(1) => ended.push(head.stream),
            1 | 9 => {
                block.extend_from_slice(payload);
                if head.has(4) {
                    fields.reset(false);
                    assert!(decoder.decode(&block, true, &Limits::default(), &mut fields).is_ok());
                    block.clear();
                }
                if head.kind == 1 && head.has(1) {
                    ended.push(head.stream);
                }
            }
            7 => goaways += 1,
            _ => {}
        }
        rest = &rest[HEAD + head.len..];
    }
    assert!(block.is_empty() && goaways <= 2 && (goaways > 0 || !session.failed));
}

fn session(input: &[u8], size: usize) -> Session {
    let limits = Limits { string: 256, total: 1024, fields: 16 };
    let config = Config { max_streams: 4, window: 100, headers: limits, connect_protocol: true };
    let mut session = Session { events: Vec::new(), out: Vec::new(), failed: false };
    let mut server = Codec::new(config, &mut session.out);
    server.begin_turn(1);
    let (mut from, mut to) = (0, 0);
    while to < input.len() && !session.failed {
        to = (to + size).min(input.len());
        loop {
            match server.poll(&input[from..to], &mut session.out) {
                Ok(poll) => {
                    from += poll.used;
                    let Some(event) = poll.event else { break };
                    answer(&mut server, event, &mut session);
                }
                Err(failure) => {
                    assert!(!failure.text.is_empty());
                    session.failed = true;
                    break;
                }
            }
        }
        assert!(server.memory() < 1 << 20 && server.open() <= 4 && session.failed | (to - from <= Codec::INPUT));
    }
    if session.failed {
        (1..16).step_by(2).for_each(|stream| server.queue(stream));
        assert!(server.next_stream().is_none());
    }
    session
}

fn answer(server: &mut Codec, event: Event<'_>, session: &mut Session) {
    let out = &mut session.out;
    match event {
        // Pieces of content depend on how the input was cut; only their ends do not.
        Event::Data { stream, data, end, fault } => {
            server.release(stream, 0, out);
            assert!(server.receive_window(stream) >= 0 && data.len() <= 100);
            if end || fault.is_some() {
                session.events.push(format!("{stream} {end} {fault:?}"));
                finish(server, stream, fault.is_some(), out);
            }
        }
        // Whether a block is seen to come again depends on the pieces; what it says does not.
        Event::Request { stream, head, end, size, .. } => {
            let message = head.fault.map(|fault| fault.message(server.fields().bytes()));
            let fields: Vec<_> = server.fields().iter().collect();
            session.events.push(format!("{stream} {head:?} {end} {size} {fields:?} {message:?}"));
            if end || head.fault.is_some() {
                finish(server, stream, head.fault.is_some(), out);
            } else if stream % 4 == 1 {
                server.respond(stream, 103, [(&b"link"[..], &b"x"[..])], false, out);
            }
        }
        Event::Trailers { stream, fault, body } => {
            session.events.push(format!("{event:?}"));
            finish(server, stream, fault.is_some() || body.is_some(), out);
        }
        Event::Reset { stream, .. } | Event::StreamError { stream, .. } => {
            session.events.push(format!("{event:?}"));
            server.close(stream, out);
        }
        _ => session.events.push(format!("{event:?}")),
    }
}

fn finish(server: &mut Codec, stream: u32, broken: bool, out: &mut Vec<u8>) {
    server.respond(stream, if broken { 400 } else { 200 }, [(&b"server"[..], &b"x"[..])], false, out);
    server.queue(stream);
    while let Some(next) = server.next_stream() {
        assert!(server.quota(next) > 0);
        let sent = server.data(next, b"hello", true, out);
        assert!(sent > 0);
    }
    if broken {
        server.reset(stream, ErrorCode::PROTOCOL_ERROR, out);
    }
    server.close(stream, out);
}
