//! The invariants of QPACK and HTTP/3 that fuzz targets and the smoke tests assert.

use super::frame::{FrameHead, integer, push_integer};
use super::{Codec, Config, Event, ServerStream, UniStreamKind};
use crate::hpack::{Fields, Limits};
use crate::qpack::{Decoder, Encoder, Section};

const LIMITS: Limits = Limits { string: 256, total: 1024, fields: 16 };

/// An instruction or section in pieces is the one that came at once; limits hold; what was read can be encoded and read again.
pub fn qpack(data: &[u8]) {
    let (first, rest) = data.split_at(data.len().min(usize::from(data.first().copied().unwrap_or(0))));
    let mut decoder = Decoder::new(512);
    let result = decoder.instructions(first, &LIMITS);
    for size in [1, 7] {
        let mut other = Decoder::new(512);
        let pieces = first.chunks(size).try_for_each(|piece| other.instructions(piece, &LIMITS));
        assert_eq!(pieces, result);
        assert!(result.is_err() || other.inserted() == decoder.inserted());
        assert!(other.memory() < 32_768);
    }
    let mut fields = Fields::default();
    if let Ok(Section::Decoded { required }) = decoder.decode(rest, &LIMITS, &mut fields) {
        assert!(required <= decoder.inserted() && fields.list().len() <= LIMITS.fields + 5);
        encoded_again(&fields);
    }
    let mut encoder = Encoder::default();
    let _ = encoder.acknowledgements(rest);
    if let Some((value, _)) = integer(data) {
        let mut out = Vec::new();
        push_integer(value, &mut out);
        assert_eq!(integer(&out), Some((value, out.len())));
    }
}

fn encoded_again(fields: &Fields) {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(300));
    let (mut instructions, mut told) = (Vec::new(), Vec::new());
    encoder.set_max(300, &mut instructions);
    let limits = Limits { string: 1 << 16, total: 1 << 20, fields: 1 << 10 };
    for stream in 0..3 {
        encoder.begin();
        fields.iter().for_each(|(name, value)| encoder.field(name, value, &mut instructions));
        let mut section = Vec::new();
        encoder.finish(stream, &mut section);
        let mut again = Fields::default();
        let read = decoder.decode(&section, &limits, &mut again);
        let Ok(Section::Decoded { required }) = read else { unreachable!("{read:?}") };
        assert!(again.iter().eq(fields.iter()));
        decoder.acknowledge(stream, required, &mut told);
        assert!(decoder.instructions(&std::mem::take(&mut instructions), &limits).is_ok());
        decoder.increment(&mut told);
        assert!(encoder.acknowledgements(&std::mem::take(&mut told)).is_ok());
    }
}

/// What a connection made of its input, for comparison.
#[derive(Debug, Default, PartialEq, Eq)]
struct Session {
    events: Vec<String>,
    body: Vec<u8>,
    failure: Option<u64>,
    out: [Vec<u8>; 3],
}

/// A whole session: a byte says on which stream so many of the following come and whether it ends there. The same whatever the pieces are;
/// bounded; and what is sent is well-formed.
pub fn h3_session(data: &[u8]) {
    let whole = session(data, usize::MAX);
    for size in [1, 5] {
        let pieces = session(data, size);
        assert_eq!(pieces.failure, whole.failure);
        if whole.failure.is_none() {
            assert_eq!(pieces, whole);
        }
    }
    let mut rest = whole.out[0].get(1..).unwrap_or_default();
    while !rest.is_empty() {
        let behind = FrameHead::parse(rest).and_then(|(head, used)| rest.get(used..)?.get(usize::try_from(head.len).ok()?..));
        let Some(behind) = behind else { unreachable!("a frame was cut") };
        rest = behind;
    }
}

fn session(mut data: &[u8], size: usize) -> Session {
    let mut codec = Codec::new(Config { max_streams: 4, headers: LIMITS, connect_protocol: true });
    let mut session = Session::default();
    let mut ended = [false; 8];
    codec.begin_turn(1);
    while let [first, len, rest @ ..] = data {
        let (part, behind) = rest.split_at(rest.len().min(usize::from(*len)));
        data = behind;
        let (number, end) = (u64::from(first & 3), first & 8 != 0);
        let (uni, slot) = (first & 4 != 0, usize::from(first & 7));
        if ended[slot] {
            continue;
        }
        ended[slot] = end;
        let result = if uni {
            uni_part(&mut codec, number * 4 + 2, part, end, size, &mut ended[slot])
        } else {
            request_part(&mut codec, number * 4, part, end, size, &mut session)
        };
        assert!(codec.memory() < 1 << 17);
        if let Err(failure) = result {
            assert!(!failure.text.is_empty() && !failure.reason.is_empty());
            session.failure = Some(failure.code.0);
            break;
        }
        while let Some(id) = codec.next_unblocked() {
            session.events.push(format!("{id} goes on"));
        }
    }
    session.out = [ServerStream::Control, ServerStream::Encoder, ServerStream::Decoder].map(|own| codec.server_stream(own).clone());
    session
}

type Outcome = Result<(), super::error::Failure>;

fn uni_part(codec: &mut Codec, id: u64, part: &[u8], end: bool, size: usize, ended: &mut bool) -> Outcome {
    for piece in part.chunks(size.min(part.len().max(1))) {
        if codec.receive_uni(id, piece, false)? == UniStreamKind::Unknown {
            *ended = true;
            return Ok(());
        }
    }
    if end { codec.uni_ended(id) } else { Ok(()) }
}

fn request_part(codec: &mut Codec, id: u64, part: &[u8], end: bool, size: usize, session: &mut Session) -> Outcome {
    if codec.place(id).is_err() && !codec.open_request(id)? {
        return Ok(());
    }
    let mut at = 0_usize;
    loop {
        let to = at.saturating_add(size).min(part.len());
        let last = to == part.len();
        let poll = codec.receive(id, &part[at..to], end && last)?;
        at += poll.used;
        match poll.event {
            Some(Event::Data { data, fault: None }) => session.body.extend_from_slice(data),
            // A head with which its stream ends may be told without that.
            Some(Event::Request { head, size, .. }) => {
                let message = head.fault.map(|fault| fault.message(codec.fields().bytes()));
                if head.fault.is_none() {
                    session.events.push(format!("{id} {:?} {message:?} {size}", head.path.of(codec.fields().bytes())));
                }
                let mut out = Vec::new();
                codec.headers(id, Some(200), [(&b"server"[..], &b"x"[..])], &mut out);
                codec.data_head(5, &mut out);
            }
            Some(Event::Blocked) => return Ok(()),
            Some(event) => session.events.push(format!("{id} {event:?}")),
            None if last => break,
            None => {}
        }
    }
    Ok(())
}
