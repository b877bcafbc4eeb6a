//! The body of a response, across its records.

use super::record::{Piece, RecordError, Records, Stream};
use crate::chunked::Step;
use std::fmt;

/// A body that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// A record that is none.
    Record(RecordError),
    /// The response ended before its `Content-Length`.
    ShortOut,
    /// The request ended before the response's `Content-Length`.
    ShortRequest,
}

/// nginx's line for the error log.
impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Record(error) => error.fmt(f),
            BodyError::ShortOut => f.write_str("upstream prematurely closed FastCGI stdout"),
            BodyError::ShortRequest => f.write_str("upstream prematurely closed FastCGI request"),
        }
    }
}

impl std::error::Error for BodyError {}

/// Something to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogMessage {
    /// The application's words.
    Errors(Vec<u8>),
    /// The body is longer than its `Content-Length`; what is too much is dropped.
    Excess,
}

/// nginx leaves out what ends a message: line ends, dots and spaces.
#[must_use]
pub fn message(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | b'.' | b' ')).unwrap_or(0);
    text.get(..=kept).unwrap_or_default()
}

/// The body of a response.
#[derive(Clone, Debug, Default)]
pub struct Body {
    records: Records,
    /// Bytes at the beginning that have no frame any more.
    bare: usize,
    content_left: Option<u64>,
    closed: bool,
    done: bool,
    clean: bool,
    remark: Option<LogMessage>,
}

impl Body {
    /// A body whose first `bare` bytes have been taken out of their records, of `length` bytes if that is known.
    #[must_use]
    pub fn new(records: Records, bare: usize, length: Option<u64>) -> Body {
        Body { records, bare, content_left: length, ..Body::default() }
    }

    /// Looks at `input`, which starts where the last step ended. A step without data leaves a [`LogMessage`].
    ///
    /// # Errors
    /// [`BodyError`]
    pub fn next(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut at = 0;
        while !self.done {
            let rest = input.get(at..).unwrap_or_default();
            let piece = if self.bare > 0 {
                let taken = self.bare.min(rest.len());
                self.bare -= taken;
                if taken == 0 { Piece::Partial } else { Piece::Data { stream: Stream::Out, start: 0, end: taken } }
            } else {
                self.records.next(rest).map_err(BodyError::Record)?
            };
            match piece {
                Piece::Partial => return Ok(Step::Partial),
                Piece::Data { stream: Stream::Out, start, end } => return Ok(self.data(at + start, at + end)),
                Piece::Data { stream: Stream::Errors, start, end } => {
                    let text = rest.get(start..end).unwrap_or_default();
                    self.remark = Some(LogMessage::Errors(message(text).to_vec()));
                    return Ok(Step::Data { start: at + end, end: at + end });
                }
                Piece::OutEnd { .. } if !self.is_whole() => return Err(BodyError::ShortOut),
                Piece::OutEnd { end } => (at, self.closed) = (at + end, true),
                Piece::Finished { .. } if !self.is_whole() => return Err(BodyError::ShortRequest),
                Piece::Finished { end } => {
                    self.done = true;
                    self.clean = at + end == input.len();
                }
            }
        }
        Ok(Step::Done { end: input.len() })
    }

    fn data(&mut self, start: usize, end: usize) -> Step {
        let Some(left) = &mut self.content_left else { return Step::Data { start, end } };
        let given = (end - start) as u64;
        if given <= *left {
            *left -= given;
            return Step::Data { start, end };
        }
        self.remark = Some(LogMessage::Excess);
        self.done = true;
        let kept = usize::try_from(*left).unwrap_or(0);
        Step::Data { start, end: start + kept }
    }

    /// What the last step wants to be logged.
    pub fn take_log(&mut self) -> Option<LogMessage> {
        self.remark.take()
    }

    /// All that `Content-Length` announced is here.
    fn is_whole(&self) -> bool {
        self.content_left.is_none_or(|left| left == 0)
    }

    /// Whether the end of the connection leaves nothing open: the application has closed the response, or `Content-Length` has come
    /// true.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.closed || self.content_left == Some(0)
    }

    /// Whether the connection can serve another request.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(mut body: Body, input: &[u8]) -> (Vec<u8>, Vec<LogMessage>, Result<bool, BodyError>) {
        let (mut at, mut out, mut remarks) = (0, Vec::new(), Vec::new());
        loop {
            let step = body.next(&input[at..]);
            remarks.extend(body.take_log());
            match step {
                Ok(Step::Data { start, end }) => {
                    out.extend_from_slice(&input[at + start..at + end]);
                    at += end;
                }
                Ok(Step::Done { .. }) => return (out, remarks, Ok(body.is_clean())),
                Ok(Step::Partial) => return (out, remarks, Ok(false)),
                Err(error) => return (out, remarks, Err(error)),
            }
        }
    }

    const REST: &[u8] = b"lo\x01\x07\0\x01\0\x05\0\0bad.\n\x01\x06\0\x01\0\0\0\0\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";

    fn started() -> Records {
        let mut records = Records::default();
        records.next(b"\x01\x06\0\x01\0\x05\0\0hel").unwrap();
        records
    }

    #[test]
    fn bare_bytes_records_and_messages() {
        let input = [b"hel", REST].concat();
        let (out, remarks, end) = played(Body::new(started(), 3, Some(5)), &input);
        assert_eq!((out.as_slice(), end), (&b"hello"[..], Ok(true)));
        assert_eq!(remarks, [LogMessage::Errors(b"bad".to_vec())]);
        let more = [&input[..], b"x"].concat();
        assert_eq!(played(Body::new(started(), 3, None), &more).2, Ok(false));
        assert_eq!(played(Body::new(started(), 3, None), &input).0, b"hello");
    }

    #[test]
    fn lengths_that_are_not_true() {
        let input = [b"hel", REST].concat();
        assert_eq!(played(Body::new(started(), 3, Some(6)), &input).2, Err(BodyError::ShortOut));
        let (out, remarks, end) = played(Body::new(started(), 3, Some(4)), &input);
        assert_eq!((out.as_slice(), remarks, end), (&b"hell"[..], vec![LogMessage::Excess], Ok(false)));
    }

    #[test]
    fn what_ends_a_message_is_left_out() {
        assert_eq!(message(b"PHP message: x.\r\n "), b"PHP message: x");
        assert_eq!(message(b"...\n"), b".");
        assert_eq!(message(b""), b"");
    }
}
