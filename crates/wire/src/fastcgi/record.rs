//! Splits a response into records, across any number of reads.

use std::fmt;

/// A stream of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The response.
    Out,
    /// Messages for the log.
    Errors,
}

/// One step; offsets are bytes from the start of the input given, and the next input begins at `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The input is used up.
    Partial,
    /// Bytes of a stream.
    Data {
        /// Whose.
        stream: Stream,
        /// The first byte.
        start: usize,
        /// One past the last.
        end: usize,
    },
    /// The response is whole; the end of the request should follow.
    OutEnd {
        /// One past the last byte looked at.
        end: usize,
    },
    /// The request is over, with its padding.
    Finished {
        /// One past its last byte.
        end: usize,
    },
}

/// Bytes that are no record for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Another version than 1.
    Version(u8),
    /// A type that no response has.
    Type(u8),
    /// Of another request; we have one on a connection.
    RequestHigh(u8),
    /// The same.
    RequestLow(u8),
}

/// nginx's line for the error log.
impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Version(byte) => write!(f, "upstream sent unsupported FastCGI protocol version: {byte}"),
            RecordError::Type(byte) => write!(f, "upstream sent invalid FastCGI record type: {byte}"),
            RecordError::RequestHigh(byte) => write!(f, "upstream sent unexpected FastCGI request id high byte: {byte}"),
            RecordError::RequestLow(byte) => write!(f, "upstream sent unexpected FastCGI request id low byte: {byte}"),
        }
    }
}

impl std::error::Error for RecordError {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    EndRequest,
    #[default]
    Stdout,
    Stderr,
}

/// Bytes of a record's header.
const HEADER: usize = 8;

/// The state of taking records apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    header: [u8; 8],
    have: u8,
    kind: Kind,
    content: u16,
    padding: u8,
    finishing: bool,
}

impl Records {
    /// The next piece of `input`.
    ///
    /// # Errors
    /// [`RecordError`], by the first byte that shows it.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, RecordError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if self.content > 0 {
                let taken = self.content.min(u16::try_from(rest.len()).unwrap_or(u16::MAX));
                self.content -= taken;
                let (start, end) = (at, at + usize::from(taken));
                match self.kind {
                    _ if taken == 0 => return Ok(Piece::Partial),
                    Kind::Stdout => return Ok(Piece::Data { stream: Stream::Out, start, end }),
                    Kind::Stderr => return Ok(Piece::Data { stream: Stream::Errors, start, end }),
                    Kind::EndRequest => at = end,
                }
                continue;
            }
            let skipped = self.padding.min(u8::try_from(rest.len()).unwrap_or(u8::MAX));
            self.padding -= skipped;
            at += usize::from(skipped);
            if self.padding > 0 {
                return Ok(Piece::Partial);
            }
            if std::mem::take(&mut self.finishing) {
                return Ok(Piece::Finished { end: at });
            }
            let rest = input.get(at..).unwrap_or_default();
            match rest.first_chunk() {
                // The usual case: it is here whole.
                Some(&[1, kind @ (3 | 6 | 7), 0, 1, high, low, padding, _]) if self.have == 0 => {
                    self.open(kind, u16::from_be_bytes([high, low]), padding);
                    at += HEADER;
                }
                _ => {
                    let Some(&byte) = rest.first() else { return Ok(Piece::Partial) };
                    at += 1;
                    self.take(byte)?;
                }
            }
            if self.have == 0 && self.kind == Kind::Stdout && self.content == 0 {
                return Ok(Piece::OutEnd { end: at });
            }
        }
    }

    /// Takes a byte of a header.
    fn take(&mut self, byte: u8) -> Result<(), RecordError> {
        match self.have {
            0 if byte != 1 => return Err(RecordError::Version(byte)),
            1 if !matches!(byte, 3 | 6 | 7) => return Err(RecordError::Type(byte)),
            2 if byte != 0 => return Err(RecordError::RequestHigh(byte)),
            3 if byte != 1 => return Err(RecordError::RequestLow(byte)),
            _ => {}
        }
        if let Some(place) = self.header.get_mut(usize::from(self.have)) {
            *place = byte;
        }
        self.have += 1;
        if usize::from(self.have) == HEADER {
            let [_, kind, _, _, high, low, padding, _] = self.header;
            self.open(kind, u16::from_be_bytes([high, low]), padding);
            self.have = 0;
        }
        Ok(())
    }

    /// Begins a record whose header is known to be one.
    fn open(&mut self, kind: u8, content: u16, padding: u8) {
        self.kind = match kind {
            3 => Kind::EndRequest,
            6 => Kind::Stdout,
            _ => Kind::Stderr,
        };
        (self.content, self.padding) = (content, padding);
        self.finishing = self.kind == Kind::EndRequest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_whatever_the_reads_are() {
        let input = b"\x01\x07\0\x01\0\x03\x01\0bad!\x01\x06\0\x01\0\x02\0\0ok\x01\x06\0\x01\0\0\0\0\x01\x03\0\x01\0\x08\x02\0endofrequ\0x";
        for size in 1..=input.len() {
            let mut records = Records::default();
            let (mut out, mut errors, mut ends) = (Vec::new(), Vec::new(), 0);
            let mut rest_at = 0;
            'all: for read in input.chunks(size) {
                let mut at = 0;
                loop {
                    match records.next(&read[at..]).unwrap() {
                        Piece::Partial => break,
                        Piece::Data { stream, start, end } => {
                            let to = if stream == Stream::Out { &mut out } else { &mut errors };
                            to.extend_from_slice(&read[at + start..at + end]);
                            at += end;
                        }
                        Piece::OutEnd { end } => (ends, at) = (ends + 1, at + end),
                        Piece::Finished { end } => {
                            rest_at += at + end;
                            break 'all;
                        }
                    }
                }
                rest_at += read.len();
            }
            assert_eq!((out.as_slice(), errors.as_slice(), ends, &input[rest_at..]), (&b"ok"[..], &b"bad"[..], 1, &b"x"[..]), "{size}");
        }
    }

    #[test]
    fn what_is_no_record() {
        for (input, error) in [
            (&b"HTTP/1.1"[..], RecordError::Version(b'H')),
            (b"\x01\x05", RecordError::Type(5)),
            (b"\x01\x06\x02", RecordError::RequestHigh(2)),
            (b"\x01\x06\0\x07", RecordError::RequestLow(7)),
        ] {
            assert_eq!(Records::default().next(input), Err(error));
            assert!(error.to_string().starts_with("upstream sent "));
        }
    }
}
