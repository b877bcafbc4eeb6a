//! One HTTP/1 connection: the wire below its requests.

use super::body::BodyFraming;
use crate::active::{Entry, NEVER};
use crate::input::Input;
use crate::output::{Output, Sent};
use crate::pace::{Allowance, Pace};
use crate::protocol::Accepted;
use base::clock;
use http::core::default;
use http::{Connection, Downstream};
use net::stream::Stream;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Broken pipe.
pub(super) const EPIPE: i32 = 32;

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
    pub(super) cause: Cell<i32>,
    /// What was queued then.
    pub(super) unsent: Cell<u64>,
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
}
