//! Responses, each checked against the command that it answers.

use super::line::{Command, RequestLine, is_number};
use crate::chunked::Step;
use crate::span::Span;
use std::fmt;

/// What follows a value.
const VALUE_END: &[u8] = b"\r\nEND\r\n";

/// What a response of lines says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusReply {
    /// `STORED`
    Stored,
    /// `NOT_STORED`
    NotStored,
    /// `EXISTS`
    Exists,
    /// `NOT_FOUND`, or `END` where a value was asked for
    NotFound,
    /// `DELETED`
    Deleted,
    /// `OK`
    Done,
    /// The new value of a counter.
    Number,
    /// `VERSION ...`
    Version,
    /// `STAT` lines up to `END`.
    Stats,
    /// `ERROR`, `CLIENT_ERROR ...` or `SERVER_ERROR ...`
    Error,
}

/// The state of reading a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// More bytes are needed.
    Partial,
    /// The response is these lines, of `len` bytes together.
    Lines {
        /// What it says.
        status: StatusReply,
        /// Its length with all line ends, bytes.
        len: usize,
    },
    /// A value follows the head; [`Value`] reads it.
    Value {
        /// Length of the head, bytes.
        head: usize,
        /// The flags: decimal digits, unless the server is odd.
        flags: Span,
        /// Length of the value, bytes.
        length: u64,
    },
}

/// Why a response is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// Lines do not fit into the limit.
    TooLarge,
    /// The byte at this offset cannot stand there.
    Invalid(usize),
    /// The line, up to its end, is no response to `get`.
    Line(usize),
    /// The line, up to its end, is about another key.
    Key(usize),
    /// The line, up to its end, has flags that are no number.
    Flags(usize),
    /// The line, up to its end, gives no length.
    Length(usize),
}

impl ReplyError {
    /// The line for the error log, in the words of memc and memcached modules.
    #[must_use]
    pub fn message(self, request: &RequestLine<'_>, input: &[u8]) -> Vec<u8> {
        let shown = |end: usize| String::from_utf8_lossy(input.get(..end).unwrap_or_default()).into_owned();
        let key = String::from_utf8_lossy(request.key);
        match self {
            ReplyError::TooLarge => "upstream sent too big header".to_owned(),
            ReplyError::Invalid(at) => {
                format!("memcached sent invalid response for command \"{}\" at pos {at}: {}", request.command.name(), shown(at))
            }
            ReplyError::Line(end) => format!("memcached sent invalid response: \"{}\"", shown(end)),
            ReplyError::Key(end) => format!("memcached sent invalid key in response \"{}\" for key \"{key}\"", shown(end)),
            ReplyError::Flags(end) => format!("memcached sent invalid flags in response \"{}\" for key \"{key}\"", shown(end)),
            ReplyError::Length(end) => format!("memcached sent invalid length in response \"{}\" for key \"{key}\"", shown(end)),
        }
        .into_bytes()
    }
}

/// Reads a response from its first byte; `limit` bounds its lines, bytes.
///
/// # Errors
/// It is no response to what was request.
pub fn parse(request: &RequestLine<'_>, input: &[u8], limit: usize) -> Result<Reply, ReplyError> {
    let reply = match request.command {
        Command::Get => value(request.key, input)?,
        Command::Stats => stats(input)?,
        Command::Incr | Command::Decr => counter(input)?,
        Command::Delete => one_line(input, &[("DELETED\r\n", StatusReply::Deleted), ("NOT_FOUND\r\n", StatusReply::NotFound)])?,
        Command::FlushAll => one_line(input, &[("OK\r\n", StatusReply::Done)])?,
        Command::Version => one_line(input, &[("VERSION ", StatusReply::Version)])?,
        _ => {
            const STORING: [(&str, StatusReply); 4] = [
                ("STORED\r\n", StatusReply::Stored),
                ("NOT_STORED\r\n", StatusReply::NotStored),
                ("EXISTS\r\n", StatusReply::Exists),
                ("NOT_FOUND\r\n", StatusReply::NotFound),
            ];
            one_line(input, &STORING)?
        }
    };
    match reply {
        Reply::Partial if input.len() >= limit => Err(ReplyError::TooLarge),
        Reply::Lines { len, .. } | Reply::Value { head: len, .. } if len > limit => Err(ReplyError::TooLarge),
        reply => Ok(reply),
    }
}

