//! The end of a stream: the response's last frame, and what the client may still send after it.

use super::state::{ResponseState, Stage};
use super::{LINGER, Stream};
use crate::active::Watch;
use crate::streams::carrier::Carrier;
use base::clock;

impl<C: Carrier> Stream<C> {
    /// There is no response, on purpose (444): nginx's word for that is the one for a client that was too slow.
    pub fn refuse(&self) {
        self.timed_out.set(true);
    }

    /// There is no more to the response than what is queued.
    pub fn finish_response(&self) {
        self.complete();
    }

    /// The request is finished. What is queued still leaves; a response that is not whole is cut off.
    pub fn finish(&self, abort: bool) {
        self.stage.set(Stage::Finished);
        self.body.take();
        // What a tunnel has sent is whole when its handler ends.
        if self.tunneled.get() {
            self.complete();
        }
        if abort || self.reset.get() || !self.is_complete() {
            return self.close();
        }
        self.conn.discard(self.id, &self.own);
        self.waiting.clear();
        // Mostly all of it leaves at once; the connection looks after what does not.
        self.stop_waiting(Watch::write_by);
        let unattended = &self.conn.hub().unattended;
        unattended.set(unattended.get() + 1);
        self.stage.set(Stage::Sending);
        if self.is_ended() { self.response_sent() } else { self.notify_ready() }
    }

    /// The response has left. Who is still sending a body that nobody reads may end it: some clients take the reset of a stream that they
    /// write to for a failure.
    pub(super) fn response_sent(&self) {
        let sends = self.reset_after.get().is_none() && self.conn.is_receiving(self.id, &self.own);
        if !sends {
            self.close();
        } else if self.stage.replace(Stage::Lingering) != Stage::Lingering {
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
        if self.stage.get() > Stage::Finished {
            self.stage.set(Stage::Finished);
            hub.unattended.set(hub.unattended.get().saturating_sub(1));
        }
        // nginx's words for a client that was too slow, where the response is not whole.
        let late = (self.timed_out.get() && !self.is_ended()).then_some(C::SLOW);
        self.conn.close(self.id, &self.own, self.reset_after.get().or(late));
        hub.offer();
    }

    /// Ends the stream once its content has left.
    pub(super) fn end_if_empty(&self) {
        if !self.is_complete() || self.output.borrow().queued() > 0 {
            return;
        }
        if !self.is_answered_early() {
            self.end();
        }
        if self.is_finished() {
            self.response_sent();
        }
    }

    /// Whether the response is there while the client still sends a body that nobody reads. Clients then stop sending; some of them wait
    /// for ever when the response's end comes alone and the reset later.
    pub(super) fn is_answered_early(&self) -> bool {
        self.refused.get() && self.trailers.borrow().is_empty() && self.conn.is_receiving(self.id, &self.own)
    }

    /// Ends the response.
    pub(super) fn end(&self) {
        if self.response_state.replace(ResponseState::Ended) == ResponseState::Ended {
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
