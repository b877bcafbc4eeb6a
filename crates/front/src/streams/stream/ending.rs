//! The end of a stream: the response's last frame, and what the client may still send after it.

use super::{LINGER, Stream};
use crate::active::Watch;
use crate::streams::carrier::Carrier;
use base::clock;

impl<C: Carrier> Stream<C> {
    /// There is no answer, on purpose (444): nginx's word for that is the one for a client that was too slow.
    pub fn refuse(&self) {
        self.timed_out.set(true);
    }

    /// There is no more to the answer than what is queued.
    pub fn complete(&self) {
        self.ended.set(true);
    }

    /// The request is finished. What is queued still leaves; an answer that is not whole is cut off.
    pub fn finish(&self, abort: bool) {
        self.done.set(true);
        self.body.take();
        // What a tunnel has sent is whole when its handler ends.
        self.ended.set(self.ended.get() || self.tunneled.get());
        if abort || self.reset.get() || !self.ended.get() {
            return self.close();
        }
        self.conn.discard(self.id, &self.own);
        self.waiting.clear();
        // Mostly all of it leaves at once; the connection looks after what does not.
        self.stop_waiting(Watch::write_by);
        let unattended = &self.conn.hub().unattended;
        unattended.set(unattended.get() + 1);
        self.unattended.set(true);
        if self.closed.get() { self.response_sent() } else { self.ready() }
    }

    /// The answer has left. Who is still sending a body that nobody reads may end it: some clients take the reset of a stream that they
    /// write to for a failure.
    pub(super) fn response_sent(&self) {
        let sends = self.reset_after.get().is_none() && self.conn.is_receiving(self.id, &self.own);
        if !sends {
            self.close();
        } else if !self.leaving.replace(true) {
            self.watch().write_by(clock::monotonic_ms().saturating_add(LINGER));
            self.conn.hub().set_watch(self.watch());
        }
    }

    /// Leaves the connection. What is not complete is reset.
    pub(super) fn close(&self) {
        let hub = self.conn.hub();
        if hub.streams.borrow_mut().remove(&self.id).is_none() {
            return;
        }
        if self.unattended.replace(false) {
            hub.unattended.set(hub.unattended.get().saturating_sub(1));
        }
        // nginx's words for a client that was too slow, where the answer is not whole.
        let late = (self.timed_out.get() && !self.closed.get()).then_some(C::SLOW);
        self.conn.close(self.id, &self.own, self.reset_after.get().or(late));
        hub.offer();
    }

    /// Ends the stream once its content has left.
    pub(super) fn end_if_empty(&self) {
        if !self.ended.get() || self.output.borrow().queued() > 0 {
            return;
        }
        if !self.is_answered_early() {
            self.end();
        }
        if self.done.get() {
            self.response_sent();
        }
    }

    /// Whether the answer is there while the client still sends a body that nobody reads. Clients then stop sending; some of them wait
    /// for ever when the answer's end comes alone and the reset later.
    pub(super) fn is_answered_early(&self) -> bool {
        self.refused.get() && self.trailers.borrow().is_empty() && self.conn.is_receiving(self.id, &self.own)
    }

    /// Ends the answer.
    pub(super) fn end(&self) {
        if self.closed.replace(true) {
            return;
        }
        let trailers = self.trailers.take();
        if trailers.is_empty() {
            self.conn.data(self.id, &self.own, &[], true);
        } else {
            self.conn.trailers(self.id, &self.own, &trailers);
        }
    }
}
