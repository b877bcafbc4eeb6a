//! The head of an upstream's HTTP/1 response and the framing of its body (RFC 9112).

use super::framing::{contains, content_length};
use super::header::{self, HeaderSpan, Line, Rules};
use super::response_line::{self, StatusLine};
use super::version::Version;
use crate::known::Known;
use crate::span::Span;
use std::fmt;

/// How much of a line that has not come to its end is looked at.
const LONGEST_BEGINNING: usize = 256;

/// How large a response head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `proxy_buffer_size`, bytes: the whole head must fit.
    pub size: usize,
    /// How many header lines there may be.
    pub max_headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 4096, max_headers: 1000 }
    }
}

/// What a call of [`ResponseHead::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// More bytes are needed.
    Partial,
    /// A 1xx response other than 101 is whole; another head follows at `len` (RFC 9110, 15.2).
    /// Reset the head before that one is parsed.
    Interim {
        /// Length of the head in bytes.
        len: usize,
    },
    /// The final head is whole; the body starts at `len`.
    Complete {
        /// Length of the head in bytes.
        len: usize,
    },
}

/// A response that cannot be used: answered with 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The first line is no status line.
    NoStatusLine,
    /// 103 in HTTP/1.0.
    EarlyHintsIn10,
    /// A line is not a header field.
    InvalidHeader {
        /// The line up to the offending byte.
        before: Span,
        /// The offending byte.
        byte: u8,
    },
    /// The head does not fit.
    TooLarge,
    /// A second `Content-Length` or `Transfer-Encoding`.
    Duplicate {
        /// The line refused.
        this: HeaderSpan,
        /// The first line.
        first: HeaderSpan,
    },
    /// `Content-Length` is no number.
    InvalidLength {
        /// The line refused.
        this: HeaderSpan,
    },
    /// Both headers (RFC 9112, 6.3).
    LengthAndEncoding,
    /// A coding other than `chunked` alone.
    UnknownEncoding {
        /// The value.
        value: Span,
    },
    /// The status of a CGI answer is none that can be passed on.
    InvalidStatus {
        /// The value.
        value: Span,
    },
}

impl ResponseError {
    /// nginx's line for the error log, at level error. `buf` is the buffer that was parsed.
    #[must_use]
    pub fn message(&self, buf: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        match self {
            Self::InvalidHeader { before, byte } => {
                let tail = format!("\\x{byte:02x}...\"");
                put(&[b"upstream sent invalid header: \"", before.of(buf), tail.as_bytes()]);
            }
            Self::Duplicate { this, first } => put(&[
                b"upstream sent duplicate header line: \"",
                this.name.of(buf),
                b": ",
                this.value.of(buf),
                b"\", previous value: \"",
                first.name.of(buf),
                b": ",
                first.value.of(buf),
                b"\"",
            ]),
            Self::InvalidLength { this } => {
                put(&[b"upstream sent invalid \"Content-Length\" header: \"", this.name.of(buf), b": ", this.value.of(buf), b"\""])
            }
            Self::UnknownEncoding { value } => {
                put(&[b"upstream sent unknown \"Transfer-Encoding\": \"", value.of(buf), b"\""]);
            }
            Self::InvalidStatus { value } => put(&[b"upstream sent invalid status \"", value.of(buf), b"\""]),
            Self::NoStatusLine | Self::EarlyHintsIn10 | Self::TooLarge | Self::LengthAndEncoding => put(&[self.to_string().as_bytes()]),
        }
        out
    }
}

/// [`ResponseError::message`] without what it quotes.
impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStatusLine => "upstream sent no valid HTTP/1.0 header",
            Self::EarlyHintsIn10 => "upstream sent HTTP/1.0 response with early hints",
            Self::InvalidHeader { .. } => "upstream sent invalid header",
            Self::TooLarge => "upstream sent too big header",
            Self::Duplicate { .. } => "upstream sent duplicate header line",
            Self::InvalidLength { .. } => "upstream sent invalid \"Content-Length\" header",
            Self::LengthAndEncoding => "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
            Self::UnknownEncoding { .. } => "upstream sent unknown \"Transfer-Encoding\"",
            Self::InvalidStatus { .. } => "upstream sent invalid status",
        })
    }
}

impl std::error::Error for ResponseError {}

/// A response head, and the state of its parser. Reusable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status line.
    pub line: StatusLine,
    /// The header lines in order of arrival.
    pub headers: Vec<HeaderSpan>,
    in_headers: bool,
    start: usize,
    scanned: usize,
    /// This head is [`Last`].
    is_last: bool,
    last: Last,
}

