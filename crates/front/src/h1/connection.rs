//! One HTTP/1 connection: the wire below its requests.

use super::body::BodyFraming;
use super::head_out;
use super::raw::Raw;
use crate::active::{Entry, NEVER};
use crate::input::Input;
use crate::output::{Output, Sent};
use crate::pace::{Allowance, Pace};
use crate::protocol::Accepted;
use crate::request::keepalive_allowed;
use base::clock;
use http::chain::{Chain, Piece};
use http::connection::{BodyError, BodyRead};
use http::core::default;
use http::tunnel::Tunnel;
use http::{Connection, Downstream, Headers, Request};
use net::stream::Stream;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::chunked::{CHUNK_END, LAST, LAST_WITH_TRAILERS, SizeLine};

/// Broken pipe.
const EPIPE: i32 = 32;

/// Runs of so many bytes are worth a system call of their own.
const DIRECT: usize = 16 * 1024;

/// So much of an unread body is taken in while looking whether the client is still there.
const EARLY_BODY: usize = 16 * 1024;

/// The connection's state; requests hold it as their wire.
pub struct H1 {
    /// The socket.
    pub stream: RefCell<Stream>,
    /// What is known of the client.
    pub info: Rc<Connection>,
    /// Bytes received.
    pub input: RefCell<Input>,
    /// Bytes to send.
    pub output: RefCell<Output>,
    /// The body being read.
    pub body: RefCell<BodyFraming>,
    /// Place among the active connections.
    pub watch: Entry,
    /// The response being sent is in chunks.
    pub chunked: Cell<bool>,
    /// A flush was requested.
    pub flush: Cell<bool>,
    /// Writing has failed: nothing more is queued.
    pub broken: Cell<bool>,
    /// Why, as an error number; 0: the time for it was up.
    cause: Cell<i32>,
    /// What was queued then.
    unsent: Cell<u64>,
    /// `send_timeout` of the request being answered, milliseconds.
    pub send_timeout: Cell<u64>,
    /// `TCP_NODELAY` has been set.
    pub no_delay: Cell<bool>,
    /// How fast the response may leave.
    pub pace: Pace,
}

impl H1 {
    /// A connection with nothing sent.
    pub fn new(opened: Accepted) -> H1 {
        H1 {
            stream: RefCell::new(opened.stream),
            info: opened.info,
            input: RefCell::new(opened.input),
            output: RefCell::default(),
            body: RefCell::default(),
            watch: opened.watch,
            chunked: Cell::new(false),
            flush: Cell::new(false),
            broken: Cell::new(false),
            cause: Cell::new(EPIPE),
            unsent: Cell::new(0),
            send_timeout: Cell::new(default::TIMEOUT),
            no_delay: Cell::new(opened.no_delay),
            pace: Pace::default(),
        }
    }

