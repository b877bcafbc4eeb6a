//! How long things took: how many took at most so long.

use super::counters::Counter;
use shm::tally::Counters;

/// Upper bounds of the buckets, in milliseconds; what took longer is in one more.
pub const BOUNDS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000];

/// Counters of a histogram: its buckets, and the sum of all times.
const SIZE: usize = BOUNDS.len() + 2;

/// Counters in all.
pub(super) const END: usize = Counter::ALL.len() + Histogram::ALL.len() * SIZE;

/// Times that are counted in buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Histogram {
    /// From a request's first byte to its log phase.
    Request,
    /// From the choice of an upstream server to the end of its response.
    Attempt,
    /// From the choice of an upstream server to the end of the session that it serves.
    StreamAttempt,
}

/// A histogram as it is at one moment.
pub struct Counts {
    /// How many fell into each bucket.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All times together, in milliseconds.
    pub sum_ms: u64,
}

impl Histogram {
    /// All of them.
    pub const ALL: [Histogram; 3] = [Histogram::Request, Histogram::Attempt, Histogram::StreamAttempt];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Histogram::Request => "request_duration_seconds",
            Histogram::Attempt => "upstream_duration_seconds",
            Histogram::StreamAttempt => "stream_upstream_duration_seconds",
        }
    }

    /// What it counts.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Histogram::Request => "Time from a request's first byte to its end.",
            Histogram::Attempt => "Time that a try of an upstream server took.",
            Histogram::StreamAttempt => "Time from the choice of an upstream server to the end of the session that it serves.",
        }
    }

    pub(super) fn first(self) -> usize {
        Counter::ALL.len() + self as usize * SIZE
    }

    #[inline]
    pub(super) fn count(self, counters: Counters<'_>, took_ms: u64) {
        // Most take less than the clock can tell.
        if took_ms <= 1 {
            counters.add(self.first(), 1);
            counters.add(self.first() + SIZE - 1, took_ms);
        } else {
            self.count_slow(counters, took_ms);
        }
    }

    #[cold]
    fn count_slow(self, counters: Counters<'_>, took_ms: u64) {
        counters.add(self.first() + BOUNDS.partition_point(|bound| *bound < took_ms), 1);
        counters.add(self.first() + SIZE - 1, took_ms);
    }
}

impl Counts {
    pub(super) fn new(counters: &[u64]) -> Counts {
        let mut buckets = [0; BOUNDS.len() + 1];
        for (bucket, counter) in buckets.iter_mut().zip(counters) {
            *bucket = *counter;
        }
        Counts { buckets, sum_ms: counters.get(SIZE - 1).copied().unwrap_or(0) }
    }

    /// How many values were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, bucket| sum.wrapping_add(*bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::tally::Tally;

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let tally = Tally::new().unwrap();
        let account = tally.open(1).unwrap();
        for (took, bucket) in [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (10000, 12), (10001, 13), (u64::MAX / 4, 13)] {
            let before = Counts::new(&tally.sums(END)[Histogram::Attempt.first()..]);
            Histogram::Attempt.count(account.counters().unwrap(), took);
            let after = Counts::new(&tally.sums(END)[Histogram::Attempt.first()..]);
            assert_eq!(after.buckets[bucket], before.buckets[bucket] + 1, "{took}");
            assert_eq!((after.total(), after.sum_ms), (before.total() + 1, before.sum_ms + took));
        }
        assert_eq!(Counts::new(&tally.sums(END)[Histogram::Request.first()..]).total(), 0);
    }
}