const ERRORS: [(&str, StatusReply); 3] =
    [("ERROR\r\n", StatusReply::Error), ("CLIENT_ERROR ", StatusReply::Error), ("SERVER_ERROR ", StatusReply::Error)];

/// A line that begins with one of the words, or an error.
fn one_line(input: &[u8], words: &[(&str, StatusReply)]) -> Result<Reply, ReplyError> {
    let mut furthest = 0;
    let mut partial = false;
    for (word, said) in words.iter().chain(&ERRORS) {
        let word = word.as_bytes();
        let same = word.iter().zip(input).take_while(|(a, b)| a == b).count();
        if same == word.len() {
            let end = if word.ends_with(b"\r\n") { Some(same) } else { line_end(input, same) };
            return Ok(end.map_or(Reply::Partial, |len| Reply::Lines { status: *said, len }));
        }
        partial |= same == input.len();
        furthest = furthest.max(same);
    }
    if partial { Ok(Reply::Partial) } else { Err(ReplyError::Invalid(furthest)) }
}

/// Where the line that goes on at `from` ends, behind its line end.
fn line_end(input: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(input.get(from..)?, b"\r\n").map(|at| from + at + 2)
}

/// Digits, perhaps spaces (older servers pad a shorter number), line end.
fn counter(input: &[u8]) -> Result<Reply, ReplyError> {
    let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return one_line(input, &[("NOT_FOUND\r\n", StatusReply::NotFound)]);
    }
    let spaces = input.iter().skip(digits).take_while(|byte| **byte == b' ').count();
    let rest = input.get(digits + spaces..).unwrap_or_default();
    match rest {
        [b'\r', b'\n', ..] => Ok(Reply::Lines { status: StatusReply::Number, len: digits + spaces + 2 }),
        [] | [b'\r'] => Ok(Reply::Partial),
        [b'\r', ..] => Err(ReplyError::Invalid(digits + spaces + 1)),
        _ => Err(ReplyError::Invalid(digits + spaces)),
    }
}

fn stats(input: &[u8]) -> Result<Reply, ReplyError> {
    let mut at = 0;
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let line = one_line(rest, &[("END\r\n", StatusReply::Stats), ("STAT ", StatusReply::Stored)]).map_err(|error| match error {
            ReplyError::Invalid(offset) => ReplyError::Invalid(at + offset),
            other => other,
        })?;
        match line {
            Reply::Lines { status: StatusReply::Stored, len } => at += len,
            // An error is a response of its own, not the end of statistics.
            Reply::Lines { status: StatusReply::Error, .. } if at > 0 => return Err(ReplyError::Invalid(at)),
            Reply::Lines { status: said, len } => return Ok(Reply::Lines { status: said, len: at + len }),
            other => return Ok(other),
        }
    }
}

/// `VALUE KEY FLAGS LENGTH` or `END`.
fn value(key: &[u8], input: &[u8]) -> Result<Reply, ReplyError> {
    let Some(newline) = memchr::memchr(b'\n', input) else { return Ok(Reply::Partial) };
    let line = input.get(..newline).unwrap_or_default();
    let Some(line) = line.strip_suffix(b"\r") else { return Err(ReplyError::Line(newline)) };
    let end = line.len();
    if line == b"END" {
        return Ok(Reply::Lines { status: StatusReply::NotFound, len: newline + 1 });
    }
    let Some(rest) = line.strip_prefix(b"VALUE ") else { return Err(ReplyError::Line(end)) };
    let Some(rest) = rest.strip_prefix(key) else { return Err(ReplyError::Key(end)) };
    let Some(rest) = rest.strip_prefix(b" ") else { return Err(ReplyError::Key(end)) };
    let start = end - rest.len();
    let Some(space) = memchr::memchr(b' ', rest) else { return Err(ReplyError::Line(end)) };
    let (flags, length) = rest.split_at(space);
    let length = length.get(1..).filter(|text| is_number(text, 18)).ok_or(ReplyError::Length(end))?;
    let length = length.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Ok(Reply::Value { head: newline + 1, flags: Span::new(start, start + flags.len()), length })
}