    /// Sends what the socket takes and the pace allows.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn try_send(&self) -> io::Result<Sent> {
        if self.broken.get() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let before = self.output.borrow().queued();
        let now = clock::now();
        let limit = match self.pace.allowance(now) {
            Allowance::Bytes(limit) => limit,
            Allowance::NotBefore(_) if before == 0 => u64::MAX,
            Allowance::NotBefore(time) => {
                self.watch.write_by(NEVER);
                self.watch.pause_until(time);
                return Ok(Sent::Enough);
            }
        };
        let result = self.output.borrow_mut().send(&self.stream.borrow(), limit);
        let after = self.output.borrow().queued();
        self.pace.note_sent(before - after, now);
        match &result {
            Ok(Sent::All) => {
                self.flush.set(false);
                self.watch.write_by(NEVER);
            }
            Ok(Sent::Enough) => self.watch.write_by(NEVER),
            Ok(Sent::Blocked) if after < before || !self.watch.is_writing() => {
                self.watch.write_by(clock::monotonic_ms().saturating_add(self.send_timeout.get()));
            }
            Ok(Sent::Blocked) => {}
            Err(error) => {
                self.cause.set(error.raw_os_error().unwrap_or(EPIPE));
                self.break_off();
            }
        }
        result
    }

    fn why_broken(&self) -> io::Error {
        match self.cause.get() {
            0 => ErrorKind::TimedOut.into(),
            number => io::Error::from_raw_os_error(number),
        }
    }

    /// The connection closes: TLS says so.
    pub(crate) fn say_goodbye(&self) {
        if !self.broken.get() {
            // A client that takes nothing more sees the connection closed.
            let _ = self.stream.borrow().close_notify();
        }
    }

    /// Nothing can be sent any more.
    pub(crate) fn break_off(&self) {
        self.broken.set(true);
        self.unsent.set(self.unsent.get() + self.output.borrow().queued());
        self.output.borrow_mut().clear();
        self.watch.write_by(NEVER);
    }

    /// Sends until at most `below` bytes wait.
    pub fn poll_send(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        loop {
            if self.broken.get() {
                return Poll::Ready(Err(self.why_broken()));
            }
            if self.output.borrow().queued() <= below {
                return Poll::Ready(Ok(()));
            }
            let sent = match self.try_send() {
                Ok(sent) => sent,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if self.output.borrow().queued() <= below {
                return Poll::Ready(Ok(()));
            }
            if self.watch.write_expired() || sent == Sent::Blocked && self.watch.evicted() {
                self.cause.set(0);
                self.break_off();
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            self.watch.wake_on_expiry(cx.waker());
            if sent == Sent::Enough {
                if !self.watch.is_paused() {
                    // Others have their turn first.
                    cx.waker().wake_by_ref();
                } else if self.poll_gone(cx).is_ready() {
                    // No write tells that the client has left.
                    self.break_off();
                    return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
                }
                return Poll::Pending;
            }
            match self.stream.borrow_mut().poll_write_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads what has arrived into the input. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let body = usize::try_from(self.body.borrow().remaining()).unwrap_or(usize::MAX);
        let read = self.input.borrow_mut().poll_fill_with(&mut self.stream.borrow_mut(), cx, body);
        if read.is_pending() {
            self.watch.wake_on_expiry(cx.waker());
        }
        read
    }

    /// The client waits for a word before it sends its body, and the response comes without it: whether the body follows then is not
    /// known, so nothing can follow the response.
    fn awaits_continue(&self, request: &Request) -> bool {
        request.flags.expects_continue.get() && !self.body.borrow().is_done() && self.input.borrow().unread().is_empty()
    }

    fn append_chunk(&self, length: u64, append: impl FnOnce(&mut Output)) {
        let mut output = self.output.borrow_mut();
        if self.chunked.get() {
            output.push_slice(SizeLine::new(length).as_bytes());
            append(&mut output);
            output.push_slice(CHUNK_END);
        } else {
            append(&mut output);
        }
    }

    fn end_body(&self, request: &Request) {
        if !self.chunked.get() || request.flags.header_only.get() {
            return;
        }
        let response = request.response.borrow();
        let mut output = self.output.borrow_mut();
        if response.trailers.is_empty() {
            output.push_slice(LAST);
        } else {
            output.push_slice(LAST_WITH_TRAILERS);
            for (name, value) in response.trailers.iter() {
                output.push_slice(&[name, b": ", value, b"\r\n"].concat());
            }
            output.push_slice(b"\r\n");
        }
    }

    /// Offers a large run to the socket before any of it is copied.
    fn write_through(&self, request: &Request, data: &[IoSlice<'_>], length: u64, before: u64) {
        self.pace.update(request);
        let (mut left, mut failed) = (0, None);
        self.append_chunk(length, |output| {
            let gathered = output.queued();
            let stream = self.stream.borrow();
            // What TLS has sealed has to be offered again as it was.
            let may = stream.tls().is_none() && !self.watch.is_writing() && self.pace.allows(gathered + length);
            let sent = if may { output.send_through(&stream, data) } else { Ok(0) };
            let mut sent = sent.unwrap_or_else(|error| {
                failed = Some(error.raw_os_error().unwrap_or(EPIPE));
                0
            });
            left = gathered - output.queued() + sent as u64;
            for piece in data {
                let of_it = sent.min(piece.len());
                sent -= of_it;
                output.push_slice(piece.get(of_it..).unwrap_or_default());
            }
        });
        let added = self.output.borrow().queued() + left - before;
        request.bytes_sent.set(request.bytes_sent.get() + added);
        if let Some(cause) = failed {
            self.cause.set(cause);
            self.break_off();
        }
    }

    fn account(&self, request: &Request, before: u64) {
        self.pace.update(request);
        let added = self.output.borrow().queued() - before;
        request.bytes_sent.set(request.bytes_sent.get() + added);
    }
}

impl Downstream for H1 {
    fn write_head(&self, request: &Request) {
        if self.broken.get() {
            return;
        }
        if self.awaits_continue(request) {
            request.flags.keepalive.set(false);
        }
        // The location is known now, and the worker may have begun to leave.
        if request.flags.keepalive.get() && !request.with_location(|l| keepalive_allowed(request, &l.core)) {
            request.flags.keepalive.set(false);
        }
        let before = self.output.borrow().queued();
        self.pace.begin(request, clock::now());
        self.watch.pause_until(NEVER);
        self.output.borrow_mut().join_head_and_file(request.with_location(|l| l.core.tcp_nopush.unwrap_or(false)));
        self.chunked.set(head_out::write(&mut self.output.borrow_mut(), request));
        if request.flags.header_only.get() {
            self.flush.set(true);
        }
        self.account(request, before);
        request.header_size.set(self.output.borrow().queued() - before);
        self.send_timeout.set(request.with_location(|l| l.core.send_timeout.unwrap_or(default::TIMEOUT)));
    }

    fn write(&self, request: &Request, data: &[u8]) {
        self.write_pieces(request, &[IoSlice::new(data)]);
    }

    fn write_pieces(&self, request: &Request, pieces: &[IoSlice<'_>]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length == 0 || self.broken.get() {
            return;
        }
        let before = self.output.borrow().queued();
        if length >= DIRECT {
            return self.write_through(request, pieces, length as u64, before);
        }
        self.append_chunk(length as u64, |output| pieces.iter().for_each(|piece| output.push_slice(piece)));
        self.account(request, before);
    }

    fn write_chain(&self, request: &Request, chain: Chain) {
        if self.broken.get() {
            return;
        }
        let before = self.output.borrow().queued();
        let length = chain.len();
        if length > 0 {
            self.append_chunk(length, |output| chain.pieces.into_iter().for_each(|piece: Piece| output.push(piece)));
        }
        if chain.last {
            self.end_body(request);
        }
        // The end of a response leaves as soon as what comes next must wait.
        if chain.flush || chain.last {
            self.flush.set(true);
        }
        self.account(request, before);
    }

    fn write_interim(&self, request: &Request, status: u16, headers: &Headers) {
        let reason = match status {
            100 => "Continue",
            103 => "Early Hints",
            _ => wire::status::reason(status).unwrap_or_default(),
        };
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
        headers.lines().for_each(|(_, line)| head.extend_from_slice(line));
        head.extend_from_slice(b"\r\n");
        let before = self.output.borrow().queued();
        self.output.borrow_mut().push_slice(&head);
        self.account(request, before);
        // A failure shows at the next read or write.
        let _ = self.try_send();
    }

    fn queued(&self) -> u64 {
        self.output.borrow().queued()
    }

    fn unsent(&self) -> u64 {
        self.unsent.get()
    }

    fn poll_drain(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        self.poll_send(cx, below)
    }

    fn poll_body(&self, cx: &mut Context<'_>, request: &Request, out: &mut Vec<u8>, limit: usize) -> Poll<Result<BodyRead, BodyError>> {
        self.poll_upload(cx, request, out, limit)
    }

    fn body_at_hand(&self) -> u64 {
        self.body.borrow().remaining().min(self.input.borrow().unread().len() as u64)
    }

    fn has_bad_body(&self) -> bool {
        self.body.borrow().is_bad(self.input.borrow().unread())
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken.get() {
            return Poll::Ready(());
        }
        loop {
            {
                let input = self.input.borrow();
                if input.ended {
                    return Poll::Ready(());
                }
                // Bytes of the next request are a sign of life. The request's own body, as long as nobody reads it, is none;
                // but a large one is not read on.
                let (waiting, own) = (input.unread().len(), self.body.borrow().remaining());
                if waiting as u64 > own || waiting > EARLY_BODY {
                    return Poll::Pending;
                }
            }
            match self.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    fn tunnel(&self, request: &Request) -> Option<Rc<dyn Tunnel>> {
        let raw = Raw::new(request.wire.clone())?;
        self.watch.read_by(NEVER);
        if !self.no_delay.get() && request.with_location(|l| l.core.tcp_nodelay.unwrap_or(true)) {
            // Only costs latency if it fails.
            self.no_delay.set(self.stream.borrow().set_no_delay(true).is_ok());
        }
        Some(Rc::new(raw))
    }

    fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn with_descriptor(&self, f: &mut dyn FnMut(BorrowedFd<'_>)) {
        // Without a descriptor there is nothing to ask.
        let _ = self.stream.borrow().descriptor().map(f);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
