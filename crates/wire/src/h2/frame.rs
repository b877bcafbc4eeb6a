//! Frames (RFC 9113, 4 and 6): their nine bytes in front, and the writing of each type.

use super::error::ErrorCode;

/// What each frame begins with.
pub const HEAD: usize = 9;
/// The largest payload that a peer must accept, and that this side sends unless told more.
pub(crate) const DEFAULT_SIZE: usize = 1 << 14;
/// The largest payload that a frame can have.
pub(crate) const MAX_SIZE: usize = (1 << 24) - 1;
/// The largest payload that clients may send, as announced to them. nginx says [`MAX_SIZE`] and cannot see that a frame is too large.
pub(crate) const TAKEN_SIZE: usize = 1 << 20;
/// A client's first bytes (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub mod kind {
    /// Content of a request or response (RFC 9113, 6.1).
    pub const DATA: u8 = 0;
    /// The beginning of a header block.
    pub const HEADERS: u8 = 1;
    /// The priority of a stream in RFC 7540's tree; deprecated, but still sent (RFC 9113, 6.3).
    pub const PRIORITY: u8 = 2;
    /// The end of a stream by force.
    pub const RST_STREAM: u8 = 3;
    /// Settings and their acknowledgement.
    pub const SETTINGS: u8 = 4;
    /// A promised push, which only a server may send (RFC 9113, 6.6).
    pub const PUSH_PROMISE: u8 = 5;
    /// Eight bytes that the peer has to send back (RFC 9113, 6.7).
    pub const PING: u8 = 6;
    /// No further streams are accepted (RFC 9113, 6.8).
    pub const GOAWAY: u8 = 7;
    /// Credit of flow control, for a stream or, on stream 0, for the connection (RFC 9113, 6.9).
    pub const WINDOW_UPDATE: u8 = 8;
    /// The rest of a header block.
    pub const CONTINUATION: u8 = 9;
    /// A stream's priority by urgency (RFC 9218, 7.1).
    pub const PRIORITY_UPDATE: u8 = 0x10;
}

/// Flags of frames.
pub mod flag {
    /// SETTINGS, PING: an acknowledgement.
    pub const ACK: u8 = 1;
    /// DATA, HEADERS: nothing follows on the stream.
    pub const END_STREAM: u8 = 1;
    /// HEADERS, CONTINUATION: the block is complete.
    pub const END_HEADERS: u8 = 4;
    /// DATA, HEADERS: padding is at the end, its length in front.
    pub(crate) const PADDED: u8 = 8;
    /// HEADERS: RFC 7540's priority is in front.
    pub const PRIORITY: u8 = 0x20;
}

/// The nine bytes in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The payload's length.
    pub len: usize,
    /// One of [`kind`], or unknown.
    pub kind: u8,
    /// Bits of [`flag`], and unknown ones.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads the head at the start of `bytes`; `None` when there are too few.
    #[must_use]
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, e, f, g, h] = bytes.first_chunk::<HEAD>()?;
        Some(Self { len: u32::from_be_bytes([0, a, b, c]) as usize, kind, flags, stream: u32::from_be_bytes([e, f, g, h]) & 0x7fff_ffff })
    }

    /// This flag is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The nine bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEAD] {
        let [.., a, b, c] = self.len.min(MAX_SIZE).to_be_bytes();
        let [e, f, g, h] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, e, f, g, h]
    }

    /// Appends the nine bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }
}

/// The big-endian number at the start of `bytes`; 0 when there are too few.
#[must_use]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
}

fn write_small(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    FrameHead { len: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Appends SETTINGS with these parameters.
pub fn settings(parameters: &[(u16, u32)], out: &mut Vec<u8>) {
    FrameHead { len: parameters.len() * 6, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(out);
    for (id, value) in parameters {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends the acknowledgement of SETTINGS.
pub(crate) fn settings_ack(out: &mut Vec<u8>) {
    write_small(kind::SETTINGS, flag::ACK, 0, &[], out);
}

/// Appends PING or its response.
pub fn ping(ack: bool, payload: [u8; 8], out: &mut Vec<u8>) {
    write_small(kind::PING, u8::from(ack), 0, &payload, out);
}

/// Appends a WINDOW_UPDATE frame (RFC 9113, 6.9).
pub fn window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    write_small(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes(), out);
}

/// Appends RST_STREAM.
pub(crate) fn rst_stream(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_small(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes(), out);
}

/// Appends a GOAWAY frame (RFC 9113, 6.8); `last` is the last stream that was or may be processed.
pub fn goaway(last: u32, code: ErrorCode, out: &mut Vec<u8>) {
    let mut payload = [0; 8];
    let (first, second) = payload.split_at_mut(4);
    first.copy_from_slice(&last.to_be_bytes());
    second.copy_from_slice(&code.0.to_be_bytes());
    write_small(kind::GOAWAY, 0, 0, &payload, out);
}

/// Turns what stands in `out` from `start` on, [`HEAD`] bytes to fill and a header block, into HEADERS and as many CONTINUATIONs as
/// the peer's frame size makes necessary.
pub(crate) fn seal_headers(start: usize, stream: u32, end: bool, max: usize, out: &mut Vec<u8>) {
    let len = out.len().saturating_sub(start + HEAD);
    let end_stream = if end { flag::END_STREAM } else { 0 };
    let first = len.min(max);
    let end_headers = |more: bool| if more { 0 } else { flag::END_HEADERS };
    let head = FrameHead { len: first, kind: kind::HEADERS, flags: end_stream | end_headers(len > max), stream };
    if let Some(place) = out.get_mut(start..start + HEAD) {
        place.copy_from_slice(&head.bytes());
    }
    if len <= max {
        return;
    }
    let rest = out.split_off(start + HEAD + first);
    let mut pieces = rest.chunks(max.max(1)).peekable();
    while let Some(piece) = pieces.next() {
        write_small(kind::CONTINUATION, end_headers(pieces.peek().is_some()), stream, piece, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back() {
        let head = FrameHead { len: 0x01_0203, kind: 9, flags: 0x2d, stream: 0x7fff_fffe };
        let mut out = vec![];
        head.write(&mut out);
        assert_eq!(FrameHead::parse(&out), Some(head));
        assert_eq!(FrameHead::parse(&out[..8]), None);
        // The reserved bit is ignored (RFC 9113, 4.1).
        out[5] |= 0x80;
        assert_eq!(FrameHead::parse(&out), Some(head));
    }

    #[test]
    fn a_long_block_is_continued() {
        let mut out = b"before".to_vec();
        out.extend_from_slice(&[0; HEAD]);
        out.extend_from_slice(b"abcdefgh");
        seal_headers(6, 3, true, 3, &mut out);
        let expected = b"before\0\0\x03\x01\x01\0\0\0\x03abc\0\0\x03\x09\0\0\0\0\x03def\0\0\x02\x09\x04\0\0\0\x03gh";
        assert_eq!(out, expected);
    }
}