/// The flags in the head of a value.
#[must_use]
pub fn flags_of(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b' ').nth(2).unwrap_or_default()
}

/// A value while it is read: its bytes, then the end mark.
#[derive(Clone, Debug)]
pub struct Value {
    remaining: u64,
    /// What is left of what follows its bytes.
    end: &'static [u8],
}

/// Other bytes stand where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTrailer;

impl fmt::Display for BadTrailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid trailer")
    }
}

impl std::error::Error for BadTrailer {}

impl Value {
    /// A value of `length` bytes.
    #[must_use]
    pub fn new(length: u64) -> Value {
        Value::with_end(length, VALUE_END)
    }

    /// A value of `length` bytes with `end` behind it.
    #[must_use]
    pub fn with_end(length: u64, end: &'static [u8]) -> Value {
        Value { remaining: length, end }
    }

    /// Looks at `input`, which starts where the last step ended.
    ///
    /// # Errors
    /// The value is longer or shorter than its head said.
    pub fn next(&mut self, input: &[u8]) -> Result<Step, BadTrailer> {
        if self.remaining > 0 {
            if input.is_empty() {
                return Ok(Step::Partial);
            }
            let end = usize::try_from(self.remaining).map_or(input.len(), |left| left.min(input.len()));
            self.remaining -= end as u64;
            return Ok(Step::Data { start: 0, end });
        }
        let count = self.end.len().min(input.len());
        let (expected, rest) = self.end.split_at(count);
        if Some(expected) != input.get(..count) {
            return Err(BadTrailer);
        }
        self.end = rest;
        Ok(if rest.is_empty() { Step::Done { end: count } } else { Step::Partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> RequestLine<'_> {
        RequestLine::of(line.as_bytes()).unwrap()
    }

    fn read(line: &str, input: &str) -> Result<Reply, ReplyError> {
        parse(&request(line), input.as_bytes(), 4096)
    }

    #[test]
    fn lines_are_known_as_soon_as_they_are_whole() {
        let all = [
            ("set k 0 0 1\r\n", "STORED\r\n", StatusReply::Stored),
            ("add k 0 0 1\r\n", "NOT_STORED\r\n", StatusReply::NotStored),
            ("replace k 0 0 1\r\n", "EXISTS\r\n", StatusReply::Exists),
            ("append k 0 0 1\r\n", "NOT_FOUND\r\n", StatusReply::NotFound),
            ("prepend k 0 0 1\r\n", "SERVER_ERROR out of memory\r\n", StatusReply::Error),
            ("delete k\r\n", "DELETED\r\n", StatusReply::Deleted),
            ("delete k\r\n", "NOT_FOUND\r\n", StatusReply::NotFound),
            ("flush_all\r\n", "OK\r\n", StatusReply::Done),
            ("version\r\n", "VERSION 1.6\n x\r\n", StatusReply::Version),
            ("incr k 1\r\n", "12  \r\n", StatusReply::Number),
            ("decr k 1\r\n", "CLIENT_ERROR cannot\r\n", StatusReply::Error),
            ("stats\r\n", "STAT a 1\r\nSTAT b 2\r\nEND\r\n", StatusReply::Stats),
            ("stats\r\n", "ERROR\r\n", StatusReply::Error),
            ("get k\r\n", "END\r\n", StatusReply::NotFound),
        ];
        for (line, answer, status) in all {
            for cut in 0..answer.len() {
                assert_eq!(read(line, &answer[..cut]), Ok(Reply::Partial), "{answer} {cut}");
            }
            assert_eq!(read(line, answer), Ok(Reply::Lines { status, len: answer.len() }), "{answer}");
            assert_eq!(read(line, &format!("{answer}x")), Ok(Reply::Lines { status, len: answer.len() }), "{answer}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_at_its_first_wrong_byte() {
        for (line, answer, at) in [
            ("set k 0 0 1\r\n", "STOREX", 5),
            ("set k 0 0 1\r\n", "END\r\n", 1),
            ("set k 0 0 1\r\n", "STORED\n", 6),
            ("delete k\r\n", "hello", 0),
            ("incr k 1\r\n", "12x\r\n", 2),
            ("incr k 1\r\n", "12\rx", 3),
            ("incr k 1\r\n", "-1\r\n", 0),
            ("stats\r\n", "STAT a\r\nSTAX", 11),
            ("stats\r\n", "STAT a\r\nERROR\r\n", 8),
        ] {
            assert_eq!(read(line, answer), Err(ReplyError::Invalid(at)), "{answer}");
        }
        let bad = ReplyError::Invalid(5).message(&request("set k 0 0 1\r\n"), b"STOREX");
        assert_eq!(bad, b"memcached sent invalid response for command \"set\" at pos 5: STORE");
        let long = format!("VERSION {}", "x".repeat(5000));
        assert_eq!(read("version\r\n", &long), Err(ReplyError::TooLarge));
        assert_eq!(read("get k\r\n", &long), Err(ReplyError::TooLarge));
        assert_eq!(read("version\r\n", &format!("{long}\r\n")), Err(ReplyError::TooLarge));
    }

    #[test]
    fn a_value_belongs_to_its_key_and_has_a_length() {
        let Ok(Reply::Value { head, flags, length }) = read("get k\r\n", "VALUE k 17 5\r\nhello") else { panic!("no value") };
        assert_eq!((head, flags.of(b"VALUE k 17 5\r\n"), length), (14, &b"17"[..], 5));
        assert_eq!(flags_of(b"VALUE k 17 5\r\n"), b"17");
        for (answer, error) in [
            ("VALUE kk 0 1\r\n", ReplyError::Key(12)),
            ("VALUE x 0 1\r\n", ReplyError::Key(11)),
            ("VALUE k 0\r\n", ReplyError::Line(9)),
            ("VALUE k 0 \r\n", ReplyError::Length(10)),
            ("VALUE k 0 -1\r\n", ReplyError::Length(12)),
            ("VALUE k 0 1 9\r\n", ReplyError::Length(13)),
            ("VALUE k 0 99999999999999999999\r\n", ReplyError::Length(30)),
            ("VALUE k 0 1\n", ReplyError::Line(11)),
            ("ERROR\r\n", ReplyError::Line(5)),
        ] {
            assert_eq!(read("get k\r\n", answer), Err(error), "{answer}");
        }
        let text = ReplyError::Key(11).message(&request("get k\r\n"), b"VALUE x 0 1\r\n");
        assert_eq!(text, b"memcached sent invalid key in response \"VALUE x 0 1\" for key \"k\"");
    }

    #[test]
    fn a_value_ends_where_it_must() {
        let whole = b"hello\r\nEND\r\n";
        for cut in 0..=whole.len() {
            let (mut value, mut got, mut done) = (Value::new(5), Vec::new(), false);
            for part in [&whole[..cut], &whole[cut..]] {
                let mut rest = part;
                loop {
                    match value.next(rest).unwrap() {
                        Step::Data { start, end } => {
                            got.extend_from_slice(&rest[start..end]);
                            rest = &rest[end..];
                        }
                        Step::Done { .. } => {
                            done = true;
                            break;
                        }
                        Step::Partial => break,
                    }
                }
            }
            assert!(done && got == b"hello", "{cut}");
        }
        assert_eq!(Value::new(0).next(b"x\r\nEND\r\n"), Err(BadTrailer));
        assert_eq!(Value::new(0).next(b"\r\nEN\r\n"), Err(BadTrailer));
        assert_eq!(Value::new(0).next(b"\r\nEND"), Ok(Step::Partial));
        assert_eq!(Value::new(0).next(b"\r\nEND\r\nx"), Ok(Step::Done { end: 7 }));
    }
}
