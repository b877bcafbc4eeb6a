//! The framing of the request body in the bytes received so far.

use crate::input::Input;
use http::connection::{BodyError, BodyRead};
use wire::chunked::{Decoder, Step};
use wire::h1::framing::Framing;

/// Bytes of chunk extensions and trailers that a body may have: as much as a head (reliability A4).
const CHUNK_OVERHEAD: usize = 33 * 1024;

/// The body of the request being read.
#[derive(Debug, Default)]
pub enum BodyFraming {
    /// None, or all of it has been taken.
    #[default]
    Done,
    /// This many bytes are left.
    Length(u64),
    /// Chunks.
    Chunked(Box<Decoder>),
}

impl BodyFraming {
    /// The framing that the head announced.
    pub fn new(framing: Framing) -> BodyFraming {
        match framing {
            Framing::None | Framing::Length(0) => BodyFraming::Done,
            Framing::Length(n) => BodyFraming::Length(n),
            Framing::Chunked => BodyFraming::Chunked(Box::new(Decoder::new(CHUNK_OVERHEAD, false))),
        }
    }

    /// Whether the whole body has been taken.
    pub fn is_done(&self) -> bool {
        matches!(self, BodyFraming::Done)
    }

    /// How many bytes the rest of the body has; 0 where that is not known.
    pub fn remaining(&self) -> u64 {
        match self {
            BodyFraming::Length(left) => *left,
            BodyFraming::Done | BodyFraming::Chunked(_) => 0,
        }
    }

    /// How many bytes the rest of the current chunk has.
    pub(crate) fn announced(&self) -> Option<u64> {
        match self {
            BodyFraming::Chunked(decoder) => Some(decoder.announced()),
            BodyFraming::Done | BodyFraming::Length(_) => None,
        }
    }

    /// Whether it cannot go on with these bytes.
    pub(crate) fn is_bad(&self, bytes: &[u8]) -> bool {
        let BodyFraming::Chunked(decoder) = self else { return false };
        let (mut decoder, mut rest) = (Decoder::clone(decoder), bytes);
        loop {
            match decoder.decode(rest) {
                Err(_) => return true,
                Ok(Step::Partial | Step::Done { .. }) => return false,
                Ok(Step::Data { end, .. }) => rest = rest.get(end..).unwrap_or_default(),
            }
        }
    }

    /// Counts bytes of the rest of a body of known length that were read past the input.
    pub(crate) fn note_read(&mut self, count: usize) {
        if let BodyFraming::Length(left) = self {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                *self = BodyFraming::Done;
            }
        }
    }

    /// Takes decoded bytes from `input` and shows them to `take`, about `limit` at most. `None`: more must be read first.
    ///
    /// # Errors
    /// Broken chunks.
    pub fn take(&mut self, input: &mut Input, limit: usize, mut take: impl FnMut(&[u8])) -> Result<Option<BodyRead>, BodyError> {
        match self {
            BodyFraming::Done => Ok(Some(BodyRead::End)),
            BodyFraming::Length(left) => {
                let count = input.unread().len().min(limit).min(usize::try_from(*left).unwrap_or(usize::MAX));
                if count == 0 {
                    return Ok(None);
                }
                take(input.unread().get(..count).unwrap_or_default());
                input.advance(count);
                self.note_read(count);
                Ok(Some(BodyRead::Data(count)))
            }
            BodyFraming::Chunked(decoder) => loop {
                match decoder.decode(input.unread()).map_err(|_| BodyError::Invalid)? {
                    Step::Partial => {
                        let all = input.unread().len();
                        input.advance(all);
                        return Ok(None);
                    }
                    Step::Data { start, end } => {
                        let data = input.unread().get(start..end).unwrap_or_default();
                        take(data);
                        let count = data.len();
                        input.advance(end);
                        if count > 0 {
                            return Ok(Some(BodyRead::Data(count)));
                        }
                    }
                    Step::Done { end } => {
                        input.advance(end);
                        *self = BodyFraming::Done;
                        return Ok(Some(BodyRead::End));
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_the_next_request_begins() {
        for (framing, text) in [(Framing::Length(5), &b"helloGET"[..]), (Framing::Chunked, b"5;x=y\r\nhello\r\n0\r\n\r\nGET")] {
            let mut body = BodyFraming::new(framing);
            let mut input = Input::default();
            let mut out = Vec::new();
            let mut end = false;
            for &byte in text {
                input.buffer.push(byte);
                while !end && let Some(read) = body.take(&mut input, 100, |data| out.extend_from_slice(data)).unwrap() {
                    end = read == BodyRead::End;
                }
            }
            assert_eq!(out, b"hello");
            assert_eq!(input.unread(), b"GET");
        }
    }

    #[test]
    fn bad_chunks_are_seen_before_they_are_taken() {
        let body = BodyFraming::new(Framing::Chunked);
        for (bytes, bad) in [("4\r\nSEE-THIS\r\n", true), ("4\r\nSEE!\r\n0\r\n\r\nx", false), ("4\r\nSE", false), ("", false), ("x", true)]
        {
            assert_eq!(body.is_bad(bytes.as_bytes()), bad, "{bytes}");
        }
        assert!(!BodyFraming::Length(3).is_bad(b"abc") && !BodyFraming::Done.is_bad(b"x"));
    }

    #[test]
    fn bad_chunks_are_refused() {
        let mut body = BodyFraming::new(Framing::Chunked);
        let mut input = Input::default();
        input.buffer.extend_from_slice(b"xyz\r\n");
        assert_eq!(body.take(&mut input, 10, |_| ()), Err(BodyError::Invalid));
    }
}
