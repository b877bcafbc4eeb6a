//! Sends a request: head and body with as few writes as the socket allows, while the response may already be arriving.

mod frames;

use http::body::{self, Body, BodyState, TempFile};
use http::connection::BodyRead;
use http::{Outcome, Request};
use net::stream::Stream;
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use wire::chunked::{CHUNK_END, CHUNK_END_AND_LAST, LAST, SizeLine};
use wire::fastcgi::request::{self as records, HEADER};

use crate::channel::Channel;
use crate::dialect::{Encoded, Envelope};
use base::saturated::Saturated;

/// Bytes of a streamed body that are held at a time.
const STREAM_BUFFER: usize = 16 * 1024;

/// The body to be sent.
#[derive(Clone, Default)]
pub enum Source {
    /// None.
    #[default]
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

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Upstream(error) | SendError::File(error) => error.fmt(f),
            SendError::Client(outcome) => write!(f, "the client's body failed: {outcome:?}"),
        }
    }
}

impl std::error::Error for SendError {}

/// The state of sending one request over one connection.
#[derive(Default)]
pub struct Sender {
    source: Source,
    envelope: Envelope,
    /// What follows the body.
    tail: &'static [u8],
    /// Bytes of the head that have left.
    head: usize,
    /// Bytes of the body that have left.
    body: u64,
    /// The header of the record that is being sent.
    lead: [u8; HEADER],
    /// Bytes of it that have left.
    lead_sent: usize,
    /// Where in the body that record ends.
    until: u64,
    /// What the client has sent before this began, while it is being written as it is.
    early: Option<Rc<Vec<u8>>>,
    buffer: Vec<u8>,
    /// What stands before either and behind it.
    frame: (Option<SizeLine>, &'static [u8]),
    /// Bytes of it and its frame that have left.
    written: usize,
    client_ended: bool,
    /// All of it is in frames.
    queued: bool,
    done: bool,
    /// Segments that are not full leave at once.
    prompt: bool,
    /// Bytes that have left in all.
    pub sent: u64,
    /// Client bytes were taken: the request cannot be sent again.
    pub consumed: bool,
}

impl Sender {
    /// Sends `source` after the head, wrapped and followed by what `encoded` says.
    #[must_use]
    pub fn new(source: Source, encoded: &Encoded) -> Sender {
        let envelope = encoded.envelope;
        let mut buffer = Vec::new();
        let mut early = None;
        let mut body = 0;
        let mut length = 0;
        match &source {
            Source::Client(came) => {
                body = came.len() as u64;
                match envelope {
                    Envelope::Records => records::push_body(&mut buffer, came),
                    Envelope::Bare | Envelope::Chunks => early = Some(Rc::clone(came)),
                }
            }
            Source::Nothing => {}
            Source::Memory(body) => length = body.with_data(|data| data.len() as u64),
            Source::File(_, size) => length = *size,
            Source::Own(bytes) => length = bytes.len() as u64,
        }
        let in_records = envelope == Envelope::Records;
        Sender {
            source,
            envelope,
            tail: if in_records { records::body_end(length) } else { encoded.tail },
            head: 0,
            body,
            lead: [0; HEADER],
            lead_sent: HEADER,
            until: if in_records { 0 } else { u64::MAX },
            frame: frame(envelope, body, false),
            early,
            buffer,
            written: 0,
            client_ended: false,
            queued: false,
            done: false,
            prompt: false,
            sent: 0,
            consumed: false,
        }
    }

    /// Begins the body's next record once the last one has left.
    fn open_record(&mut self, length: u64) {
        if self.envelope != Envelope::Records || self.body < self.until || self.lead_sent < HEADER || self.body >= length {
            return;
        }
        let size = u16::saturated(length - self.body).min(records::BODY);
        self.lead = records::body_header(size);
        self.lead_sent = 0;
        self.until = self.body + u64::from(size);
    }

    /// Whether bytes of the request's body may still come from the client: they would be mistaken for its end.
    #[must_use]
    pub(crate) fn takes_from_client(&self) -> bool {
        matches!(self.source, Source::Client(_)) && !self.client_ended
    }

