//! What is counted: one function for each thing that begins or ends, so that metrics and logs need not touch the ways of requests.
//!
//! Each worker counts in its own account in memory that all share (`shm::tally`); who asks gets the sum of all workers, those that
//! have ended with it. The counters are [`Counter`]s, and behind them those of [`Histogram`]s.

mod counters;
mod histogram;

pub use counters::{CacheStatus, Counter};
pub use histogram::{BOUNDS, Counts, Histogram};

use crate::line::Version;
use crate::phase::Phase;
use crate::request::Request;
use base::clock;
use session::handshake_end::HandshakeEnd;
use session::worker::StreamEvent;
use shm::tally::{Account, Counters, Tally};
use std::sync::atomic::Ordering;

/// Whether the counter of this number says what is the case now, instead of growing.
#[must_use]
pub fn is_gauge(number: usize) -> bool {
    Counter::ALL.get(number).is_some_and(|counter| counter.is_gauge())
}

/// All counters as they are at one moment.
pub struct Totals(Vec<u64>);

impl Totals {
    /// A counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// A histogram.
    #[must_use]
    pub fn histogram(&self, histogram: Histogram) -> Counts {
        Counts::new(self.0.get(histogram.first()..).unwrap_or_default())
    }
}

/// A worker's account.
pub struct WorkerCounters {
    account: Option<Account>,
}

impl WorkerCounters {
    /// Counts in an account of `tally` that the process opens.
    pub fn new(tally: &Tally) -> WorkerCounters {
        WorkerCounters { account: tally.open(std::process::id()) }
    }

    /// Counts for one process alone.
    pub fn alone() -> WorkerCounters {
        WorkerCounters { account: Tally::new().ok().and_then(|tally| tally.open(std::process::id())) }
    }