/// The bytes of the last whole head and what they meant: the heads of an upstream repeat themselves for as long as its clock says the
/// same second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Last {
    bytes: Vec<u8>,
    line: StatusLine,
    headers: Vec<HeaderSpan>,
    /// How its body is framed if the request was not HEAD; computed on demand.
    framed: Option<Framed>,
    grammar: Grammar,
}

/// What a head was read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Grammar {
    #[default]
    Http,
    Cgi {
        /// A status line may stand before its fields.
        status_line: bool,
    },
}

/// Longest head that is remembered, bytes.
const REMEMBERED: usize = 1024;

impl ResponseHead {
    /// An empty head.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the head ready for the next response; nothing is freed.
    pub fn reset(&mut self) {
        let (mut headers, last) = (std::mem::take(&mut self.headers), std::mem::take(&mut self.last));
        headers.clear();
        *self = Self { headers, last, ..Self::default() };
    }

    /// The length of the head, if it is the last one again.
    fn match_last(&mut self, buf: &[u8], limits: &Limits, grammar: Grammar) -> Option<usize> {
        let Last { bytes, line, headers, .. } = &self.last;
        let same = self.last.grammar == grammar && !bytes.is_empty();
        let again = same && bytes.len() <= limits.size && headers.len() <= limits.max_headers && buf.starts_with(bytes);
        again.then(|| {
            self.line = *line;
            self.headers.clear();
            self.headers.extend_from_slice(headers);
            self.is_last = true;
            bytes.len()
        })
    }

    fn store(&mut self, head: &[u8], grammar: Grammar) {
        self.last.bytes.clear();
        if head.len() > REMEMBERED {
            return;
        }
        self.last.bytes.extend_from_slice(head);
        self.last.line = self.line;
        self.last.headers.clear();
        self.last.headers.extend_from_slice(&self.headers);
        (self.last.framed, self.last.grammar) = (None, grammar);
        self.is_last = true;
    }

    /// Gives a head without a status line its status, which is remembered with it.
    pub(crate) fn set_line(&mut self, code: u16, text: Span) {
        (self.line.code, self.line.text) = (code, text);
        if self.is_last {
            self.last.line = self.line;
        }
    }

    /// As [`frame`], which is asked once while a head repeats itself. `buf` is what this head was parsed from.
    ///
    /// # Errors
    /// Those of [`frame`].
    pub fn frame(&mut self, buf: &[u8], to_head: bool) -> Result<Framed, ResponseError> {
        if to_head || !self.is_last {
            return frame(self, buf, to_head);
        }
        if let Some(framed) = self.last.framed {
            return Ok(framed);
        }
        let framed = frame(self, buf, false)?;
        self.last.framed = Some(framed);
        Ok(framed)
    }

    /// Parses on. `buf` holds all bytes since the start of this head, at each call more of them.
    ///
    /// # Errors
    /// [`ResponseError`]; nothing that follows on the connection can be trusted then.
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Status, ResponseError> {
        let whole = !self.in_headers;
        if whole {
            if let Some(len) = self.match_last(buf, limits, Grammar::Http) {
                return Ok(Status::Complete { len });
            }
            // Refused by its first bytes: an upstream that speaks something else may wait for us.
            let lead = buf.get(..5.min(buf.len())).unwrap_or(&[]);
            if !b"HTTP/".starts_with(lead) {
                return Err(ResponseError::NoStatusLine);
            }
            let Some(lf) = self.line_feed(buf, limits)? else {
                return Ok(Status::Partial);
            };
            self.line = response_line::parse(buf, 0, lf).ok_or(ResponseError::NoStatusLine)?;
            if self.line.code == 103 && self.line.version < Version::HTTP_11 {
                return Err(ResponseError::EarlyHintsIn10);
            }
            self.advance(lf);
            self.in_headers = true;
        }
        let status = self.fields(buf, limits)?;
        if let (Status::Complete { len }, true) = (status, whole) {
            self.store(buf.get(..len).unwrap_or_default(), Grammar::Http);
        }
        Ok(status)
    }

    /// As [`ResponseHead::parse`] for the head of a CGI answer (RFC 3875 section 6): header lines, behind a status line where
    /// `status_line` allows one and there is one. [`crate::cgi::finish`] finds the status.
    ///
    /// # Errors
    /// [`ResponseError`]; nothing that follows on the connection can be trusted then.
    pub fn parse_cgi(&mut self, buf: &[u8], limits: &Limits, status_line: bool) -> Result<Status, ResponseError> {
        let (whole, grammar) = (!self.in_headers, Grammar::Cgi { status_line });
        if whole && let Some(len) = self.match_last(buf, limits, grammar) {
            return Ok(Status::Complete { len });
        }
        let lead = buf.get(..5.min(buf.len())).unwrap_or(&[]);
        if whole && status_line && b"HTTP/".starts_with(lead) {
            let Some(lf) = self.line_feed(buf, limits)? else {
                return Ok(Status::Partial);
            };
            match response_line::parse(buf, 0, lf) {
                Some(line) => {
                    self.line = line;
                    self.advance(lf);
                }
                // nginx takes the line for a header line then.
                None => self.scanned = 0,
            }
        }
        self.in_headers = true;
        let status = self.fields(buf, limits)?;
        if let (Status::Complete { len }, true) = (status, whole) {
            self.store(buf.get(..len).unwrap_or_default(), grammar);
        }
        Ok(status)
    }

