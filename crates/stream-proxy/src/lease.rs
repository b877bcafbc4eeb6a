//! A server in use by one attempt, and the result of a proxied session.

use crate::groups::Upstream;
use balance::{Choice, Measure, Peer, Timing, Verdict};
use base::clock;
use base::log::Level;
use session::worker::StreamEvent;
use std::cell::Cell;
use std::rc::Rc;
use stream::Session;

/// How a session that was passed on has ended.
pub enum End {
    /// As sessions do.
    Done,
    /// The server has not answered, and that is the session's end.
    Silent,
    /// The session is over, and the server is to blame for something.
    Blamed,
}

/// A server in use by one try; given back in any case, a dropped session included.
pub struct Lease {
    upstream: Rc<Upstream>,
    choice: Choice,
    ended: Cell<bool>,
}

impl Lease {
    /// Holds a server that the group has given out.
    #[must_use]
    pub fn new(upstream: Rc<Upstream>, choice: Choice) -> Lease {
        Lease { upstream, choice, ended: Cell::new(false) }
    }

    /// The server.
    pub fn peer(&self) -> &Peer {
        &self.choice.peer
    }

    /// Records that the connection is established.
    pub fn connected(&self) {
        self.upstream.group.connected(&self.choice, clock::monotonic_ms());
    }

    /// The attempt has reached this point, `after_ms` after it began.
    pub fn measure(&self, what: Measure, after_ms: u64) {
        self.upstream.group.measure(&self.choice, what, after_ms, clock::monotonic_ms());
    }

    /// Gives the server back with a verdict; only sessions that went well have times.
    pub fn end(self, session: &Session, verdict: Verdict, times: Timing) {
        self.ended.set(true);
        let took_ms = clock::monotonic_ms().saturating_sub(self.choice.began_ms());
        session.worker.count(StreamEvent::Try { failed: matches!(verdict, Verdict::Failed), took_ms });
        if self.upstream.group.release(&self.choice, verdict, times, clock::monotonic_ms()) {
            session.log(Level::Warn, b"upstream server temporarily disabled");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.ended.get() {
            self.upstream.group.release(&self.choice, Verdict::Neutral, Timing::default(), clock::monotonic_ms());
        }
    }
}
