//! What health checks say of a peer, and how long it was out of service.
//!
//! A peer whose checks all went well costs a request one look at a word that is 0.

use crate::counters::Counter;
use crate::peer::{Peer, signed};

/// Distinct checks of one group.
pub(crate) const CHECKS: u32 = 32;

/// The state that health checks have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All went well, or there is none.
    Good,
    /// One has to come before the peer is used.
    Checking,
    /// One has failed.
    Unhealthy,
}

fn failed(check: u32) -> i64 {
    1 << check.min(CHECKS - 1)
}

/// The word of a peer whose check has to come first.
pub(crate) fn awaited(check: u32) -> i64 {
    failed(check) << CHECKS
}

impl Peer {
    /// Whether health checks let it be used.
    #[inline]
    pub(crate) fn is_healthy(&self) -> bool {
        self.get(Counter::Health) == 0
    }

    /// What health checks say.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.get(Counter::Health) {
            0 => Health::Good,
            word if word & i64::from(u32::MAX) != 0 => Health::Unhealthy,
            _ => Health::Checking,
        }
    }

    /// Whether this check is what it was last: `None` it has not come yet.
    #[must_use]
    pub fn passes(&self, check: u32) -> Option<bool> {
        let word = self.get(Counter::Health);
        if word & awaited(check) != 0 { None } else { Some(word & failed(check) == 0) }
    }

    /// A check has to come before the peer is used.
    pub(crate) fn await_check(&self, check: u32) {
        self.set(Counter::Health, self.get(Counter::Health) | awaited(check));
    }

    /// Counts a check. One process makes all checks of a group.
    pub fn checked(&self, passed: bool) {
        self.counters().add(Counter::Checks, 1);
        if !passed {
            self.counters().add(Counter::ChecksFailed, 1);
        }
        self.set(Counter::CheckPassed, if passed { 1 } else { 2 });
    }

    /// A check says that the peer is well, or that it is not.
    pub fn set_health(&self, check: u32, good: bool, now_ms: u64) {
        let before = self.get(Counter::Health);
        let rest = before & !(awaited(check) | failed(check));
        let after = if good { rest } else { rest | failed(check) };
        self.set(Counter::Health, after);
        if !good && before & failed(check) == 0 {
            self.counters().add(Counter::ChecksUnhealthy, 1);
        }
        if before == 0 && after != 0 {
            self.goes_out(now_ms);
        }
        if before != 0 && after == 0 {
            self.comes_back(now_ms);
            self.begin_slowly(now_ms);
        }
    }

    /// It is out of service from now on.
    pub(crate) fn goes_out(&self, now_ms: u64) {
        if self.get(Counter::DownSince) == 0 {
            self.set(Counter::DownSince, signed(now_ms).max(1));
        }
    }

    /// It is not any more.
    pub(crate) fn comes_back(&self, now_ms: u64) {
        let since = self.get(Counter::DownSince);
        if since != 0 {
            self.counters().add(Counter::DownTime, (signed(now_ms) - since).max(0));
            self.set(Counter::DownSince, 0);
        }
    }

    /// How long it has been out of service in all, milliseconds.
    #[must_use]
    pub fn down_time(&self, now_ms: u64) -> u64 {
        let since = self.get(Counter::DownSince);
        let now = if since == 0 { 0 } else { (signed(now_ms) - since).max(0) };
        (self.get(Counter::DownTime) + now).unsigned_abs()
    }

    /// A response came: its status, and the bytes that were sent for it and received.
    pub fn answered(&self, status: u16, sent: u64, received: u64) {
        let class = match status {
            100..=199 => Some(Counter::Answers1),
            200..=299 => Some(Counter::Answers2),
            300..=399 => Some(Counter::Answers3),
            400..=499 => Some(Counter::Answers4),
            500.. => Some(Counter::Answers5),
            _ => None,
        };
        if let Some(class) = class {
            self.counters().add(class, 1);
        }
        self.counters().add(Counter::Sent, signed(sent));
        self.counters().add(Counter::Received, signed(received));
    }

    /// Forgets what was counted for those who look (nothing that choosing depends on).
    pub fn forget_statistics(&self) {
        use Counter as C;
        let counted = [C::Checks, C::ChecksFailed, C::ChecksUnhealthy, C::Requests, C::Failures, C::Unavailable, C::DownTime, C::Sent];
        let others = [C::Received, C::Answers1, C::Answers2, C::Answers3, C::Answers4, C::Answers5];
        for counter in counted.into_iter().chain(others) {
            self.set(counter, 0);
        }
    }
}
