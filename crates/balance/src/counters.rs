//! Counters of a peer that change while requests run, behind one interface: cells of one worker here, words of a zone in [`crate::shared`].

use std::cell::Cell;
use std::fmt::Debug;

/// A number of a peer. All of them are 0 at a fresh peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// nginx's `current_weight`.
    Turn,
    /// How much of its weight failures have cost it.
    Lost,
    /// Failures since it last was well.
    Fails,
    /// When it last failed, seconds.
    Failed,
    /// When it last failed or was probed, seconds.
    Checked,
    /// A state that was set at run time: 0 none, otherwise one more than [`crate::ServerState`]'s number.
    Standing,
    /// When it came back and began to take its weight slowly, milliseconds.
    SlowSince,
    /// Average until a response's head, milliseconds.
    HeaderTime,
    /// Average until a response's end, milliseconds.
    ResponseTime,
    /// Average age of requests that wait for their responses, milliseconds.
    WaitingTime,
    /// Sum of these ages at [`Counter::WaitingSince`].
    WaitingSum,
    /// When that sum was made.
    WaitingSince,
    /// How many requests wait for their responses.
    Waiting,
    /// What health checks say of it, a bit for each check: it has failed; 32 bits higher, it has not come yet.
    Health,
    /// Health checks that were made.
    Checks,
    /// Those that failed.
    ChecksFailed,
    /// How often health checks have put it out of service.
    ChecksUnhealthy,
    /// How the last one went: 0 none was, 1 well, 2 badly.
    CheckPassed,
    /// Requests that it was chosen for.
    Requests,
    /// When the last one was, milliseconds.
    Selected,
    /// Tries that failed.
    Failures,
    /// How often failures have put it out of service.
    Unavailable,
    /// Since when it is out of service, milliseconds; 0 it is not.
    DownSince,
    /// How long it was out of service until then, milliseconds.
    DownTime,
    /// Bytes that were sent to it.
    Sent,
    /// Bytes that came from it.
    Received,
    /// Answers with a status of 100 to 199; those of the next hundreds are behind.
    Answers1,
    /// 200 to 299
    Answers2,
    /// 300 to 399
    Answers3,
    /// 400 to 499
    Answers4,
    /// 500 and above
    Answers5,
}

/// How many kinds of [`Counter`] there are.
pub const COUNTERS: usize = 31;

/// The counters of one peer: requests in progress, failures, weights.
pub trait Counters: Debug {
    /// A number.
    fn get(&self, counter: Counter) -> i64;

    /// Sets a number.
    fn set(&self, counter: Counter, value: i64);

    /// Adds to a number; the sum.
    fn add(&self, counter: Counter, by: i64) -> i64;

    /// Requests that it is serving now.
    fn connections(&self) -> u64;

    /// Counts a request more, unless there are `limit` (0 is no limit).
    fn connect(&self, limit: u64) -> bool;

    /// Counts a request less.
    fn disconnect(&self);
}

/// Numbers of one worker.
#[derive(Debug, Default)]
pub(crate) struct LocalCounters {
    words: [Cell<i64>; COUNTERS],
    connections: Cell<u64>,
}

impl LocalCounters {
    fn cell(&self, counter: Counter) -> &Cell<i64> {
        // There are as many cells as counters.
        self.words.get(counter as usize).unwrap_or(&self.words[0])
    }
}

impl Counters for LocalCounters {
    fn get(&self, counter: Counter) -> i64 {
        self.cell(counter).get()
    }

    fn set(&self, counter: Counter, value: i64) {
        self.cell(counter).set(value);
    }

    fn add(&self, counter: Counter, by: i64) -> i64 {
        let cell = self.cell(counter);
        cell.set(cell.get().wrapping_add(by));
        cell.get()
    }

    fn connections(&self) -> u64 {
        self.connections.get()
    }

    fn connect(&self, limit: u64) -> bool {
        let count = self.connections.get();
        if limit != 0 && count >= limit {
            return false;
        }
        self.connections.set(count + 1);
        true
    }

    fn disconnect(&self) {
        self.connections.set(self.connections.get().saturating_sub(1));
    }
}
