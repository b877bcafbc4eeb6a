//! How a stream ends: the answer's last frame, and what the client may still do behind it.

use super::{LINGER, Stream};
use crate::active::Watch;
use base::clock;
use wire::h2::error::ErrorCode;

impl Stream {
    /// There is no answer, on purpose (444): nginx's word for that is the one for a client that was too slow.
    pub fn refuse(&self) {
        self.timed_out.set(true);
    }

    /// The request is finished. What is queued still leaves; an answer that is not whole is cut off.
    pub fn finish(&self, abort: bool) {
        self.done.set(true);
        self.body.take();
        // What a tunnel has sent is whole when its handler ends.
        self.ended.set(self.ended.get() || self.tunneled.get());
        if abort || self.lost.get() || !self.ended.get() {
            return self.close();
        }
        self.conn.codec.borrow_mut().discard(self.id);
        self.waiting.clear();
        // Mostly all of it leaves at once; the connection looks after what does not.
        self.stop_waiting(Watch::write_by);
        self.conn.unattended.set(self.conn.unattended.get() + 1);
        self.unattended.set(true);
        if self.closed.get() { self.leave() } else { self.ready() }
    }

    /// The answer has left. Who is still sending a body that nobody reads may end it: some clients take the reset of a stream that they
    /// write to for a failure.
    pub(super) fn leave(&self) {
        let sends = self.reset_after.get().is_none() && self.conn.codec.borrow().is_receiving(self.id);
        if !sends {
            self.close();
        } else if !self.leaving.replace(true) {
            self.watch().write_by(clock::monotonic_ms().saturating_add(LINGER));
            self.conn.attend(self.watch());
        }
    }

    /// Leaves the connection. What is not complete is reset.
    pub(super) fn close(&self) {
        if self.conn.streams.borrow_mut().remove(&self.id).is_none() {
            return;
        }
        if self.unattended.replace(false) {
            self.conn.unattended.set(self.conn.unattended.get().saturating_sub(1));
        }
        // nginx's words for a client that was too slow, where the answer is not whole.
        let late = (self.timed_out.get() && !self.closed.get()).then_some(ErrorCode::PROTOCOL_ERROR);
        self.conn.with_codec(|codec, out| {
            if let Some(code) = self.reset_after.get().or(late) {
                codec.reset(self.id, code, out);
            }
            codec.close(self.id, out);
        });
        self.conn.kick();
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
            self.leave();
        }
    }

    /// Whether the answer is there while the client still sends a body that nobody reads. Clients then stop sending; some of them wait
    /// for ever when the answer's end comes alone and the reset later.
    pub(super) fn is_answered_early(&self) -> bool {
        self.refused.get() && self.trailers.borrow().is_empty() && self.conn.codec.borrow().is_receiving(self.id)
    }

    /// Ends the answer.
    pub(super) fn end(&self) {
        if self.closed.replace(true) {
            return;
        }
        let trailers = self.trailers.take();
        self.conn.with_codec(|codec, out| {
            if trailers.is_empty() {
                codec.data(self.id, &[], true, out);
            } else {
                codec.trailers(self.id, trailers.iter(), out);
            }
        });
    }
}
