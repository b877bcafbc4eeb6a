//! The head of an HTTP/1 request, parsed as it arrives (RFC 9112 sections 2 to 5).

mod line;

use super::error::HeadError;
use super::header::{self, HeaderSpan, Line, Rules};
pub use super::limits::Limits;
use super::method::Method;
use super::repeat::LastHead;
use super::version::Version;
use crate::known::Known;
use crate::span::Span;
use crate::uri::shape::Shape;

/// What a call of [`Head::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// More bytes are needed.
    Partial,
    /// The client has named its host ([`Head::asked_host`]), and the limits are [by host](Limits::by_host): the rest of the head is read
    /// with those of that host.
    Named,
    /// The head is whole; the body or the next request starts at `len`.
    Complete {
        /// Length of the head in bytes, its empty line and any skipped line ends included.
        len: usize,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    RequestLine,
    Headers,
    Done,
}

/// A request head, and the state of its parser. Reusable: [`Head::reset`] keeps the capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The method as sent.
    pub method_span: Span,
    /// The request line without its end (`$request`).
    pub line: Span,
    /// The raw target from the path on (`$request_uri`).
    pub target: Span,
    /// What the target holds; see [`crate::uri::normal::normalise`].
    pub shape: Shape,
    /// The scheme of an absolute target; empty otherwise.
    pub schema: Span,
    /// Host and port of an absolute target or of CONNECT; it wins over `Host`.
    pub host: Option<Span>,
    /// `HTTP/1.1` as sent (`$server_protocol`), trailing spaces included; empty for HTTP/0.9.
    pub protocol: Span,
    /// The version.
    pub version: Version,
    /// The header lines in order of arrival, invalid ones included.
    pub headers: Vec<HeaderSpan>,
    at: At,
    /// Start of the line being read.
    start: usize,
    /// The line feed is not before this offset.
    scanned: usize,
    method_end: Option<usize>,
    room: u32,
    large_used: u32,
    counted: u32,
    /// Where the fields begin.
    fields: usize,
    last: LastHead,
}

/// For so many lines a head's memory is kept for the next one.
const USUAL_LINES: usize = 64;

impl Head {
    /// An empty head.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the head ready for the next request; nothing is freed.
    pub fn reset(&mut self) {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        if headers.capacity() > USUAL_LINES {
            // A connection does not carry about what one unusual head needed.
            headers = Vec::new();
        }
        *self = Self { headers, last: std::mem::take(&mut self.last), ..Self::default() };
    }

    /// Whether the request line has been understood.
    #[must_use]
    pub fn has_line(&self) -> bool {
        matches!(self.at, At::Headers | At::Done)
    }

    /// How many bytes whole lines have taken that were understood.
    #[must_use]
    pub fn parsed_length(&self) -> usize {
        if self.has_line() { self.start } else { 0 }
    }