    /// Counts, with the account looked up once.
    #[inline]
    fn count(&self, count: impl FnOnce(Counters<'_>)) {
        if let Some(counters) = self.account.as_ref().and_then(Account::counters) {
            count(counters);
        }
    }

    #[inline]
    fn increment(&self, counter: Counter) {
        self.count(|counters| counters.add(counter as usize, 1));
    }

    /// Adds `times` to a counter.
    pub fn add(&self, counter: Counter, times: u64) {
        self.count(|counters| counters.add(counter as usize, times));
    }

    /// Says how much there is now.
    pub fn set(&self, counter: Counter, value: u64) {
        if let Some(account) = &self.account {
            account.set(counter as usize, value);
        }
    }

    /// The account, if there is one.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The sum over all workers.
    pub fn sum(&self, counter: Counter) -> u64 {
        self.account.as_ref().map_or(0, |account| account.all().sum(counter as usize))
    }

    /// The same since the last reset.
    pub fn sum_since_reset(&self, counter: Counter) -> u64 {
        self.account.as_ref().map_or(0, |account| account.all().sum_since_reset(counter as usize))
    }

    /// Lets what [`WorkerCounters::sum_since_reset`] shows begin anew.
    pub fn reset(&self, counters: &[Counter]) {
        if let Some(account) = &self.account {
            counters.iter().for_each(|counter| account.all().reset(*counter as usize));
        }
    }

    /// Workers that have died and been replaced, of `all`, since the last reset.
    pub fn respawned_since_reset(&self, all: u64) -> u64 {
        let before = self.account.as_ref().and_then(|account| account.all().extra_word());
        all.saturating_sub(before.map_or(0, |before| before.load(Ordering::Relaxed)))
    }

    /// Lets what [`WorkerCounters::respawned_since_reset`] shows begin anew.
    pub fn reset_respawned(&self, all: u64) {
        if let Some(before) = self.account.as_ref().and_then(|account| account.all().extra_word()) {
            before.store(all, Ordering::Relaxed);
        }
    }

    /// Counters of one process, since their last reset.
    pub fn of_process<const N: usize>(&self, pid: u32, counters: [Counter; N]) -> [u64; N] {
        counters.map(|counter| self.account.as_ref().map_or(0, |account| account.all().of(pid, counter as usize)))
    }

    /// Lets what [`WorkerCounters::of_process`] shows begin anew.
    pub fn reset_process(&self, pid: u32, counters: &[Counter]) {
        if let Some(account) = &self.account {
            counters.iter().for_each(|counter| account.all().reset_of(pid, *counter as usize));
        }
    }

    /// The sums of all counters over all workers.
    pub fn sums(&self) -> Totals {
        Totals(self.account.as_ref().map_or(Vec::new(), |account| account.all().sums(histogram::END)))
    }

    /// The processes that count now, and what some counters of each say.
    pub fn processes<const N: usize>(&self, counters: [Counter; N]) -> Vec<(u32, [u64; N])> {
        let numbers = counters.map(|counter| counter as usize);
        self.account.as_ref().map_or(Vec::new(), |account| account.all().processes(numbers))
    }

    /// A connection has come.
    pub fn connection_came(&self) {
        self.increment(Counter::Accepted);
    }

    /// A connection is served.
    pub fn connection_began(&self) {
        self.increment(Counter::Handled);
    }

    /// So many connections are open now: those that have ended are no longer among them.
    pub fn connections_are(&self, open: usize, reading: usize, writing: usize) {
        self.set(Counter::Active, open as u64);
        self.set(Counter::Reading, reading as u64);
        self.set(Counter::Writing, writing as u64);
    }

    /// A handshake of TLS is over.
    pub fn handshake_ended(&self, end: &HandshakeEnd) {
        end.counters(|counter| self.increment(Counter::from(counter)));
    }

    /// A client's request has begun.
    #[inline]
    pub fn request_began(&self) {
        self.increment(Counter::Requests);
    }

    /// A client's request has ended: it is about to be logged.
    #[inline]
    pub fn request_ended(&self, request: &Request) {
        let class = match request.response.borrow().status {
            100..200 => Counter::Informational,
            200..300 => Counter::Success,
            300..400 => Counter::Redirection,
            400..500 => Counter::ClientError,
            _ => Counter::ServerError,
        };
        let protocol = match request.version() {
            Version::Http2 => Counter::Http2,
            Version::Http3 => Counter::Http3,
            _ => Counter::Http1,
        };
        let took_ms = clock::now().monotonic_ms.saturating_sub(request.started.get().monotonic_ms);
        self.count(|counters| {
            counters.add(class as usize, 1);
            counters.add(protocol as usize, 1);
            counters.add(Counter::Received as usize, request.request_length.get());
            counters.add(Counter::Sent as usize, request.bytes_sent.get());
            Histogram::Request.count(counters, took_ms);
        });
    }

    /// A handler of a phase has ended that had to wait, after so many milliseconds. What ends at once is not counted: it has no time to tell.
    pub fn phase_waited(&self, phase: Phase, waited_ms: u64) {
        let Some((number, time)) = counters::of_phase(phase) else { return };
        self.count(|counters| {
            counters.add(number as usize, 1);
            counters.add(time as usize, waited_ms);
        });
    }

    /// A try of an upstream server has ended after so many milliseconds.
    pub fn attempt_ended(&self, failed: bool, took_ms: u64) {
        self.count_attempt(failed, took_ms, [Counter::Attempts, Counter::AttemptsFailed], Histogram::Attempt);
    }

    /// Something has ended in a session of `stream`.
    pub fn session_had(&self, ended: StreamEvent) {
        match ended {
            StreamEvent::Handshake(end) => self.handshake_ended(&end),
            StreamEvent::Try { failed, took_ms } => {
                self.count_attempt(failed, took_ms, [Counter::StreamAttempts, Counter::StreamAttemptsFailed], Histogram::StreamAttempt);
            }
        }
    }

    fn count_attempt(&self, failed: bool, took_ms: u64, [all, broken]: [Counter; 2], histogram: Histogram) {
        self.count(|counters| {
            counters.add(all as usize, 1);
            if failed {
                counters.add(broken as usize, 1);
            }
            histogram.count(counters, took_ms);
        });
    }

    /// A cache lookup for a client's request ended with this result.
    pub fn cache_answered(&self, status: CacheStatus) {
        self.increment(counters::of_cache(status));
    }

    /// Lua code of a phase has ended.
    #[inline]
    pub fn lua_handler_ended(&self, failed: bool) {
        self.count(|counters| {
            counters.add(Counter::LuaHandlers as usize, 1);
            if failed {
                counters.add(Counter::LuaFailures as usize, 1);
            }
        });
    }
}

// An account has room for all of them.
const _: () = assert!(histogram::END <= shm::tally::COUNTERS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_all_fit() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|counter| (counter.name(), counter.label())).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
        assert_eq!((0..histogram::END).filter(|number| is_gauge(*number)).count(), 4);
    }

    #[test]
    fn what_is_counted_is_summed() {
        let observers = WorkerCounters::alone();
        observers.connection_came();
        observers.attempt_ended(true, 3);
        observers.attempt_ended(false, 70);
        observers.session_had(StreamEvent::Try { failed: true, took_ms: 5 });
        observers.cache_answered(CacheStatus::Stale);
        observers.phase_waited(Phase::Access, 9);
        observers.set(Counter::Active, 4);
        let wanted =
            [Counter::Accepted, Counter::Attempts, Counter::AttemptsFailed, Counter::Active, Counter::CacheStale, Counter::AccessTime];
        let sums = observers.sums();
        assert_eq!(wanted.map(|counter| observers.sum(counter)), [1, 2, 1, 4, 1, 9]);
        assert_eq!(wanted.map(|counter| sums.get(counter)), [1, 2, 1, 4, 1, 9]);
        assert_eq!(observers.processes([Counter::Active]), [(std::process::id(), [4])]);
        let attempts = sums.histogram(Histogram::Attempt);
        assert_eq!((attempts.total(), attempts.sum_ms), (2, 73));
        let of_stream = [Counter::StreamAttempts, Counter::StreamAttemptsFailed].map(|counter| sums.get(counter));
        assert_eq!((of_stream, sums.histogram(Histogram::StreamAttempt).sum_ms), ([1, 1], 5));
    }
}
