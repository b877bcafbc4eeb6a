//! Variable-length integers (RFC 9000, 16), frames' heads (RFC 9114, 7.1), and settings.

use crate::quic::varint;

/// The largest integer of QUIC's variable-length encoding: 2^62 - 1 (RFC 9000, 16).
pub const MAX: u64 = varint::MOST;
/// The longest head of a frame, bytes.
pub const HEAD: usize = 16;

/// Types of frames.
pub mod kind {
    /// Content of a request or response (RFC 9114, 7.2.1).
    pub const DATA: u64 = 0x0;
    /// An encoded field section (RFC 9114, 7.2.2).
    pub const HEADERS: u64 = 0x1;
    /// A promised push is cancelled (RFC 9114, 7.2.3).
    pub const CANCEL_PUSH: u64 = 0x3;
    /// The first frame of a control stream (RFC 9114, 7.2.4).
    pub const SETTINGS: u64 = 0x4;
    /// A promised push, which only a server may send (RFC 9114, 7.2.5).
    pub const PUSH_PROMISE: u64 = 0x5;
    /// No more requests or pushes.
    pub const GOAWAY: u64 = 0x7;
    /// How many pushes there may be.
    pub const MAX_PUSH_ID: u64 = 0xd;
    /// Another priority for a request (RFC 9218, 7.2).
    pub const PRIORITY_UPDATE: u64 = 0xf_0700;
    /// As PRIORITY_UPDATE, for a promised push (RFC 9218, 7.2).
    pub const PRIORITY_UPDATE_PUSH: u64 = 0xf_0701;

    /// Types that mean something in HTTP/2 alone (RFC 9114, 7.2.8).
    #[must_use]
    pub(crate) const fn is_reserved(kind: u64) -> bool {
        matches!(kind, 0x2 | 0x6 | 0x8 | 0x9)
    }
}

/// Identifiers of settings.
pub mod setting {
    /// SETTINGS_QPACK_MAX_TABLE_CAPACITY: how many bytes the dynamic table may have (RFC 9204, 5).
    pub const QPACK_MAX_TABLE_CAPACITY: u64 = 0x1;
    /// SETTINGS_MAX_FIELD_SECTION_SIZE: how many bytes a field section may have (RFC 9114, 7.2.4.1).
    pub const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
    /// How many streams may wait for the table.
    pub const QPACK_BLOCKED_STREAMS: u64 = 0x7;
    /// Extended CONNECT (RFC 9220).
    pub const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
    /// SETTINGS_H3_DATAGRAM: HTTP datagrams are understood (RFC 9297, 2.1.1).
    pub const H3_DATAGRAM: u64 = 0x33;

    /// Those of HTTP/2 that must not come (RFC 9114, 7.2.4.1).
    #[must_use]
    pub(crate) const fn is_reserved(id: u64) -> bool {
        matches!(id, 0x0 | 0x2..=0x5)
    }
}

/// Types of streams in one direction (RFC 9114, 6.2 and RFC 9204, 4.2).
pub mod stream {
    /// Type of a control stream (RFC 9114, 6.2.1).
    pub const CONTROL: u64 = 0x0;
    /// Type of a push stream (RFC 9114, 6.2.2).
    pub const PUSH: u64 = 0x1;
    /// Insertions into the table.
    pub const ENCODER: u64 = 0x2;
    /// What of the table is known.
    pub const DECODER: u64 = 0x3;
}

/// The integer at the start of `bytes`, and how many bytes it took; `None`: more are needed.
#[must_use]
pub fn integer(bytes: &[u8]) -> Option<(u64, usize)> {
    varint::take(bytes).map(|(value, rest)| (value, bytes.len() - rest.len()))
}

/// Appends an integer; one above [`MAX`] goes out as that.
pub fn push_integer(value: u64, out: &mut Vec<u8>) {
    varint::put(out, value);
}

/// A frame's type and the length of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The type.
    pub kind: u64,
    /// The length.
    pub len: u64,
}

impl FrameHead {
    /// Appends it.
    pub fn write(self, out: &mut Vec<u8>) {
        push_integer(self.kind, out);
        push_integer(self.len, out);
    }

    /// The head at the start of `bytes`, and how many bytes it took.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (kind, at) = integer(bytes)?;
        let (len, more) = integer(bytes.get(at..)?)?;
        Some((Self { kind, len }, at + more))
    }
}

/// A frame's head that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadReader {
    bytes: [u8; HEAD],
    have: u8,
}

impl HeadReader {
    /// Reads on: how many bytes of `data` were taken, and the head once it is whole.
    pub(super) fn read(&mut self, data: &[u8]) -> (usize, Option<FrameHead>) {
        if self.have == 0
            && let Some((head, used)) = FrameHead::parse(data)
        {
            return (used, Some(head));
        }
        for (at, &byte) in data.iter().enumerate() {
            if let Some(place) = self.bytes.get_mut(usize::from(self.have)) {
                *place = byte;
            }
            self.have += 1;
            let so_far = self.bytes.get(..usize::from(self.have)).unwrap_or_default();
            if let Some((head, _)) = FrameHead::parse(so_far) {
                self.have = 0;
                return (at + 1, Some(head));
            }
        }
        (data.len(), None)
    }

    /// A head has begun and is not whole.
    pub(super) fn is_inside(&self) -> bool {
        self.have > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        // RFC 9000, A.1.
        for (bytes, value) in [
            (&[0xc2u8, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(integer(bytes), Some((value, bytes.len())));
            let mut out = Vec::new();
            push_integer(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(integer(&bytes[..bytes.len() - 1]), None);
        }
        // Longer than need be.
        assert_eq!(integer(&[0x40, 0x25]), Some((37, 2)));
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, MAX] {
            let mut out = Vec::new();
            push_integer(value, &mut out);
            assert_eq!(integer(&out), Some((value, out.len())));
        }
    }

    #[test]
    fn heads_come_in_pieces() {
        for head in [FrameHead { kind: 0, len: 5 }, FrameHead { kind: kind::PRIORITY_UPDATE, len: MAX }] {
            let mut bytes = Vec::new();
            head.write(&mut bytes);
            bytes.push(9);
            for size in 1..bytes.len() {
                let (mut reader, mut at, mut found) = (HeadReader::default(), 0, None);
                while found.is_none() {
                    let end = (at + size).min(bytes.len());
                    let (used, head) = reader.read(&bytes[at..end]);
                    at += used;
                    found = head;
                }
                assert_eq!((found, at), (Some(head), bytes.len() - 1));
                assert!(!reader.is_inside());
            }
        }
    }
}
