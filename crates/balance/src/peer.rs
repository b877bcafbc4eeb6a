//! One server of a snapshot and its health.

use crate::counters::{Counter, Counters, LocalCounters};
use crate::member::Identity;
use crate::server::{Server, ServerState};
use std::cell::Cell;
use std::rc::Rc;

/// With `slow_start` weights are counted in thousandths.
pub(crate) const SLOW_SCALE: i64 = 1000;

/// A server of a group, with its counters.
#[derive(Debug)]
pub struct Peer {
    /// What the configuration or the name's answer says.
    pub server: Server,
    /// What `sticky` calls it.
    pub id: Rc<str>,
    /// Its number in its group, where that is in a zone.
    pub number: u64,
    /// Where a shared peer's numbers are, and which state of it this is.
    pub(crate) identity: Option<Identity>,
    counters: Box<dyn Counters>,
}

/// A peer chosen for one try. It must be given back with [`crate::Group::release`].
#[derive(Debug)]
pub struct Choice {
    /// The server.
    pub peer: Rc<Peer>,
    pub(crate) began_ms: u64,
    /// It counts among those that wait for a response.
    pub(crate) waits: Cell<bool>,
}

impl Choice {
    /// A peer selected by an external balancer.
    #[must_use]
    pub fn of(peer: Rc<Peer>, now_ms: u64) -> Choice {
        Choice { peer, began_ms: now_ms, waits: Cell::new(false) }
    }

    /// When the peer was chosen, on the monotonic clock in milliseconds.
    #[must_use]
    pub fn began_ms(&self) -> u64 {
        self.began_ms
    }
}

/// How long a response took, in milliseconds from the start of its try.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Until the connection stands.
    pub connect: Option<u64>,
    /// Until its head or first byte.
    pub header: Option<u64>,
    /// Until its end.
    pub response: Option<u64>,
}

/// Seconds of a clock in milliseconds.
pub(crate) fn seconds(ms: u64) -> i64 {
    signed(ms / 1000)
}

pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Peer {
    /// A peer whose numbers are this worker's.
    #[must_use]
    pub fn new(server: Server) -> Peer {
        Peer { id: server.id(), server, number: 0, identity: None, counters: Box::new(LocalCounters::default()) }
    }

    /// A peer whose numbers are a zone's.
    pub(crate) fn shared(server: Server, number: u64, identity: Identity, counters: Box<dyn Counters>) -> Peer {
        Peer { id: server.id(), server, number, identity: Some(identity), counters }
    }

    /// The counters of the peer, in this worker or in the zone.
    #[must_use]
    pub fn counters(&self) -> &dyn Counters {
        &*self.counters
    }

    pub(crate) fn get(&self, counter: Counter) -> i64 {
        self.counters.get(counter)
    }

    pub(crate) fn set(&self, counter: Counter, value: i64) {
        self.counters.set(counter, value);
    }

    /// Requests that it is serving now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counters.connections()
    }

    /// Whether it takes requests: as configured, or as set since.
    #[must_use]
    pub fn state(&self) -> ServerState {
        ServerState::set(self.get(Counter::Standing)).unwrap_or(self.server.state)
    }

    /// Sets whether it takes requests. One that comes back begins slowly, if it has `slow_start`.
    pub fn set_standing(&self, standing: ServerState, now_ms: u64) {
        if standing == ServerState::Up && self.state() != ServerState::Up {
            self.begin_slowly(now_ms);
        }
        self.set(Counter::Standing, standing as i64 + 1);
    }

    /// Failures since it last was well.
    #[must_use]
    pub fn fails(&self) -> u64 {
        self.get(Counter::Fails).unsigned_abs()
    }

    fn is_full(&self) -> bool {
        self.server.max_conns != 0 && self.connections() >= self.server.max_conns
    }

    /// Whether failures keep it from being asked.
    #[must_use]
    pub fn is_failing(&self, now_ms: u64) -> bool {
        self.server.max_fails != 0
            && self.fails() >= self.server.max_fails
            && seconds(now_ms) - self.get(Counter::Checked) <= self.server.fail_timeout
    }

    /// Whether it may be asked.
    pub(crate) fn is_available(&self, now_ms: u64) -> bool {
        self.state() == ServerState::Up && self.is_healthy() && !self.is_failing(now_ms) && !self.is_full()
    }

    /// Whether a request that is bound to it may go there.
    pub(crate) fn takes_bound(&self, now_ms: u64) -> bool {
        self.state() != ServerState::Down && self.is_healthy() && !self.is_failing(now_ms) && !self.is_full()
    }

    /// The weight in force, in units of `scale`: less after failures, and little at first with `slow_start`.
    pub(crate) fn weight(&self, scale: i64, now_ms: u64) -> i64 {
        let whole = (self.server.weight - self.get(Counter::Lost)).max(0) * scale;
        if scale == 1 {
            return whole;
        }
        let since = self.get(Counter::SlowSince);
        if since == 0 {
            return whole;
        }
        let (passed, all) = (signed(now_ms) - since, signed(self.server.slow_start));
        if passed >= all {
            self.set(Counter::SlowSince, 0);
            return whole;
        }
        whole.saturating_mul(passed.max(0)) / all.max(1)
    }

    /// Each pick gives a unit of lost weight back.
    pub(crate) fn recover(&self) {
        if self.get(Counter::Lost) > 0 {
            self.counters.add(Counter::Lost, -1);
        }
    }

    /// Takes it for a try, unless it has just become full. After `fail_timeout` a failing server gets one probe per window.
    pub(crate) fn take(self: &Rc<Self>, now_ms: u64) -> Option<Choice> {
        if !self.counters.connect(self.server.max_conns) {
            return None;
        }
        let now = seconds(now_ms);
        if now - self.get(Counter::Checked) > self.server.fail_timeout {
            self.set(Counter::Checked, now);
        }
        self.counters.add(Counter::Requests, 1);
        self.set(Counter::Selected, signed(now_ms));
        Some(Choice::of(self.clone(), now_ms))
    }

    pub(crate) fn released(&self) {
        self.counters.disconnect();
    }

    /// Counts a failure; true when that disables the server.
    pub(crate) fn failed(&self, now_ms: u64) -> bool {
        let fails = self.counters.add(Counter::Fails, 1).unsigned_abs();
        self.counters.add(Counter::Failures, 1);
        self.set(Counter::Failed, seconds(now_ms));
        self.set(Counter::Checked, seconds(now_ms));
        if self.server.max_fails == 0 {
            return false;
        }
        let cut = self.server.weight / signed(self.server.max_fails).max(1);
        self.set(Counter::Lost, (self.get(Counter::Lost) + cut).min(self.server.weight));
        if fails == self.server.max_fails {
            self.counters.add(Counter::Unavailable, 1);
            self.goes_out(now_ms);
        }
        fails >= self.server.max_fails
    }

    pub(crate) fn succeeded(&self, now_ms: u64) {
        if self.get(Counter::Failed) < self.get(Counter::Checked) && self.get(Counter::Fails) != 0 {
            let disabled = self.server.max_fails != 0 && self.fails() >= self.server.max_fails;
            self.set(Counter::Fails, 0);
            if disabled {
                self.comes_back(now_ms);
                self.begin_slowly(now_ms);
            }
        }
    }

    pub(crate) fn begin_slowly(&self, now_ms: u64) {
        if self.server.slow_start != 0 {
            self.set(Counter::SlowSince, signed(now_ms).max(1));
        }
    }
}
