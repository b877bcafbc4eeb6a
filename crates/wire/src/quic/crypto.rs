//! The client's messages in CRYPTO frames (RFC 9000, 19.6), which may come in any order.

use super::varint;
use std::fmt;

/// The longest first message that is put together, bytes; a transport need not take more (RFC 9000, 7.5), and none is known that is longer.
pub const LONGEST: usize = 16_384;

/// How many gaps a message may have while it is not whole.
const GAPS: usize = 64;

/// Why a client's first packets are no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoError {
    /// A frame cannot be read, or is not allowed in an Initial packet.
    Malformed,
    /// More comes than is put together.
    TooLong,
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CryptoError::Malformed => "malformed Initial packet",
            CryptoError::TooLong => "too long CRYPTO stream",
        })
    }
}

impl std::error::Error for CryptoError {}

/// The received part of a stream of CRYPTO frames.
#[derive(Debug, Default)]
pub struct CryptoStream {
    bytes: Vec<u8>,
    /// What is there, as ranges in ascending order that do not touch each other.
    there: Vec<(usize, usize)>,
}

impl CryptoStream {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the CRYPTO frames of an Initial packet's payload.
    ///
    /// # Errors
    /// When the payload has a frame that must not be there, or more than can be kept.
    pub fn read(&mut self, payload: &[u8]) -> Result<(), CryptoError> {
        let mut rest = payload;
        while let Some((kind, after)) = varint::take(rest) {
            rest = match kind {
                // PADDING and PING.
                0 | 1 => after,
                2 | 3 => ack(after, kind == 3).ok_or(CryptoError::Malformed)?,
                6 => {
                    let (offset, data, after) = frame(after).ok_or(CryptoError::Malformed)?;
                    self.put(offset, data)?;
                    after
                }
                // The client gives up; nothing that matters comes behind it.
                0x1c => return Ok(()),
                _ => return Err(CryptoError::Malformed),
            };
        }
        if rest.is_empty() { Ok(()) } else { Err(CryptoError::Malformed) }
    }

    /// Takes the bytes at an offset.
    fn put(&mut self, offset: u64, data: &[u8]) -> Result<(), CryptoError> {
        let start = usize::try_from(offset).map_err(|_| CryptoError::TooLong)?;
        let end = start.checked_add(data.len()).filter(|end| *end <= LONGEST).ok_or(CryptoError::TooLong)?;
        if data.is_empty() {
            return Ok(());
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(data);
        }
        let (mut from, mut to) = (start, end);
        self.there.retain(|(first, last)| {
            let touches = *first <= to && from <= *last;
            if touches {
                (from, to) = (from.min(*first), to.max(*last));
            }
            !touches
        });
        if self.there.len() >= GAPS {
            return Err(CryptoError::TooLong);
        }
        let place = self.there.partition_point(|(first, _)| *first < from);
        self.there.insert(place, (from, to));
        Ok(())
    }

    /// What is there from the beginning without a gap.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self.there.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The first message with its header, once it is whole.
    #[must_use]
    pub fn message(&self) -> Option<&[u8]> {
        self.bytes().get(..self.length()?)
    }

    /// Whether the message will never be whole, as it says to be longer than what is kept.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.length().is_some_and(|length| length > LONGEST)
    }

    /// The length of the first message with its header.
    fn length(&self) -> Option<usize> {
        let [_, high, middle, low] = self.bytes().first_chunk()?;
        Some(4 + (usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low)))
    }
}

fn frame(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (offset, rest) = varint::take(bytes)?;
    let (length, rest) = varint::take(rest)?;
    let (data, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((offset, data, rest))
}

/// Passes over an ACK frame.
fn ack(bytes: &[u8], has_ecn: bool) -> Option<&[u8]> {
    let mut rest = bytes;
    let mut number = || {
        let (value, after) = varint::take(rest)?;
        rest = after;
        Some(value)
    };
    number()?;
    number()?;
    let ranges = number()?;
    number()?;
    for _ in 0..ranges {
        number()?;
        number()?;
    }
    if has_ecn {
        for _ in 0..3 {
            number()?;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypto(offset: u64, data: &[u8]) -> Vec<u8> {
        let mut out = vec![6];
        varint::put(&mut out, offset);
        varint::put(&mut out, data.len() as u64);
        out.extend_from_slice(data);
        out
    }

    #[test]
    fn a_message_is_put_together_from_pieces_in_any_order() {
        let mut stream = CryptoStream::new();
        stream.read(&[crypto(6, b"cd"), vec![0; 9], crypto(4, b"a")].concat()).unwrap();
        assert_eq!((stream.bytes(), stream.message()), (&[][..], None));
        stream.read(&[vec![1], crypto(0, &[1, 0, 0, 4, b'a', b'b']), vec![2, 0, 0, 0, 0]].concat()).unwrap();
        assert_eq!(stream.message(), Some(&b"\x01\x00\x00\x04abcd"[..]));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let mut stream = CryptoStream::new();
        assert_eq!(stream.read(&crypto(LONGEST as u64, b"x")), Err(CryptoError::TooLong));
        assert_eq!(stream.read(&crypto(1 << 60, b"x")), Err(CryptoError::TooLong));
        let pieces: Vec<u8> = (0..=GAPS as u64).flat_map(|index| crypto(3 * index, b"x")).collect();
        assert_eq!(stream.read(&pieces), Err(CryptoError::TooLong));
        let mut stream = CryptoStream::new();
        stream.read(&crypto(0, &[1, 0, 0x40, 0])).unwrap();
        assert!(stream.is_hopeless());
    }

    #[test]
    fn other_frames_have_no_place_here() {
        for payload in [&[8, 0, 0][..], &[6, 0, 9, 1], &[2, 0], &[0x40]] {
            assert_eq!(CryptoStream::new().read(payload), Err(CryptoError::Malformed));
        }
        assert_eq!(CryptoStream::new().read(&[0x1c, 1, 2]), Ok(()));
    }
}
