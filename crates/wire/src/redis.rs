//! Redis: commands, and the length of replies (RESP2), which are forwarded unchanged.

use crate::chunked::Step;
use std::fmt;

/// Appends the beginning of a command of `count` arguments.
pub fn push_command(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(format!("*{count}\r\n").as_bytes());
}

/// Appends an argument of a command as a bulk string of RESP.
pub fn push_argument(out: &mut Vec<u8>, argument: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

/// Whether a reply can begin with this byte.
#[must_use]
pub fn begins(byte: u8) -> bool {
    matches!(byte, b'+' | b'-' | b':' | b'$' | b'*')
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// Where, in bytes from the start of the input given.
    pub at: usize,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid reply at offset {}", self.at)
    }
}

impl std::error::Error for ReplyError {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    Line,
    LineEnd,
    Number,
    NumberEnd,
    Bulk,
    BulkCr,
    BulkLf,
}

/// Most digits of a length, and of replies within replies: more than any memory holds.
const DIGITS: u32 = 18;

/// Finds the end of a number of replies.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    at: At,
    /// Replies still to come, those within others included.
    open: u64,
    array: bool,
    negative: bool,
    digits: u32,
    number: u64,
}

impl Replies {
    /// For this many replies.
    #[must_use]
    pub fn new(count: u64) -> Replies {
        Replies { open: count, ..Replies::default() }
    }

    /// Looks at `input`, which starts where the last step ended.
    ///
    /// # Errors
    /// [`ReplyError`]
    pub fn next(&mut self, input: &[u8]) -> Result<Step, ReplyError> {
        let mut at = 0;
        while self.open > 0 && at < input.len() {
            at = self.advance(input, at).ok_or(ReplyError { at })?;
        }
        Ok(match at {
            0 if self.open == 0 => Step::Done { end: 0 },
            0 => Step::Partial,
            end => Step::Data { start: 0, end },
        })
    }

    /// Goes on from `at`; `None` where that is no reply.
    fn advance(&mut self, input: &[u8], at: usize) -> Option<usize> {
        let rest = input.get(at..)?;
        let (&byte, _) = rest.split_first()?;
        let mut used = 1;
        match self.at {
            At::Start => {
                self.at = match byte {
                    b'+' | b'-' | b':' => At::Line,
                    b'$' | b'*' => At::Number,
                    _ => return None,
                };
                (self.array, self.negative, self.digits, self.number) = (byte == b'*', false, 0, 0);
            }
            At::Line => match memchr::memchr(b'\r', rest) {
                Some(end) => (used, self.at) = (end + 1, At::LineEnd),
                None => used = rest.len(),
            },
            At::LineEnd => match byte {
                b'\n' => self.ended(),
                b'\r' => {}
                _ => self.at = At::Line,
            },
            At::Number => self.number(byte)?,
            At::NumberEnd if byte == b'\n' => self.counted()?,
            At::Bulk => {
                used = usize::try_from(self.number).map_or(rest.len(), |left| left.min(rest.len()));
                self.number -= used as u64;
                if self.number == 0 {
                    self.at = At::BulkCr;
                }
            }
            At::BulkCr if byte == b'\r' => self.at = At::BulkLf,
            At::BulkLf if byte == b'\n' => self.ended(),
            At::NumberEnd | At::BulkCr | At::BulkLf => return None,
        }
        Some(at + used)
    }

    fn number(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'-' if self.digits == 0 && !self.negative => self.negative = true,
            b'0'..=b'9' if self.digits < DIGITS => {
                self.digits += 1;
                self.number = self.number * 10 + u64::from(byte - b'0');
            }
            b'\r' if self.digits > 0 => self.at = At::NumberEnd,
            _ => return None,
        }
        Some(())
    }

    /// The line with a length has ended.
    fn counted(&mut self) -> Option<()> {
        match (self.negative, self.array) {
            (true, _) => self.ended(),
            (false, true) => {
                self.open = self.open.checked_add(self.number)?;
                self.ended();
            }
            (false, false) => self.at = if self.number == 0 { At::BulkCr } else { At::Bulk },
        }
        Some(())
    }

    fn ended(&mut self) {
        self.open -= 1;
        self.at = At::Start;
    }
}

/// The result of fetching a value of a database: the replies to `select` and `get` together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetReply {
    /// More bytes are needed.
    Partial,
    /// There is no such value.
    Nothing {
        /// Length of what says so, bytes.
        head: usize,
    },
    /// A value follows, and a line end behind it.
    Value {
        /// Length of what comes before it, bytes.
        head: usize,
        /// Its own length, bytes.
        length: u64,
    },
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetError {
    /// What is wrong.
    pub fault: GetFault,
    /// Where the last line that was looked at ends.
    pub end: usize,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.fault, self.end)
    }
}

impl std::error::Error for GetError {}

/// What is wrong with replies that are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetFault {
    /// The server reports an error.
    Error,
    /// The length is none.
    Length,
    /// These are other replies.
    Invalid,
}

