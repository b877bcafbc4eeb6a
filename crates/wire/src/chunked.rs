//! The chunked transfer coding (RFC 9112 section 7.1), read strictly and written canonically.

use crate::uri::hex;
use std::fmt;

/// A chunked body that is not one: 400 to a client, 502 from an upstream; the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A byte where the grammar has no place for it, a bare CR or LF among them.
    Syntax,
    /// A chunk longer than 2^63 - 6 bytes.
    TooLong,
    /// Extensions and trailers together are beyond the limit given.
    Overhead,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChunkError::Syntax => "invalid chunked body",
            ChunkError::TooLong => "chunk size exceeds 2^63 - 6",
            ChunkError::Overhead => "too long chunk extensions or trailers",
        })
    }
}

impl std::error::Error for ChunkError {}

/// The longest chunk: nginx leaves room for what stands around the data.
const MOST: u64 = i64::MAX as u64 - 5;

/// One step of [`Decoder::decode`]; offsets are bytes from the start of the input given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The input is used up.
    Partial,
    /// Body bytes stand at `start..end`; go on with the input from `end`.
    Data {
        /// First byte of the data.
        start: usize,
        /// One past the last.
        end: usize,
    },
    /// The body is whole; what follows at `end` belongs to the next message.
    Done {
        /// One past the last byte of the body.
        end: usize,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// Splits a chunked body into ranges of data, across any number of reads.
#[derive(Clone, Debug)]
pub struct Decoder {
    at: At,
    size: u64,
    digits: u32,
    spent: usize,
    limit: usize,
    keep_trailers: bool,
    trailers: Vec<u8>,
}

impl Decoder {
    /// A decoder for one body. `limit` bounds the bytes of all extensions, of zeros before sizes
    /// and of trailers. With `keep`, trailer lines are collected; otherwise they are dropped.
    #[must_use]
    pub fn new(limit: usize, keep: bool) -> Self {
        Self { at: At::Start, size: 0, digits: 0, spent: 0, limit, keep_trailers: keep, trailers: Vec::new() }
    }

    /// Makes the decoder ready for another body; nothing is freed.
    pub fn reset(&mut self) {
        self.at = At::Start;
        self.size = 0;
        self.digits = 0;
        self.spent = 0;
        self.trailers.clear();
    }

    /// The raw trailer lines, their line ends included, once the body is whole; see
    /// [`crate::h1::header::parse_section`]. Trailers are untrusted: merge none unasked (RFC 9110, 6.5.1).
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// How many bytes the rest of the current chunk has, once its size is known.
    #[must_use]
    pub fn announced(&self) -> u64 {
        if self.at == At::Data { self.size } else { 0 }
    }

    /// Looks at `input`, which starts where the last step ended.
    ///
    /// # Errors
    /// [`ChunkError`]; the decoder must not be used again then.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, ChunkError> {
        let mut i = 0;
        while let Some(&byte) = input.get(i) {
            match self.at {
                At::Data => {
                    let left = input.len() - i;
                    let take = usize::try_from(self.size).map_or(left, |size| size.min(left));
                    self.size -= take as u64;
                    if self.size == 0 {
                        self.at = At::DataCr;
                    }
                    return Ok(Step::Data { start: i, end: i + take });
                }
                At::Done => return Ok(Step::Done { end: i }),
                _ => self.byte(byte)?,
            }
            i += 1;
            if self.at == At::Done {
                return Ok(Step::Done { end: i });
            }
        }
        Ok(if self.at == At::Done { Step::Done { end: i } } else { Step::Partial })
    }

    fn byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.at = match (self.at, byte) {
            (At::Start, _) => {
                self.size = u64::from(hex(byte).ok_or(ChunkError::Syntax)?);
                self.digits = 1;
                At::Size
            }
            (At::Size, b'\r') | (At::Extension, b'\r') => At::SizeEnd,
            (At::Size, b';' | b' ' | b'\t') => self.charge(byte, At::Extension)?,
            (At::Size, _) => self.digit(byte)?,
            (At::Extension, b'\t') => self.charge(byte, At::Extension)?,
            (At::Extension, 0..=0x1f | 0x7f) => return Err(ChunkError::Syntax),
            (At::Extension, _) => self.charge(byte, At::Extension)?,
            (At::SizeEnd, b'\n') if self.size == 0 => At::TrailerStart,
            (At::SizeEnd, b'\n') if self.size > MOST => return Err(ChunkError::TooLong),
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Start,
            (At::TrailerStart, b'\r') => At::LastLf,
            (At::TrailerStart | At::Trailer, b'\n' | 0) => return Err(ChunkError::Syntax),
            (At::Trailer, b'\r') => self.charge(byte, At::TrailerLf)?,
            (At::TrailerStart | At::Trailer, _) => self.charge(byte, At::Trailer)?,
            (At::TrailerLf, b'\n') => self.charge(byte, At::TrailerStart)?,
            (At::LastLf, b'\n') => At::Done,
            _ => return Err(ChunkError::Syntax),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<At, ChunkError> {
        let digit = hex(byte).ok_or(ChunkError::Syntax)?;
        if self.size > (i64::MAX as u64) / 16 {
            return Err(ChunkError::TooLong);
        }
        self.size = self.size * 16 + u64::from(digit);
        self.digits += 1;
        // Zeros in front of a size are legal and otherwise endless.
        if self.digits > 16 { self.charge(byte, At::Size) } else { Ok(At::Size) }
    }

    fn charge(&mut self, byte: u8, next: At) -> Result<At, ChunkError> {
        self.spent += 1;
        if self.spent > self.limit {
            return Err(ChunkError::Overhead);
        }
        let in_trailer = matches!(next, At::Trailer | At::TrailerLf | At::TrailerStart);
        if self.keep_trailers && in_trailer {
            self.trailers.push(byte);
        }
        Ok(next)
    }
}

/// The line that announces a chunk: its length in lower-case hexadecimal, and CR LF.
#[derive(Clone, Copy, Debug)]
pub struct SizeLine {
    bytes: [u8; 18],
    len: usize,
}

impl SizeLine {
    /// The line for a chunk of `size` bytes. A size of 0 is the last chunk: see [`LAST`].
    #[must_use]
    pub fn new(size: u64) -> Self {
        let digits = (64 - size.leading_zeros() as usize).div_ceil(4).max(1);
        let mut bytes = [0; 18];
        for (at, out) in bytes.iter_mut().take(digits).enumerate() {
            let nibble = ((size >> (4 * (digits - 1 - at))) & 15) as u8;
            *out = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        for (out, byte) in bytes.iter_mut().skip(digits).zip(*b"\r\n") {
            *out = byte;
        }
        Self { bytes, len: digits + 2 }
    }

    /// The bytes to send before the data.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// As [`CHUNK_END`], where a body without trailers ends there.
pub const CHUNK_END_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";
/// The last chunk of a body without trailers.
pub const LAST: &[u8] = b"0\r\n\r\n";
/// The start of the last chunk of a body with trailers; the lines and an empty line follow.
pub const LAST_WITH_TRAILERS: &[u8] = b"0\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &[u8], limit: usize) -> Result<(Vec<u8>, Vec<u8>, usize), ChunkError> {
        let mut decoder = Decoder::new(limit, true);
        let (mut data, mut at) = (Vec::new(), 0);
        loop {
            match decoder.decode(&text[at..])? {
                Step::Partial => return Ok((data, vec![], usize::MAX)),
                Step::Data { start, end } => {
                    data.extend_from_slice(&text[at + start..at + end]);
                    at += end;
                }
                Step::Done { end } => return Ok((data, decoder.trailers().to_vec(), at + end)),
            }
        }
    }

    #[test]
    fn good_bodies() {
        let ok = |d: &str, t: &str, n| Ok((d.as_bytes().to_vec(), t.as_bytes().to_vec(), n));
        assert_eq!(run(b"3\r\nabc\r\n0\r\n\r\nX", 100), ok("abc", "", 13));
        assert_eq!(run(b"0003;a=\"b\"\r\nabc\r\nA \r\n0123456789\r\n0\r\nT: u\r\n\r\n", 100), ok("abc0123456789", "T: u\r\n", 44));
        assert_eq!(run(b"3\r\nab", 100), ok("ab", "", usize::MAX));
    }

    #[test]
    fn bad_bodies() {
        for text in [
            &b"\r\n"[..],
            b" 3\r\nabc\r\n",
            b"0x3\r\n",
            b"+3\r\n",
            b"-3\r\n",
            b"3_\r\n",
            b"g\r\n",
            b"3\nabc",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n0\r\n",
            b"3\rabc",
            b"3;a\nb\r\n",
            b"3;a\rb\r\n",
            b"3;\0\r\n",
            b";a\r\n",
            b"3\r\nabc\r\r\n",
            b"0\r\n\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\nA: b\rc\r\n",
            b"0\r\n\0",
            b"0\r\n\rx",
        ] {
            assert_eq!(run(text, 100), Err(ChunkError::Syntax), "{text:?}");
        }
        assert_eq!(run(b"8000000000000000\r\n", 100), Err(ChunkError::TooLong));
        assert_eq!(run(b"fffffffffffffffff\r\n", 100), Err(ChunkError::TooLong));
    }

    #[test]
    fn overhead_is_bounded() {
        let ext = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(200));
        assert_eq!(run(ext.as_bytes(), 100), Err(ChunkError::Overhead));
        assert!(run(ext.as_bytes(), 300).is_ok());
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(50));
        assert_eq!(run(trailers.as_bytes(), 100), Err(ChunkError::Overhead));
        assert_eq!(run("0".repeat(200).as_bytes(), 100), Err(ChunkError::Overhead));
        let many = "1;x\r\na\r\n".repeat(60);
        assert_eq!(run(many.as_bytes(), 100), Err(ChunkError::Overhead));
    }

    #[test]
    fn size_lines() {
        for (size, line) in [(0, "0\r\n"), (1, "1\r\n"), (255, "ff\r\n"), (256, "100\r\n")] {
            assert_eq!(SizeLine::new(size).as_bytes(), line.as_bytes());
        }
        assert_eq!(SizeLine::new(u64::MAX).as_bytes(), b"ffffffffffffffff\r\n");
    }

    #[test]
    fn a_reset_decoder_begins_anew() {
        let mut decoder = Decoder::new(10, false);
        assert_eq!(decoder.decode(b"a\r\n"), Ok(Step::Partial));
        decoder.reset();
        assert_eq!(decoder.decode(LAST), Ok(Step::Done { end: 5 }));
    }
}
