//! Sends a request: head and body with as few writes as the socket allows, while the answer may already be arriving.

use http::body::{self, Body, BodyState, TempFile};
use http::connection::BodyRead;
use http::{Outcome, Request, log_request};
use net::stream::Stream;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use wire::chunked::{CHUNK_END, LAST, SizeLine};

use crate::dialect::Sent;
use base::log::Level;

/// Bytes of a streamed body that are held at a time.
const STREAM_BUFFER: usize = 16 * 1024;

/// The body to be sent.
#[derive(Clone)]
pub enum Source {
    /// None.
    Nothing,
    /// In memory.
    Memory(Rc<Body>),
    /// In a file, of this many bytes.
    File(Rc<TempFile>, u64),
    /// Given by the configuration.
    Own(Rc<Vec<u8>>),
    /// Still coming from the client; these bytes are here already.
    Client(Rc<Vec<u8>>),
}

/// Why sending stopped.
#[derive(Debug)]
pub enum SendError {
    /// The upstream takes no more.
    Upstream(io::Error),
    /// The client's body ended in an error; this answers the client.
    Client(Outcome),
    /// The file with the body cannot be read.
    File(io::Error),
}

/// The state of sending one request over one connection.
pub struct Sender {
    source: Source,
    chunked: bool,
    /// What follows the body.
    tail: &'static [u8],
    /// Bytes of the head that have left.
    head: usize,
    /// Bytes of the body that have left.
    body: u64,
    buffer: Vec<u8>,
    written: usize,
    client_ended: bool,
    done: bool,
    /// Bytes that have left in all.
    pub sent: u64,
    /// Client bytes were taken: the request cannot be sent again.
    pub consumed: bool,
}

impl Sender {
    /// Sends `source` after the head, and `tail` after that.
    #[must_use]
    pub fn new(source: Source, framing: Sent, tail: &'static [u8]) -> Sender {
        let chunked = framing == Sent::Stream;
        let mut buffer = Vec::new();
        let mut body = 0;
        if let Source::Client(early) = &source {
            push_framed(&mut buffer, early, chunked);
            body = early.len() as u64;
        }
        Sender { source, chunked, tail, head: 0, body, buffer, written: 0, client_ended: false, done: false, sent: 0, consumed: false }
    }