    fn fields(&mut self, buf: &[u8], limits: &Limits) -> Result<Status, ResponseError> {
        let rules = Rules { underscores: true, upstream: true };
        loop {
            let found = self.line_feed(buf, limits)?;
            // The beginning of a line is refused too: the rest of it may never come.
            let end = found.unwrap_or_else(|| buf.len().min(self.start + LONGEST_BEGINNING));
            let line = header::parse(buf, self.start, end, rules)
                .map_err(|bad| ResponseError::InvalidHeader { before: bad.before, byte: bad.byte })?;
            let Some(lf) = found else {
                return Ok(Status::Partial);
            };
            self.advance(lf);
            match line {
                Line::Field(_) if self.headers.len() >= limits.max_headers => {
                    return Err(ResponseError::TooLarge);
                }
                Line::Field(field) => self.headers.push(field),
                Line::Repeated => {}
                Line::End => break,
            }
        }
        let len = self.start;
        let interim = matches!(self.line.code, 100 | 102..=199);
        Ok(if interim { Status::Interim { len } } else { Status::Complete { len } })
    }

    /// The first header line with this id.
    #[must_use]
    pub fn header(&self, known: Known) -> Option<&HeaderSpan> {
        self.headers.iter().find(|header| header.known == known)
    }

    fn advance(&mut self, lf: usize) {
        self.start = lf + 1;
        self.scanned = self.start;
    }

    fn line_feed(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, ResponseError> {
        let found = memchr::memchr(b'\n', buf.get(self.scanned..).unwrap_or(&[]));
        let end = found.map_or(buf.len(), |at| self.scanned + at + 1);
        if end > limits.size {
            return Err(ResponseError::TooLarge);
        }
        let from = std::mem::replace(&mut self.scanned, end);
        Ok(found.map(|at| from + at))
    }
}

/// The body that follows a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body: the request was HEAD, or the status is 204 or 304.
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunks (see [`crate::chunked`]).
    Chunked,
    /// Everything until the upstream closes.
    UntilClose,
    /// The connection is no longer HTTP: 101.
    Tunnel,
}

/// The verdict on a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    /// The body.
    pub body: Body,
    /// What `Content-Length` said, also where no body follows (HEAD, 304).
    pub content_length: Option<u64>,
    /// The connection can serve another request once the body is read.
    pub keep_alive: bool,
}

/// Evaluates `head`, which was parsed from `buf`; `to_head` when the request was HEAD.
///
/// # Errors
/// Contradictory or unreadable framing headers: such a response could be split.
pub fn frame(head: &ResponseHead, buf: &[u8], to_head: bool) -> Result<Framed, ResponseError> {
    let mut length: Option<(HeaderSpan, u64)> = None;
    let mut encoding: Option<HeaderSpan> = None;
    let mut close = head.line.version < Version::HTTP_11;
    for &this in head.headers.iter().filter(|header| header.known != Known::Other) {
        let value = this.value.of(buf);
        match this.known {
            Known::ContentLength => {
                if let Some((first, _)) = length {
                    return Err(ResponseError::Duplicate { this, first });
                }
                let n = content_length(value).ok_or(ResponseError::InvalidLength { this })?;
                length = Some((this, n));
            }
            Known::TransferEncoding => {
                if let Some(first) = encoding {
                    return Err(ResponseError::Duplicate { this, first });
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(ResponseError::UnknownEncoding { value: this.value });
                }
                encoding = Some(this);
            }
            Known::Connection => close |= contains(value, b"close"),
            _ => {}
        }
    }
    if length.is_some() && encoding.is_some() {
        return Err(ResponseError::LengthAndEncoding);
    }
    let content_length = length.map(|(_, n)| n);
    let body = match (head.line.code, encoding, content_length) {
        (101, ..) => Body::Tunnel,
        (204 | 304, ..) => Body::None,
        _ if to_head => Body::None,
        (_, Some(_), _) => Body::Chunked,
        (_, None, Some(n)) => Body::Length(n),
        (_, None, None) => Body::UntilClose,
    };
    let keep_alive = !close && !matches!(body, Body::UntilClose | Body::Tunnel);
    Ok(Framed { body, content_length, keep_alive })
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
