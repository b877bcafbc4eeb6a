//! Receiving a request's body.

use super::connection::H1;
use crate::active::{Activity, NEVER};
use base::clock;
use http::Request;
use http::connection::{BodyError, BodyRead};
use http::core::default;
use std::io;
use std::task::{Context, Poll};

/// The rest of a body that is at least so long is received where it is wanted, past the input.
const LONG: u64 = 4096;

impl H1 {
    /// Appends bytes of the body to `out`, about `limit` at most.
    pub(crate) fn poll_upload(
        &self,
        cx: &mut Context<'_>,
        request: &Request,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<Result<BodyRead, BodyError>> {
        loop {
            match self.take_upload(request, out, limit) {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(Some(read)) => {
                    self.note_progress(if let BodyRead::Data(n) = read { n } else { 0 });
                    return Poll::Ready(Ok(read));
                }
                Ok(None) => {}
            }
            if self.watch.read_expired() || self.watch.evicted() {
                return Poll::Ready(Err(BodyError::TimedOut));
            }
            let mut most = self.direct(limit);
            let spare = (out.capacity() - out.len()) as u64;
            if spare >= LONG {
                most = most.min(out.capacity() - out.len());
            }
            let read = if most > 0 { self.poll_direct(cx, out, most) } else { self.poll_fill(cx) };
            match read {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(BodyError::Closed)),
                Poll::Ready(Ok(count)) if most > 0 => {
                    request.note_received(count as u64);
                    self.note_progress(count);
                    return Poll::Ready(Ok(BodyRead::Data(count)));
                }
                Poll::Ready(Ok(_)) => {
                    self.watch.read_by(NEVER);
                }
                Poll::Pending => {
                    self.await_body(request);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Takes what has come. The sizes of chunks are part of what the request sent.
    fn take_upload(&self, request: &Request, out: &mut Vec<u8>, limit: usize) -> Result<Option<BodyRead>, BodyError> {
        let mut input = self.input.borrow_mut();
        let before = input.unread().len();
        let left = usize::try_from(self.body.borrow().remaining()).unwrap_or(usize::MAX);
        let taken = self.body.borrow_mut().take(&mut input, limit, |data| {
            // With room for what is received behind it, so that it need not move for that.
            if out.capacity() == 0 && data.len() < left {
                out.reserve_exact(left.min(data.len().saturating_add(limit)));
            }
            out.extend_from_slice(data);
        });
        request.note_received((before - input.unread().len()) as u64);
        taken
    }

    fn note_progress(&self, count: usize) {
        self.watch.read_by(NEVER);
        self.watch.note_body(count as u64);
    }

    /// The client owes bytes of its body.
    fn await_body(&self, request: &Request) {
        if self.watch.activity() == Activity::Body {
            return;
        }
        self.watch.wait_for_body();
        if !request.flags.body_untimed.get() {
            let timeout = request.with_location(|l| l.core.client_body_timeout.unwrap_or(default::TIMEOUT));
            self.watch.read_by(clock::monotonic_ms().saturating_add(timeout));
        }
    }

    /// How many bytes may be received past the input, which is empty: what a socket gives is the body alone up to its end. 0: none.
    fn direct(&self, limit: usize) -> usize {
        let left = self.body.borrow().remaining();
        if left < LONG || self.input.borrow().ended || self.stream.borrow().tls().is_some() {
            return 0;
        }
        usize::try_from(left).unwrap_or(usize::MAX).min(limit)
    }

    fn poll_direct(&self, cx: &mut Context<'_>, out: &mut Vec<u8>, most: usize) -> Poll<io::Result<usize>> {
        let read = self.stream.borrow_mut().poll_read_at_most(cx, out, most);
        match &read {
            Poll::Ready(Ok(0)) => self.input.borrow_mut().ended = true,
            Poll::Ready(Ok(count)) => self.body.borrow_mut().note_read(*count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                // Who waits for the first byte holds no room for it.
                if out.is_empty() {
                    *out = Vec::new();
                }
                self.watch.wake_on_expiry(cx.waker());
            }
        }
        read
    }
}