    /// Whether no byte of this head has been looked at.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.at == At::Start && self.start == 0
    }

    /// Parses on. `buf` holds all bytes since the start of this head, at each call more of them;
    /// bytes that were looked at are not looked at again.
    ///
    /// # Errors
    /// [`HeadError`] says how to answer; the head must then be [`reset`](Self::reset).
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Status, HeadError> {
        if self.at == At::Start && !self.skip_line_ends(buf, limits)? {
            return Ok(Status::Partial);
        }
        if self.at == At::RequestLine {
            if !self.request_line(buf, limits)? {
                return Ok(Status::Partial);
            }
            if limits.by_host && self.host.is_some() {
                return Ok(Status::Named);
            }
        }
        if self.at == At::Headers && self.scanned == self.fields && !limits.by_host && self.repeat(buf, limits)? {
            return Ok(Status::Complete { len: self.start });
        }
        let rules = Rules { underscores: limits.underscores, upstream: false };
        while self.at == At::Headers {
            let seen = self.scanned;
            let Some(lf) = self.line_feed(buf, limits)? else {
                self.check_part(buf, seen, rules)?;
                return Ok(Status::Partial);
            };
            match header::parse(buf, self.start, lf, rules) {
                Ok(Line::Field(field)) => self.push(field, limits)?,
                Ok(_) => self.at = At::Done,
                Err(bad) => {
                    return Err(HeadError::InvalidHeader { before: bad.before, byte: bad.byte });
                }
            }
            self.start = lf + 1;
            self.scanned = self.start;
            if limits.by_host && self.headers.last().is_some_and(|field| field.known == Known::Host) {
                return Ok(Status::Named);
            }
            if self.at == At::Done {
                let section = buf.get(self.fields..self.start).unwrap_or_default();
                self.last.store(section, self.fields, &self.headers, limits);
            }
        }
        Ok(Status::Complete { len: self.start })
    }

    /// Takes the fields over from the last head of the connection if they are the same; whether they are.
    fn repeat(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, HeadError> {
        let rest = buf.get(self.fields..).unwrap_or_default();
        let last = std::mem::take(&mut self.last);
        let taken = match last.find(rest, limits) {
            Some((fields, length)) => self.take_over(fields, length, buf, limits).map(|()| true),
            None => Ok(false),
        };
        self.last = last;
        taken
    }

    fn take_over(&mut self, fields: &[HeaderSpan], length: usize, buf: &[u8], limits: &Limits) -> Result<(), HeadError> {
        let (base, end) = (self.fields, self.fields + length);
        // Lines are counted one by one only where not all of them fit into what is left of a buffer.
        let at_once = u32::try_from(length).ok().and_then(|length| self.room.checked_sub(length));
        for field in fields {
            let field = HeaderSpan { name: field.name.shifted(base), value: field.value.shifted(base), ..*field };
            if at_once.is_none() {
                // The line before this one ends where its name begins.
                self.count_line(field.name.start as usize, buf, limits)?;
            }
            self.push(field, limits)?;
        }
        if let Some(room) = at_once {
            self.room = room;
        } else {
            let tail =
                buf.get(..end).and_then(|head| head.strip_suffix(b"\n")).map_or(end, |head| head.strip_suffix(b"\r").unwrap_or(head).len());
            self.count_line(tail, buf, limits)?;
            self.count_line(end, buf, limits)?;
        }
        self.at = At::Done;
        (self.start, self.scanned) = (end, end);
        Ok(())
    }

    /// Counts the line that begins at `start` and ends before `end`, if there is one.
    fn count_line(&mut self, end: usize, buf: &[u8], limits: &Limits) -> Result<(), HeadError> {
        if end > self.start {
            self.check_line(end, buf, limits, false)?;
            self.start = end;
        }
        Ok(())
    }

    /// The host that the client asks for, as far as the head was read: of the target, else of `Host`.
    #[must_use]
    pub fn asked_host(&self) -> Option<Span> {
        self.host.or_else(|| self.header(Known::Host).map(|header| header.value))
    }

    /// The first header line with this id that is not dropped.
    #[must_use]
    pub fn header(&self, known: Known) -> Option<&HeaderSpan> {
        self.headers.iter().find(|header| header.known == known && header.valid)
    }

    fn skip_line_ends(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, HeadError> {
        let rest = buf.get(self.start..).unwrap_or(&[]);
        self.start += rest.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        // RFC 9112, 2.2 asks to skip one empty line; a client that sends only these is no client.
        if self.start > limits.first as usize {
            return Err(HeadError::InvalidRequest);
        }
        if self.start >= buf.len() {
            return Ok(false);
        }
        self.scanned = self.start;
        self.at = At::RequestLine;
        self.room = limits.first;
        Ok(true)
    }

    fn request_line(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, HeadError> {
        let end = match self.method_end {
            Some(end) => Some(end),
            None => line::method_end(buf, self.start, self.scanned.max(self.start))?,
        };
        self.method_end = end;
        let Some(end) = end else {
            self.check_line(buf.len(), buf, limits, true)?;
            self.scanned = buf.len();
            return Ok(false);
        };
        let seen = self.scanned;
        let Some(lf) = self.line_feed(buf, limits)? else {
            // nginx refuses it at this byte, whatever may follow.
            if buf.get(seen..).is_some_and(|fresh| fresh.contains(&0)) {
                line::parse(buf, self.start, end, buf.len(), self)?;
                return Err(HeadError::InvalidRequest);
            }
            return Ok(false);
        };
        line::parse(buf, self.start, end, lf, self)?;
        self.start = lf + 1;
        self.scanned = self.start;
        self.fields = self.start;
        self.at = if self.version.is_09() { At::Done } else { At::Headers };
        Ok(true)
    }

    /// Refuses a header line at a bad byte, as nginx does, though its end has not come. Bytes before `seen` have been looked at.
    fn check_part(&self, buf: &[u8], seen: usize, rules: Rules) -> Result<(), HeadError> {
        // What stands before them may be a carriage return, which is bad only if something follows.
        let fresh = buf.get(seen.saturating_sub(1).max(self.start)..).unwrap_or_default();
        if !fresh.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return Ok(());
        }
        // A carriage return at the end may belong to the line's end.
        let end = buf.len() - usize::from(buf.ends_with(b"\r"));
        match header::parse(buf, self.start, end, rules) {
            Err(bad) if (bad.before.end as usize) < end => Err(HeadError::InvalidHeader { before: bad.before, byte: bad.byte }),
            _ => Ok(()),
        }
    }

    fn line_feed(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
        let rest = buf.get(self.scanned..).unwrap_or(&[]);
        if let Some(found) = memchr::memchr(b'\n', rest) {
            let lf = self.scanned + found;
            self.check_line(lf + 1, buf, limits, false)?;
            return Ok(Some(lf));
        }
        self.check_line(buf.len(), buf, limits, true)?;
        self.scanned = buf.len();
        Ok(None)
    }

    /// Counts the line up to `end` against the buffers nginx would have.
    fn check_line(&mut self, end: usize, buf: &[u8], limits: &Limits, partial: bool) -> Result<(), HeadError> {
        let len = u32::try_from(end.saturating_sub(self.start)).unwrap_or(u32::MAX);
        if len <= self.room {
            if !partial {
                self.room -= len;
            }
            return Ok(());
        }
        if len <= limits.size && self.large_used < limits.number {
            if !partial {
                self.large_used += 1;
                self.room = limits.size - len;
            }
            return Ok(());
        }
        Err(self.too_large(end, buf))
    }

    fn too_large(&self, end: usize, buf: &[u8]) -> HeadError {
        if self.at == At::RequestLine {
            return HeadError::LongUri;
        }
        let line = Span::new(self.start, end.min(buf.len()));
        if self.headers.is_empty() && line.is_empty() {
            return HeadError::LargeRequest;
        }
        HeadError::LongHeader { line }
    }

    fn push(&mut self, mut field: HeaderSpan, limits: &Limits) -> Result<(), HeadError> {
        field.valid |= !limits.ignore_invalid;
        if field.valid {
            if self.counted >= limits.max_headers {
                return Err(HeadError::ManyHeaders);
            }
            self.counted += 1;
        }
        self.headers.push(field);
        Ok(())
    }
}
