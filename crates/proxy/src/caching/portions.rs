//! Batches of work on many files, with pauses that leave time for requests.

use crate::caching::store::BatchLimits;
use base::clock;
use std::time::Duration;

/// The pause after a portion of work, when it is due.
pub(crate) struct Pace {
    portion: BatchLimits,
    done: u64,
    since: u64,
}

impl Pace {
    /// No pause is due for now.
    #[must_use]
    pub(crate) fn new(portion: BatchLimits) -> Pace {
        Pace { portion, done: 0, since: clock::monotonic_ms() }
    }

    /// One thing more is done.
    pub(crate) async fn step(&mut self) {
        self.done += 1;
        if self.done < self.portion.files.max(1) && clock::monotonic_ms().saturating_sub(self.since) < self.portion.threshold {
            return;
        }
        net::time::sleep(Duration::from_millis(self.portion.sleep)).await;
        (self.done, self.since) = (0, clock::monotonic_ms());
    }
}
