//! HTTP/2 on a connection to an upstream server, one request at a time, as in nginx.

use base::clock;
use net::stream::Stream;
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use wire::chunked::Step;
use wire::h2::client::{Client, Event};

/// Bytes that one read may bring.
const READ: usize = 32 * 1024;
/// Most buffers for reading that a worker keeps for the next ones.
const MOST_SPARE: usize = 16;
/// Nothing is read while so many bytes wait to be sent: they are answers to what was read.
const MOST_UNSENT: usize = 256 * 1024;

thread_local!(static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });

/// Fields that HTTP/2 does not have (RFC 9113 section 8.2.2).
const FOREIGN: [&str; 5] = ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];

/// Whether a field says something of an HTTP/1 connection.
#[must_use]
pub fn is_foreign(name: &[u8]) -> bool {
    FOREIGN.iter().any(|foreign| name.eq_ignore_ascii_case(foreign.as_bytes()))
}

/// A connection with its frames.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    client: Client,
    /// What was read and has not been used.
    raw: Vec<u8>,
    /// What is to be sent, from `written` on.
    out: Vec<u8>,
    written: usize,
    /// Bytes sent for this request.
    sent: u64,
    ended: bool,
    fault: Option<Cow<'static, str>>,
    trailers: Vec<u8>,
}

impl Link {
    /// Frames on a new connection.
    #[must_use]
    pub fn new(stream: Stream) -> Link {
        let mut out = Vec::new();
        let client = Client::new(&mut out);
        Link { stream, client, raw: Vec::new(), out, written: 0, sent: 0, ended: false, fault: None, trailers: Vec::new() }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(super) fn begin(&mut self, limit: usize) {
        self.client.begin(limit);
        self.sent = 0;
        self.ended = false;
        self.trailers.clear();
    }

    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn is_unprocessed(&self) -> bool {
        self.client.is_unprocessed()
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.client.is_reusable() && self.raw.is_empty() && self.unsent() == 0
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    pub(super) fn shrink(&mut self) {
        self.client.shrink();
        (self.out, self.trailers) = (Vec::new(), Vec::new());
        self.written = 0;
        self.lend_buffer();
    }

    /// A buffer for reading, which an idle connection does not have.
    fn take_buffer(&mut self) {
        if self.raw.capacity() < READ {
            let spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(READ));
            let rest = std::mem::replace(&mut self.raw, spare);
            self.raw.extend_from_slice(&rest);
        }
    }

    fn lend_buffer(&mut self) {
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        // The worker may be on its way out.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if raw.capacity() == READ && spare.len() < MOST_SPARE {
                spare.push(raw);
            }
        });
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.out.len() - self.written
    }

    /// Bytes sent for this request.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Queues the request's head, given as lines; `end`: nothing follows.
    pub fn head(&mut self, lines: &[u8], end: bool) {
        self.client.head(fields(lines), end, &mut self.out);
    }

    /// Queues content as one frame, as much of it as the server takes, and returns how much that was.
    pub fn data(&mut self, data: &[u8], end: bool) -> usize {
        self.client.data(data, end, &mut self.out)
    }

    /// How much content the server takes now.
    #[must_use]
    pub fn quota(&self) -> usize {
        self.client.quota()
    }

    /// Sends what is queued; ready when all has left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let rest = self.out.get(self.written..).unwrap_or_default();
            let wrote = ready!(self.stream.poll_write_vectored(cx, &[IoSlice::new(rest)]))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += wrote;
            self.sent += wrote as u64;
        }
        self.out.clear();
        self.written = 0;
        self.client.flushed();
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>, input: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        // That nothing can be sent shows in what is read, if there is anything.
        if self.poll_flush(cx).is_pending() && self.unsent() > MOST_UNSENT {
            return Poll::Pending;
        }
        self.take_buffer();
        let count = ready!(self.stream.poll_read(cx, &mut self.raw))?;
        self.take(input);
        let _ = self.poll_flush(cx);
        Poll::Ready(Ok(count))
    }

    /// Takes the response out of its frames.
    fn take(&mut self, input: &mut Vec<u8>) {
        self.client.tick(clock::monotonic_ms() / 1000);
        let (mut used, mut kept) = (0, input.len());
        while self.fault.is_none() {
            match self.client.poll(self.raw.get(used..).unwrap_or_default(), &mut self.out) {
                Err(failure) => {
                    // What came with it is not passed on, so that nobody takes it for all, nor what is left for a response that has ended.
                    input.truncate(kept);
                    self.ended = false;
                    self.fault = Some(failure.text);
                }
                Ok(poll) => {
                    used += poll.used;
                    match poll.event {
                        None => break,
                        Some(Event::Head { status, end }) => {
                            push_head(status, self.client.fields().iter(), input);
                            kept = input.len();
                            self.ended = end;
                        }
                        Some(Event::Data { data, end }) => {
                            input.extend_from_slice(data);
                            self.ended = end;
                        }
                        Some(Event::Trailers) => {
                            push_lines(self.client.fields().iter(), &mut self.trailers);
                            self.ended = true;
                        }
                    }
                }
            }
        }
        self.raw.drain(..used.min(self.raw.len()));
    }

    pub(super) fn next(&self, left: &mut Option<u64>, input: &[u8]) -> Result<Step, Cow<'static, [u8]>> {
        let fixed = |line: &'static str| Err(Cow::Borrowed(line.as_bytes()));
        if !input.is_empty() {
            if let Some(left) = left {
                match left.checked_sub(input.len() as u64) {
                    Some(rest) => *left = rest,
                    None => return fixed("upstream sent response body larger than indicated content length"),
                }
            }
            return Ok(Step::Data { start: 0, end: input.len() });
        }
        match &self.fault {
            Some(line) => Err(Cow::Owned(line.clone().into_owned().into_bytes())),
            None if !self.ended => Ok(Step::Partial),
            None if left.is_some_and(|left| left > 0) => fixed("upstream prematurely closed stream"),
            None => Ok(Step::Done { end: 0 }),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.lend_buffer();
    }
}

/// The fields of a head that is given as lines.
fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, next) = rest.split_at_checked(end + 1)?;
        rest = next;
        let line = line.strip_suffix(b"\r\n")?;
        // A pseudo-header begins with a colon.
        let colon = 1 + line.iter().skip(1).position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((name, value.strip_prefix(b": ")?))
    })
}

/// Appends a head as HTTP/1 writes it.
fn push_head<'f>(status: u16, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    base::text::push_number(out, u64::from(status));
    if let Some(reason) = wire::status::reason(status) {
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    push_lines(fields.filter(|(name, _)| !name.starts_with(b":") && !is_foreign(name)), out);
    out.extend_from_slice(b"\r\n");
}

fn push_lines<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>, out: &mut Vec<u8>) {
    for (name, value) in fields {
        [name, b": ", value, b"\r\n"].into_iter().for_each(|part| out.extend_from_slice(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_lines_on_both_sides() {
        let lines = b":method: GET\r\n:path: /a:b\r\nx-empty: \r\nhost: a: b\r\n";
        let expected: [(&[u8], &[u8]); 4] = [(b":method", b"GET"), (b":path", b"/a:b"), (b"x-empty", b""), (b"host", b"a: b")];
        assert!(fields(lines).eq(expected));
        let mut out = Vec::new();
        let sent: [(&[u8], &[u8]); 3] = [(b":status", b"404"), (b"connection", b"close"), (b"x", b"y")];
        push_head(404, sent.into_iter(), &mut out);
        assert_eq!(out, b"HTTP/1.1 404 Not Found\r\nx: y\r\n\r\n");
    }
}
