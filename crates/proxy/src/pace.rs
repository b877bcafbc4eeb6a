//! The rate at which a response is read: `*_limit_rate`.

use base::clock;
use session::Worker;
use session::alarms::{Alarm, Alarms};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// So much of a second's worth is waited for at least, so that reads are not tiny.
const PARTS: u64 = 20;

/// After so many milliseconds the rate begins to earn more than the first second's worth, so that ten seconds are less than a tenth
/// above the rate.
const LATE: u64 = 100;

/// The pace of one answer: the first second's worth at once, as with nginx, then as much as time has earned.
pub struct Pace {
    /// Bytes a second; 0 is unlimited.
    rate: u64,
    /// When it began, on the monotonic clock.
    began_ms: u64,
    /// Bytes read.
    pub read: u64,
    alarm: Option<Alarm>,
}

impl Pace {
    /// Begins now.
    #[must_use]
    pub fn new(rate: u64) -> Pace {
        Pace { rate, began_ms: clock::monotonic_ms(), read: 0, alarm: None }
    }

    /// Whether there is a rate to keep.
    #[must_use]
    pub(crate) fn is_limited(&self) -> bool {
        self.rate > 0
    }

    /// Whether nothing may be read for now.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.alarm.is_some()
    }

    /// How many of `size` bytes may be read now; none: it rests first.
    pub fn allow(&mut self, size: usize, worker: &Worker) -> usize {
        match self.allow_at(size, clock::monotonic_ms()) {
            Ok(allowed) => allowed,
            Err(delay) => {
                self.alarm = Some(Alarms::after(worker, Duration::from_millis(delay)));
                0
            }
        }
    }

    /// How many bytes, or for how many milliseconds none.
    fn allow_at(&self, size: usize, now_ms: u64) -> Result<usize, u64> {
        let elapsed = now_ms.saturating_sub(self.began_ms + LATE);
        let earned = self.rate.saturating_add(self.rate.saturating_mul(elapsed) / 1000);
        let wanted = (self.rate / PARTS).min(size as u64).max(1);
        match earned.checked_sub(self.read) {
            Some(left) if left >= wanted => Ok(usize::try_from(left).unwrap_or(usize::MAX).min(size)),
            _ => {
                let beyond = self.read.saturating_add(wanted).saturating_sub(self.rate);
                let due = self.began_ms.saturating_add(LATE).saturating_add(beyond.saturating_mul(1000) / self.rate);
                Err(due.saturating_sub(now_ms) + 1)
            }
        }
    }

    /// Ready once the rest is over.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.alarm {
            ready!(Pin::new(rest).poll(cx));
            self.alarm = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_is_kept_whatever_the_buffer() {
        for rate in [1, 10 << 10, 500 << 10, 5 << 20, 50 << 20] {
            for size in [4096, 32 << 10, 1 << 20] {
                let mut pace = Pace { rate, began_ms: 700, read: 0, alarm: None };
                let mut now = 700;
                while pace.read < rate * 21 {
                    match pace.allow_at(size, now) {
                        Ok(allowed) => {
                            assert!(allowed > 0);
                            pace.read += allowed as u64;
                        }
                        Err(delay) => now += delay,
                    }
                }
                let ms = now - 700;
                assert!((19_000..=21_000).contains(&ms), "{rate} with {size}: {ms} ms");
            }
        }
    }
}