    /// Everything has left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Sends on; ready when everything has left. `head` is the request's head.
    pub fn poll(&mut self, cx: &mut Context<'_>, channel: &mut Channel, head: &[u8], request: &Rc<Request>) -> Poll<Result<(), SendError>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        let result = match channel {
            Channel::Bytes(stream) => ready!(self.poll_bytes(cx, stream, head, request)),
            Channel::Frames(link) => ready!(self.poll_frames(cx, link, head, request)),
        };
        self.done = result.is_ok();
        Poll::Ready(result)
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, stream: &mut Stream, head: &[u8], request: &Rc<Request>) -> Poll<Result<(), SendError>> {
        let source = self.source.clone();
        let in_pieces = self.sent > 0 || matches!(source, Source::File(..) | Source::Client(_));
        if in_pieces && !std::mem::replace(&mut self.prompt, true) {
            // Small writes must not wait for acknowledgements; a request that leaves in one does not. It may be closed already.
            let _ = stream.set_no_delay(true);
        }
        match &source {
            Source::Nothing => self.poll_memory(cx, stream, head, &[], true),
            Source::Own(bytes) => self.poll_memory(cx, stream, head, bytes, true),
            Source::Memory(body) => body.with_data(|data| self.poll_memory(cx, stream, head, data, true)),
            Source::File(file, length) => self.poll_file(cx, stream, head, file, *length),
            Source::Client(_) => self.poll_client(cx, stream, head, request),
        }
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
            let length = data.len() as u64;
            self.open_record(length);
            let tail = if is_end && self.until >= length { self.tail } else { &[] };
            let first = head.get(self.head..).unwrap_or_default();
            let lead = self.lead.get(self.lead_sent..).unwrap_or_default();
            let until = usize::try_from(self.until.min(length)).unwrap_or(data.len());
            let second = usize::try_from(self.body).ok().and_then(|b| data.get(b..until)).unwrap_or_default();
            if first.is_empty() && lead.is_empty() && second.is_empty() && tail.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let pieces = [IoSlice::new(first), IoSlice::new(lead), IoSlice::new(second), IoSlice::new(tail)];
            let wrote = ready!(poll_write(cx, stream, &pieces))?;
            self.sent += wrote as u64;
            let of_head = wrote.min(first.len());
            let of_lead = (wrote - of_head).min(lead.len());
            let of_body = (wrote - of_head - of_lead).min(second.len());
            self.head += of_head;
            self.lead_sent += of_lead;
            self.body += of_body as u64;
            self.tail = self.tail.get(wrote - of_head - of_lead - of_body..).unwrap_or_default();
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
        loop {
            self.open_record(length);
            // The head of the request, or of the record.
            if let Err(error) = ready!(self.poll_memory(cx, stream, head, &[], false)) {
                return Poll::Ready(Err(error));
            }
            if self.body >= length {
                break;
            }
            let left = self.until.min(length) - self.body;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 20);
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
            let (line, end) = (self.frame.0.as_ref().map_or(&[][..], SizeLine::as_bytes), self.frame.1);
            let mut written = self.written;
            let mut rest = |part: &[u8]| {
                let gone = written.min(part.len());
                written -= gone;
                gone
            };
            let data = self.early.as_deref().unwrap_or(&self.buffer);
            let first = head.get(self.head..).unwrap_or_default();
            let [line, data, end] = [line, data, end].map(|part| part.get(rest(part)..).unwrap_or_default());
            if !(first.is_empty() && line.is_empty() && data.is_empty() && end.is_empty()) {
                let pieces = [first, line, data, end].map(IoSlice::new);
                let wrote = ready!(poll_write(cx, stream, &pieces))?;
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
        self.early = None;
        self.frame = (None, &[]);
        self.written = 0;
        let mut data = std::mem::take(&mut self.buffer);
        data.clear();
        let polled = self.poll_body(cx, request, &mut data);
        self.buffer = data;
        ready!(polled)?;
        self.frame = frame(self.envelope, self.buffer.len() as u64, self.client_ended);
        if self.envelope == Envelope::Records {
            let mut framed = Vec::new();
            records::push_body(&mut framed, &self.buffer);
            self.buffer = framed;
        }
        Poll::Ready(Ok(()))
    }

    /// Appends what is there of the client's body to `data`; pending while that is empty.
    fn poll_body(&mut self, cx: &mut Context<'_>, request: &Rc<Request>, data: &mut Vec<u8>) -> Poll<Result<(), Outcome>> {
        while !self.client_ended && data.len() < STREAM_BUFFER {
            match request.wire.poll_body(cx, request, data, STREAM_BUFFER) {
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
        Poll::Ready(Ok(()))
    }

    /// Counts bytes taken from the client; an outcome refuses more.
    fn account(&mut self, request: &Request, n: u64) -> Option<Outcome> {
        self.consumed = true;
        self.body += n;
        body::too_large(request, self.body, n, request.core().client_max_body_size.unwrap_or(http::core::default::MAX_BODY))
    }
}

/// What stands around so many bytes of a body whose length the upstream does not know.
fn frame(envelope: Envelope, length: u64, is_end: bool) -> (Option<SizeLine>, &'static [u8]) {
    match (envelope, length, is_end) {
        (Envelope::Records, _, true) => (None, records::body_end(0)),
        (Envelope::Bare | Envelope::Records, ..) | (Envelope::Chunks, 0, false) => (None, &[]),
        (Envelope::Chunks, 0, true) => (None, LAST),
        (Envelope::Chunks, _, false) => (Some(SizeLine::new(length)), CHUNK_END),
        (Envelope::Chunks, _, true) => (Some(SizeLine::new(length)), CHUNK_END_AND_LAST),
    }
}

/// Writes some of the pieces; a stream that takes nothing has failed.
fn poll_write(cx: &mut Context<'_>, stream: &mut Stream, pieces: &[IoSlice<'_>]) -> Poll<Result<usize, SendError>> {
    Poll::Ready(match ready!(stream.poll_write_vectored(cx, pieces)) {
        Ok(0) => Err(SendError::Upstream(io::ErrorKind::WriteZero.into())),
        other => other.map_err(SendError::Upstream),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_part_of_a_body() {
        for (envelope, length, is_end, before, behind) in [
            (Envelope::Bare, 5, false, "", ""),
            (Envelope::Bare, 5, true, "", ""),
            (Envelope::Chunks, 0, false, "", ""),
            (Envelope::Chunks, 0, true, "", "0\r\n\r\n"),
            (Envelope::Chunks, 26, false, "1a\r\n", "\r\n"),
            (Envelope::Chunks, 26, true, "1a\r\n", "\r\n0\r\n\r\n"),
            (Envelope::Records, 5, false, "", ""),
        ] {
            let (line, end) = frame(envelope, length, is_end);
            let line = line.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).unwrap_or_default();
            assert_eq!((line.as_str(), end), (before, behind.as_bytes()), "{envelope:?} {length} {is_end}");
        }
        assert_eq!(frame(Envelope::Records, 5, true).1, records::body_end(0));
    }
}