    /// Everything has left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Sends on; ready when everything has left. `head` is the request's head.
    pub fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream, head: &[u8], request: &Rc<Request>) -> Poll<Result<(), SendError>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        let source = self.source.clone();
        let result = match &source {
            Source::Nothing => ready!(self.poll_memory(cx, stream, head, &[], true)),
            Source::Own(bytes) => ready!(self.poll_memory(cx, stream, head, bytes, true)),
            Source::Memory(body) => ready!(body.with_data(|data| self.poll_memory(cx, stream, head, data, true))),
            Source::File(file, length) => ready!(self.poll_file(cx, stream, head, file, *length)),
            Source::Client(_) => ready!(self.poll_client(cx, stream, head, request)),
        };
        self.done = result.is_ok();
        Poll::Ready(result)
    }

    /// Sends what is in memory: the head, `data`, and if it is the end the tail.
    fn poll_memory(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        head: &[u8],
        data: &[u8],
        is_end: bool,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let tail = if is_end { self.tail } else { &[] };
            let first = head.get(self.head..).unwrap_or_default();
            let second = usize::try_from(self.body).ok().and_then(|b| data.get(b..)).unwrap_or_default();
            if first.is_empty() && second.is_empty() && tail.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let pieces = [IoSlice::new(first), IoSlice::new(second), IoSlice::new(tail)];
            let wrote = match ready!(stream.poll_write_vectored(cx, &pieces)) {
                Ok(0) => return Poll::Ready(Err(SendError::Upstream(io::ErrorKind::WriteZero.into()))),
                Ok(n) => n,
                Err(error) => return Poll::Ready(Err(SendError::Upstream(error))),
            };
            self.sent += wrote as u64;
            let of_head = wrote.min(first.len());
            let of_body = (wrote - of_head).min(second.len());
            self.head += of_head;
            self.body += of_body as u64;
            self.tail = self.tail.get(wrote - of_head - of_body..).unwrap_or_default();
        }
    }

    fn poll_file(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        head: &[u8],
        file: &TempFile,
        length: u64,
    ) -> Poll<Result<(), SendError>> {
        if let Err(error) = ready!(self.poll_memory(cx, stream, head, &[], false)) {
            return Poll::Ready(Err(error));
        }
        while self.body < length {
            let count = usize::try_from(length - self.body).unwrap_or(usize::MAX).min(1 << 20);
            match ready!(stream.poll_send_file(cx, &*file.file, self.body, count)) {
                Ok(0) => return Poll::Ready(Err(SendError::File(io::ErrorKind::UnexpectedEof.into()))),
                Ok(n) => {
                    self.body += n as u64;
                    self.sent += n as u64;
                }
                Err(error) => return Poll::Ready(Err(SendError::Upstream(error))),
            }
        }
        self.poll_memory(cx, stream, head, &[], true)
    }

    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        head: &[u8],
        request: &Rc<Request>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let rest = self.buffer.get(self.written..).unwrap_or_default();
            let first = head.get(self.head..).unwrap_or_default();
            if !first.is_empty() || !rest.is_empty() {
                let pieces = [IoSlice::new(first), IoSlice::new(rest)];
                let wrote = match ready!(stream.poll_write_vectored(cx, &pieces)) {
                    Ok(0) => return Poll::Ready(Err(SendError::Upstream(io::ErrorKind::WriteZero.into()))),
                    Ok(n) => n,
                    Err(error) => return Poll::Ready(Err(SendError::Upstream(error))),
                };
                self.sent += wrote as u64;
                let of_head = wrote.min(first.len());
                self.head += of_head;
                self.written += wrote - of_head;
                continue;
            }
            if self.client_ended {
                return Poll::Ready(Ok(()));
            }
            if let Err(outcome) = ready!(self.poll_take(cx, request)) {
                return Poll::Ready(Err(SendError::Client(outcome)));
            }
        }
    }

    /// Takes what is there of the client's body, framed for the upstream as one chunk.
    fn poll_take(&mut self, cx: &mut Context<'_>, request: &Rc<Request>) -> Poll<Result<(), Outcome>> {
        self.buffer.clear();
        self.written = 0;
        let mut data = Vec::new();
        while !self.client_ended && data.len() < STREAM_BUFFER {
            match request.wire.poll_body(cx, request, &mut data, STREAM_BUFFER) {
                Poll::Ready(Ok(BodyRead::End)) => {
                    self.client_ended = true;
                    request.body.borrow().set_state(BodyState::Discarded);
                }
                Poll::Ready(Ok(BodyRead::Data(n))) => {
                    if let Some(refused) = self.account(request, n as u64) {
                        return Poll::Ready(Err(refused));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(body::refusal(request, error))),
                Poll::Pending if data.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        push_framed(&mut self.buffer, &data, self.chunked);
        if self.client_ended && self.chunked {
            self.buffer.extend_from_slice(LAST);
        }
        Poll::Ready(Ok(()))
    }

    /// Counts bytes taken from the client; an outcome refuses more.
    fn account(&mut self, request: &Request, n: u64) -> Option<Outcome> {
        self.consumed = true;
        self.body += n;
        request.request_length.set(request.request_length.get() + n);
        let max = request.core().client_max_body_size.unwrap_or(http::core::default::MAX_BODY);
        if max == 0 || self.body <= max {
            return None;
        }
        log_request!(request, Level::Error, "client intended to send too large chunked body: {} bytes", self.body);
        Some(Outcome::Status(413))
    }
}

/// Appends body bytes as the upstream shall see them.
fn push_framed(out: &mut Vec<u8>, data: &[u8], chunked: bool) {
    if !chunked {
        out.extend_from_slice(data);
    } else if !data.is_empty() {
        out.extend_from_slice(SizeLine::new(data.len() as u64).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}
