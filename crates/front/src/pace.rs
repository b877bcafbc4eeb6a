//! How fast an answer may leave: `limit_rate`, `limit_rate_after`, and `sendfile_max_chunk` for those without a limit.
//!
//! nginx's rule: what has left may never be more than the rate times the seconds that have begun since the request
//! did; and after each write the connection rests as long as the bytes written are worth.

use base::clock::{self, Now};
use base::log::Level;
use http::core::default;
use http::{Request, log_request};
use session::Complex;
use std::cell::Cell;

/// The pace of the answer being sent.
#[derive(Debug)]
pub struct Pace {
    /// Bytes a second; 0 is unlimited.
    rate: Cell<u64>,
    /// Bytes that do not count.
    after: Cell<u64>,
    /// Bytes that have left.
    sent: Cell<u64>,
    /// When the request began, seconds.
    began: Cell<i64>,
    /// Until when nothing leaves, on the monotonic clock in milliseconds.
    rest_until: Cell<u64>,
    /// Most bytes of one turn of the event loop.
    chunk: Cell<u64>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            rate: Cell::new(0),
            after: Cell::new(0),
            sent: Cell::new(0),
            began: Cell::new(0),
            rest_until: Cell::new(0),
            chunk: Cell::new(default::SENDFILE_MAX_CHUNK),
        }
    }
}

/// What may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// At most this many bytes.
    Bytes(u64),
    /// Nothing until this time, on the monotonic clock in milliseconds.
    NotBefore(u64),
}

impl Pace {
    /// Begins an answer: takes the rate from the request or, if nobody assigned one, from its location, and leaves it in
    /// the request for `$limit_rate`.
    pub fn begin(&self, request: &Request) {
        self.rest_until.set(0);
        request.with_location(|location| {
            let core = &location.core;
            self.chunk.set(match core.sendfile_max_chunk.unwrap_or(default::SENDFILE_MAX_CHUNK) {
                0 => u64::MAX,
                bytes => bytes,
            });
            let own = request.limit_rate.get();
            if own.is_none() && core.limit_rate.is_none() {
                return self.rate.set(0);
            }
            let rate = own.unwrap_or_else(|| bytes(request, core.limit_rate.as_ref()));
            request.limit_rate.set(Some(rate));
            self.rate.set(rate);
            self.after.set(bytes(request, core.limit_rate_after.as_ref()));
            self.sent.set(0);
            self.began.set(request.started.get().sec);
        });
    }

    /// The answer goes on; `$limit_rate` may have been assigned meanwhile.
    pub fn follow(&self, request: &Request) {
        if let Some(rate) = request.limit_rate.get() {
            self.rate.set(rate);
        }
    }

    /// What may leave at `now`.
    pub fn allowance(&self, now: Now) -> Allowance {
        let rate = self.rate.get();
        if rate == 0 {
            return Allowance::Bytes(self.chunk.get());
        }
        if now.monotonic_ms < self.rest_until.get() {
            return Allowance::NotBefore(self.rest_until.get());
        }
        let seconds = (now.sec - self.began.get()).max(0) as u64 + 1;
        let earned = rate.saturating_mul(seconds).saturating_add(self.after.get());
        match earned.saturating_sub(self.sent.get()) {
            0 => {
                let debt = self.sent.get() - earned;
                self.rest_until.set(now.monotonic_ms.saturating_add(debt.saturating_mul(1000) / rate + 1));
                Allowance::NotBefore(self.rest_until.get())
            }
            left => Allowance::Bytes(left.min(self.chunk.get())),
        }
    }

    /// Accounts for `count` bytes that have left.
    pub fn note_sent(&self, count: u64) {
        let rate = self.rate.get();
        if rate == 0 {
            return;
        }
        let (before, after) = (self.sent.get(), self.sent.get().saturating_add(count));
        self.sent.set(after);
        let free = self.after.get();
        let worth = (after.saturating_sub(free) - before.saturating_sub(free)).saturating_mul(1000) / rate;
        self.rest_until.set(clock::monotonic_ms().saturating_add(worth));
    }

    /// All has left: whatever comes next on the connection is not held back.
    pub fn end(&self) {
        self.rate.set(0);
    }
}

/// A size that may hold variables; none if it is empty or no size.
fn bytes(request: &Request, value: Option<&Complex>) -> u64 {
    let Some(value) = value else { return 0 };
    let text = value.to_vec(request);
    if text.is_empty() {
        return 0;
    }
    base::text::parse_size(&text, false).unwrap_or_else(|| {
        log_request!(request, Level::Error, "invalid size \"{}\"", String::from_utf8_lossy(&text));
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sec: i64, monotonic_ms: u64) -> Now {
        Now { sec, msec: 0, monotonic_ms }
    }

    #[test]
    fn an_unlimited_answer_leaves_in_large_chunks() {
        let pace = Pace::default();
        pace.note_sent(1 << 40);
        assert_eq!(pace.allowance(at(5, 5)), Allowance::Bytes(default::SENDFILE_MAX_CHUNK));
    }

    #[test]
    fn each_second_earns_the_rate() {
        let pace = Pace::default();
        pace.rate.set(100);
        pace.after.set(50);
        pace.began.set(10);
        assert_eq!(pace.allowance(at(10, 7)), Allowance::Bytes(150));
        pace.sent.set(150);
        assert_eq!(pace.allowance(at(10, 7)), Allowance::NotBefore(8));
        assert_eq!(pace.allowance(at(11, 8)), Allowance::Bytes(100));
        pace.sent.set(300);
        assert_eq!(pace.allowance(at(11, 8)), Allowance::NotBefore(8 + 501));
    }

    #[test]
    fn a_write_is_followed_by_rest() {
        let pace = Pace::default();
        pace.rate.set(1000);
        pace.after.set(500);
        pace.began.set(clock::now().sec);
        pace.note_sent(400);
        assert!(matches!(pace.allowance(clock::now()), Allowance::Bytes(_)));
        pace.note_sent(100_000);
        assert!(matches!(pace.allowance(clock::now()), Allowance::NotBefore(_)));
        pace.end();
        assert!(matches!(pace.allowance(clock::now()), Allowance::Bytes(_)));
    }
}
