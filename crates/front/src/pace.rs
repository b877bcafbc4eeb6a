//! How fast a response may leave: `limit_rate`, `limit_rate_after`, and `sendfile_max_chunk` for those without a limit.
//!
//! nginx's rule: what has left may never be more than the rate times the seconds that have begun since the request
//! did; and after each write the connection rests as long as the bytes written are worth. Rests end at the sweeper's ticks, so
//! they are too long, and many small ones would add up: what one was too long is taken off the next.

use base::clock::Now;
use base::log::Level;
use http::core::default;
use http::{Complex, Request, log_request};
use std::cell::Cell;

/// Most of a rest's excess that is made up for, microseconds.
const CREDIT_US: u64 = 1_000_000;

/// The pace of the response being sent.
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
    /// When what has left is paid for, on the monotonic clock in microseconds: nothing leaves before.
    due_us: Cell<u64>,
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
            due_us: Cell::new(0),
            chunk: Cell::new(default::SENDFILE_MAX_CHUNK),
        }
    }
}

/// How much may be sent under `limit_rate`, or when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// At most this many bytes.
    Bytes(u64),
    /// Nothing until this time, on the monotonic clock in milliseconds.
    NotBefore(u64),
}

impl Pace {
    /// Begins a response: takes the rate from the request or, if nobody assigned one, from its location, and leaves it in
    /// the request for `$limit_rate`.
    pub fn begin(&self, request: &Request, now: Now) {
        self.due_us.set(now.monotonic_ms.saturating_mul(1000));
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

    /// The response goes on; `$limit_rate` may have been assigned meanwhile.
    pub fn update(&self, request: &Request) {
        if let Some(rate) = request.limit_rate.get() {
            self.rate.set(rate);
        }
    }

    /// Whether so many bytes may leave at once, without being counted.
    pub fn allows(&self, count: u64) -> bool {
        self.rate.get() == 0 && count <= self.chunk.get()
    }

    /// How much may be sent at `now`.
    pub fn allowance(&self, now: Now) -> Allowance {
        let rate = self.rate.get();
        if rate == 0 {
            return Allowance::Bytes(self.chunk.get());
        }
        if now.monotonic_ms.saturating_mul(1000) < self.due_us.get() {
            return self.not_before();
        }
        let seconds = (now.sec - self.began.get()).max(0) as u64 + 1;
        let earned = rate.saturating_mul(seconds).saturating_add(self.after.get());
        match earned.saturating_sub(self.sent.get()) {
            0 => {
                let debt = self.sent.get() - earned;
                let rest = debt.saturating_mul(1000) / rate + 1;
                self.due_us.set(now.monotonic_ms.saturating_add(rest).saturating_mul(1000));
                self.not_before()
            }
            left => Allowance::Bytes(left.min(self.chunk.get())),
        }
    }

    fn not_before(&self) -> Allowance {
        Allowance::NotBefore(self.due_us.get().div_ceil(1000))
    }

    /// Accounts for `count` bytes that have left.
    pub(crate) fn note_sent(&self, count: u64, now: Now) {
        let rate = self.rate.get();
        if rate == 0 {
            return;
        }
        let (before, after) = (self.sent.get(), self.sent.get().saturating_add(count));
        self.sent.set(after);
        let free = self.after.get();
        let worth = (after.saturating_sub(free) - before.saturating_sub(free)).saturating_mul(1_000_000) / rate;
        let earliest = now.monotonic_ms.saturating_mul(1000).saturating_sub(CREDIT_US);
        self.due_us.set(self.due_us.get().max(earliest).saturating_add(worth));
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

    /// Milliseconds that `total` bytes take, sent in pieces at the sweeper's ticks, and the bytes of the first second.
    fn transfer(rate: u64, total: u64, piece: u64) -> (u64, u64) {
        let pace = Pace::default();
        let began = at(7, 300);
        pace.rate.set(rate);
        pace.began.set(began.sec);
        pace.due_us.set(began.monotonic_ms * 1000);
        let (mut sent, mut first, mut ms) = (0, 0, 0);
        loop {
            // It was in the middle of a second.
            let now = at(7 + (ms as i64 + 600) / 1000, 300 + ms);
            while let Allowance::Bytes(limit) = pace.allowance(now) {
                let count = limit.min(piece).min(total - sent);
                pace.note_sent(count, now);
                sent += count;
                if sent == total {
                    return (ms, first);
                }
            }
            ms += 100;
            first = if ms <= 900 { sent } else { first };
        }
    }

    #[test]
    fn every_rate_is_kept_in_pieces_of_any_size() {
        for rate in [10 << 10, 160_000, 500 << 10, 5 << 20, 50 << 20] {
            for piece in [100, 16 << 10, 64 << 10, 2 << 20, u64::MAX] {
                if rate / piece > 100_000 {
                    continue;
                }
                // The first second's worth leaves at once, as with nginx.
                let (ms, first) = transfer(rate, rate * 21, piece);
                let expected = 20_000;
                assert!((expected * 95 / 100..=expected * 105 / 100).contains(&ms), "{rate} in pieces of {piece}: {ms} ms");
                assert!(first <= rate * 3 / 2, "{rate} in pieces of {piece}: {first} in the first second");
            }
        }
    }

    #[test]
    fn an_unlimited_answer_leaves_in_large_chunks() {
        let pace = Pace::default();
        pace.note_sent(1 << 40, at(5, 5));
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
        pace.began.set(10);
        pace.due_us.set(5000);
        pace.note_sent(400, at(10, 5));
        assert!(matches!(pace.allowance(at(10, 5)), Allowance::Bytes(_)));
        pace.note_sent(1100, at(10, 5));
        assert_eq!(pace.allowance(at(10, 5)), Allowance::NotBefore(1005));
        // The rest was too long by a tick: the next is shorter.
        assert!(matches!(pace.allowance(at(11, 1105)), Allowance::Bytes(_)));
        pace.note_sent(200, at(11, 1105));
        assert_eq!(pace.allowance(at(11, 1105)), Allowance::NotBefore(1205));
        pace.end();
        assert!(matches!(pace.allowance(at(11, 1105)), Allowance::Bytes(_)));
    }
}