impl fmt::Display for GetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GetFault::Error => "error reply",
            GetFault::Length => "invalid length",
            GetFault::Invalid => "unexpected reply",
        })
    }
}

impl std::error::Error for GetFault {}

/// Reads the replies to `select` and `get` up to the value.
///
/// # Errors
/// There will be none.
pub fn parse_get_reply(input: &[u8]) -> Result<GetReply, GetError> {
    let line = |from: usize| {
        let end = from + memchr::memmem::find(input.get(from..)?, b"\r\n")?;
        Some((input.get(from..end)?, end))
    };
    let fault = |what, end| Err(GetError { fault: what, end });
    if !matches!(input.first(), None | Some(b'+' | b'-')) {
        return fault(GetFault::Invalid, 0);
    }
    let Some((selected, end)) = line(0) else { return Ok(GetReply::Partial) };
    match selected {
        b"+OK" => {}
        [b'-', ..] => return fault(GetFault::Error, end),
        _ => return fault(GetFault::Invalid, end),
    }
    let Some((reply, end)) = line(end + 2) else { return Ok(GetReply::Partial) };
    let head = end + 2;
    match reply {
        b"$-1" => Ok(GetReply::Nothing { head }),
        [b'$', digits @ ..] if !digits.is_empty() && digits.len() <= DIGITS as usize && digits.iter().all(u8::is_ascii_digit) => {
            let length = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            Ok(GetReply::Value { head, length })
        }
        [b'$', ..] => fault(GetFault::Length, end),
        [b'-', ..] => fault(GetFault::Error, end),
        _ => fault(GetFault::Invalid, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(count: u64, input: &[u8], size: usize) -> Result<Option<usize>, ()> {
        let mut replies = Replies::new(count);
        let mut all = 0;
        for read in input.chunks(size) {
            let mut at = 0;
            loop {
                match replies.next(&read[at..]).map_err(drop)? {
                    Step::Partial => break,
                    Step::Data { start, end } => {
                        assert_eq!(start, 0);
                        (at, all) = (at + end, all + end);
                    }
                    Step::Done { end } => return Ok(Some(all + end)),
                }
            }
        }
        Ok(matches!(replies.next(b""), Ok(Step::Done { .. })).then_some(all))
    }

    #[test]
    fn replies_end_where_they_end() {
        for (count, text, rest) in [
            (1, "+OK\r\n", "x"),
            (1, "-ERR a\rb\r\r\n", ""),
            (1, ":-7\r\n", ":"),
            (1, "$5\r\nhel\rl\r\n", "y"),
            (2, "$0\r\n\r\n$-1\r\n", "+"),
            (1, "*-1\r\n", ""),
            (1, "*0\r\n", ""),
            (1, "*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", "*"),
            (3, "*1\r\n+a\r\n+b\r\n$1\r\nc\r\n", "-"),
        ] {
            let input = format!("{text}{rest}").into_bytes();
            for size in 1..=input.len() {
                assert_eq!(length(count, &input, size), Ok(Some(text.len())), "{text:?} {size}");
            }
            for cut in 0..text.len() {
                assert_eq!(length(count, &input[..cut], 4), Ok(None), "{text:?} {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_reply() {
        for text in ["x", "$a\r\n", "$\r\n", "$--1\r\n", "$3\r\nabcd\r\n", "*1\rx", "*2\r\n*999999999999999999999\r\n", "$1\r\na\rx"] {
            assert_eq!(length(1, text.as_bytes(), 3), Err(()), "{text}");
        }
    }

    #[test]
    fn commands() {
        let mut out = Vec::new();
        push_command(&mut out, 2);
        push_argument(&mut out, b"get");
        push_argument(&mut out, b"");
        assert_eq!(out, b"*2\r\n$3\r\nget\r\n$0\r\n\r\n");
    }

    #[test]
    fn a_value_behind_the_choice_of_its_database() {
        let value = b"+OK\r\n$5\r\nhello\r\n";
        for cut in 0..9 {
            assert_eq!(parse_get_reply(&value[..cut]), Ok(GetReply::Partial), "{cut}");
        }
        assert_eq!(parse_get_reply(value), Ok(GetReply::Value { head: 9, length: 5 }));
        assert_eq!(parse_get_reply(b"+OK\r\n$-1\r\n"), Ok(GetReply::Nothing { head: 10 }));
        for (input, fault, end) in [
            (&b"-ERR invalid DB index\r\n-x"[..], GetFault::Error, 21),
            (b"+OK\r\n-WRONGTYPE x\r\n", GetFault::Error, 17),
            (b"+OK\r\n$1x\r\n", GetFault::Length, 8),
            (b"+OK\r\n$9999999999999999999\r\n", GetFault::Length, 25),
            (b"+OK\r\n:1\r\n", GetFault::Invalid, 7),
            (b"+QUEUED\r\n", GetFault::Invalid, 7),
            (b"HTTP/1.1", GetFault::Invalid, 0),
        ] {
            assert_eq!(parse_get_reply(input), Err(GetError { fault, end }), "{}", input.escape_ascii());
        }
    }
}
