//! A server in use by one try.

use crate::upstream::Upstream;
use balance::{Choice, Measure, Peer, Timing, Verdict};
use base::clock;
use base::log::Level;
use http::Request;
use std::cell::Cell;
use std::rc::Rc;

/// A server in use by one try; given back in any case, a dropped request included.
pub struct Lease {
    /// Its group.
    pub upstream: Rc<Upstream>,
    /// The server.
    pub peer: Rc<Peer>,
    choice: Choice,
    ended: Cell<bool>,
}

impl Lease {
    /// Holds a server that the group has given out.
    #[must_use]
    pub fn new(upstream: Rc<Upstream>, choice: Choice) -> Lease {
        Lease { upstream, peer: choice.peer.clone(), choice, ended: Cell::new(false) }
    }

    /// The response's head is here, `header_ms` after the try began.
    pub fn head_received(&self, header_ms: u64) {
        self.upstream.group.measure(&self.choice, Measure::Header, header_ms, clock::monotonic_ms());
    }

    /// Gives the server back with a verdict; only good answers have times.
    pub fn end(self, request: &Request, verdict: Verdict, times: Timing) {
        let took_ms = clock::monotonic_ms().saturating_sub(self.choice.began_ms());
        request.worker.observers.attempt_ended(matches!(verdict, Verdict::Failed), took_ms);
        if self.release(verdict, times) {
            request.log(Level::Warn, b"upstream server temporarily disabled");
        }
    }

    fn release(&self, verdict: Verdict, times: Timing) -> bool {
        self.ended.set(true);
        let disabled = self.upstream.group.release(&self.choice, verdict, times, clock::monotonic_ms());
        if let Some(queue) = &self.upstream.own.queue {
            queue.freed();
        }
        disabled
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended.get() {
            self.release(Verdict::Neutral, Timing::default());
        }
    }
}
