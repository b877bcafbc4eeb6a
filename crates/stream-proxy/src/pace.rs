//! Rate limits: `proxy_upload_rate`, `proxy_download_rate`.
//!
//! As with nginx, what is passed on takes its time before more is, and altogether it is never more than the seconds that have
//! begun are worth.

use base::clock;
use net::deadline::Limit;
use std::task::{Context, Poll};
use stream::Session;

/// The pace of one way of a session.
pub struct Pace {
    /// Bytes a second; 0 is unlimited.
    rate: u64,
    began_ms: u64,
    passed: u64,
    limit: Option<Limit>,
}

impl Pace {
    /// Begins now.
    #[must_use]
    pub fn new(rate: u64) -> Pace {
        Pace { rate, began_ms: clock::monotonic_ms(), passed: 0, limit: None }
    }

    /// Whether nothing may be passed on for now.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.limit.is_some()
    }

    /// How many of `size` bytes may be passed on; pending: it rests, and the task is woken when that is over.
    pub(crate) fn poll_allow(&mut self, session: &Session, cx: &Context<'_>, size: usize) -> Poll<usize> {
        if self.rate == 0 {
            return Poll::Ready(size);
        }
        loop {
            if let Some(rest) = &mut self.limit {
                if rest.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.limit = None;
                clock::update();
            }
            match allowed(self.rate, clock::monotonic_ms().saturating_sub(self.began_ms), self.passed) {
                Ok(left) => return Poll::Ready(usize::try_from(left).unwrap_or(usize::MAX).min(size)),
                Err(delay_ms) => self.limit = Some(session.limit(delay_ms)),
            }
        }
    }

    /// Counts bytes that were passed on.
    pub fn consume(&mut self, session: &Session, count: usize) {
        if self.rate == 0 {
            return;
        }
        self.passed = self.passed.saturating_add(count as u64);
        let delay_ms = (count as u64).saturating_mul(1000) / self.rate;
        if delay_ms > 0 {
            self.limit = Some(session.limit(delay_ms));
        }
    }
}

/// What is left of the seconds that have begun, or the milliseconds until something is.
fn allowed(rate: u64, elapsed_ms: u64, passed: u64) -> Result<u64, u64> {
    let worth = rate.saturating_mul(elapsed_ms / 1000 + 1);
    match worth.checked_sub(passed) {
        Some(left) if left > 0 => Ok(left),
        _ => Err(((passed - worth).saturating_mul(1000) / rate).saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn no_more_than_the_seconds_that_have_begun_are_worth() {
        assert_eq!(allowed(250, 0, 0), Ok(250));
        assert_eq!(allowed(250, 999, 250), Err(1));
        assert_eq!(allowed(250, 1000, 250), Ok(250));
        assert_eq!(allowed(1000, 500, 3000), Err(2001));
        assert_eq!(allowed(u64::MAX, 5000, 1), Ok(u64::MAX - 1));
    }
}
