//! What a request sees of its stream.

use super::Stream;
use super::state::{BodyState, ResponseState};
use crate::active::Watch;
use crate::streams::carrier::Carrier;
use crate::streams::head;
use base::clock;
use base::log::Level;
use http::chain::{Chain, Piece};
use http::connection::{BodyError, BodyRead};
use http::core::default;
use http::tunnel::Tunnel;
use http::{Downstream, Headers, Request};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};

impl<C: Carrier> Downstream for Stream<C> {
    fn write_head(&self, request: &Request) {
        if self.reset.get() {
            return;
        }
        self.pace.begin(request, clock::now());
        self.stop_waiting(Watch::pause_until);
        request.with_location(|location| {
            self.send_timeout.set(location.core.send_timeout.unwrap_or(default::TIMEOUT));
            self.chunk.set(self.conn.chunk(location));
        });
        let (size, end) = head::write(&*self.conn, self.id, &self.own, self.extended.get(), request);
        self.refused.set(request.response.borrow().status >= 400);
        if end {
            self.response_state.set(ResponseState::Ended);
        }
        let size = size as u64;
        request.header_size.set(size);
        request.bytes_sent.set(request.bytes_sent.get() + size);
        if request.flags.header_only.get() {
            self.flush.set(true);
        }
    }

    fn write(&self, request: &Request, data: &[u8]) {
        if self.reset.get() || self.is_ended() {
            return;
        }
        let before = self.output.borrow().queued();
        self.output.borrow_mut().push_slice(data);
        self.account(request, before);
    }

    fn write_chain(&self, request: &Request, chain: Chain) {
        if self.reset.get() || self.is_ended() {
            return;
        }
        let before = self.output.borrow().queued();
        chain.pieces.into_iter().for_each(|piece: Piece| self.output.borrow_mut().push(piece));
        if chain.last && !self.complete() {
            self.keep_trailers(request);
        }
        if chain.flush || chain.last {
            self.flush.set(true);
        }
        self.account(request, before);
    }

    fn write_interim(&self, _: &Request, status: u16, headers: &Headers) {
        head::write_interim(&*self.conn, self.id, &self.own, status, headers);
        self.conn.hub().kick();
    }

    fn is_blocked(&self) -> bool {
        let queued = self.output.borrow().queued();
        queued > 0 && (self.conn.quota(self.id, &self.own) as u64) < queued
    }

    fn queued(&self) -> u64 {
        self.output.borrow().queued()
    }

    fn unsent(&self) -> u64 {
        self.unsent.get()
    }

    fn poll_drain(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        if self.reset.get() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let more = self.output.borrow().queued() > below;
        if more && !self.is_resting() {
            self.queue_send();
        }
        if self.conn.send_pending(more) || self.conn.has_unsent() {
            self.conn.hub().kick();
        }
        if self.reset.get() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if self.output.borrow().queued() <= below {
            self.stop_waiting(Watch::write_by);
            return Poll::Ready(Ok(()));
        }
        if self.watch().write_expired() {
            self.reset_stream(C::SLOW);
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        if !self.watch().is_writing() && !self.watch().is_paused() {
            self.watch().write_by(clock::monotonic_ms().saturating_add(self.send_timeout.get()));
        }
        self.waiting.enter(cx);
        self.conn.hub().kick();
        Poll::Pending
    }

    fn poll_body(&self, cx: &mut Context<'_>, request: &Request, out: &mut Vec<u8>, limit: usize) -> Poll<Result<BodyRead, BodyError>> {
        if self.body_state.get() == BodyState::Invalid {
            request.log(Level::Info, self.body_wrong.get().map_or(&b""[..], |wrong| wrong.as_bytes()));
            return Poll::Ready(Err(BodyError::Malformed));
        }
        let taken = self.body.borrow_mut().take(limit, out);
        if taken > 0 {
            self.stop_waiting(Watch::read_by);
            self.release(taken);
            request.note_received(taken as u64);
            return Poll::Ready(Ok(BodyRead::Data(taken)));
        }
        if self.body_state.get() == BodyState::Complete {
            return Poll::Ready(Ok(BodyRead::End));
        }
        if self.reset.get() {
            return Poll::Ready(Err(BodyError::Closed));
        }
        if self.watch().read_expired() || self.conn.hub().watch.evicted() {
            self.timed_out.set(true);
            return Poll::Ready(Err(BodyError::TimedOut));
        }
        self.waiting.enter(cx);
        self.conn.request_body(self.id, &self.own);
        self.kick_if_unsent();
        if !request.flags.body_untimed.get() && !self.watch().is_reading() {
            let timeout = request.with_location(|l| l.core.client_body_timeout.unwrap_or(default::TIMEOUT));
            self.watch().read_by(clock::monotonic_ms().saturating_add(timeout));
        }
        Poll::Pending
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.reset.get() {
            return Poll::Ready(());
        }
        self.waiting.enter(cx);
        Poll::Pending
    }

    fn tunnel(self: Rc<Self>, _: &Request) -> Option<Rc<dyn Tunnel>> {
        if !self.extended.get() {
            return None;
        }
        self.tunneled.set(true);
        Some(self)
    }

    fn is_broken(&self) -> bool {
        self.reset.get()
    }
}
