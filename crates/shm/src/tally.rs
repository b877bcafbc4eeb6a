//! Counters that all processes can read: each process has an account that it alone writes, and a sum is the sum of all accounts.
//!
//! An account is claimed by a process when it starts to count. When the process has ended, what it counted goes to the first account,
//! which belongs to nobody; gauges, which say what is the case now, go with it. So counting needs no lock and no atomic
//! addition, and a process that is killed loses nothing.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use sys::shared::SharedMemory;

/// Counters of one account.
pub const COUNTERS: usize = 31;
/// An account: the process id and its counters.
const WORDS: usize = COUNTERS + 1;
/// Most processes that count at the same time; more are not counted.
const ACCOUNTS: usize = 512;

/// The accounts of all processes. A clone is the same.
#[derive(Clone, Debug)]
pub struct Tally(SharedMemory);

/// The account of this process.
#[derive(Clone, Debug)]
pub struct Account {
    tally: Tally,
    index: usize,
}

impl Tally {
    /// Accounts that processes which are forked from now on share.
    ///
    /// # Errors
    /// What mmap(2) reports.
    pub fn new() -> io::Result<Tally> {
        SharedMemory::new(ACCOUNTS * WORDS * 8).map(Tally)
    }

    fn account(&self, index: usize) -> Option<&[AtomicU64; WORDS]> {
        self.0.words(index * WORDS * 8)
    }

    /// Opens an account for the process `pid`; `None`: there are too many.
    #[must_use]
    pub fn open(&self, pid: u32) -> Option<Account> {
        let free = |index: &usize| {
            let owner = self.account(*index).and_then(|words| words.first());
            owner.is_some_and(|owner| owner.compare_exchange(0, u64::from(pid), Ordering::AcqRel, Ordering::Relaxed).is_ok())
        };
        let index = (1..ACCOUNTS).find(free)?;
        Some(Account { tally: self.clone(), index })
    }

    /// The process has ended: what it counted stays, but the counters named in `gauges` (bit by number).
    pub fn close(&self, pid: u32, gauges: u32) {
        let Some(base) = self.account(0) else { return };
        for index in 1..ACCOUNTS {
            let Some(words) = self.account(index) else { continue };
            let Some((owner, counters)) = words.split_first().filter(|(owner, _)| owner.load(Ordering::Acquire) == u64::from(pid)) else {
                continue;
            };
            for (number, (from, to)) in counters.iter().zip(base.iter().skip(1)).enumerate() {
                let value = from.swap(0, Ordering::Relaxed);
                if gauges & 1 << number == 0 {
                    to.fetch_add(value, Ordering::Relaxed);
                }
            }
            owner.store(0, Ordering::Release);
        }
    }

    /// The sum of a counter over all processes, those that have ended with it.
    #[must_use]
    pub fn sum(&self, number: usize) -> u64 {
        let accounts = (0..ACCOUNTS).filter_map(|index| self.account(index)).filter_map(|words| words.get(number + 1));
        accounts.map(|counter| counter.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl Account {
    fn counter(&self, number: usize) -> Option<&AtomicU64> {
        self.tally.account(self.index)?.get(number + 1)
    }

    /// Counts. Nobody else writes here, so no atomic addition is needed.
    #[inline]
    pub fn add(&self, number: usize, amount: u64) {
        if let Some(counter) = self.counter(number) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        }
    }

    /// Says how much there is now.
    pub fn set(&self, number: usize, value: u64) {
        if let Some(counter) = self.counter(number) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// All accounts.
    #[must_use]
    pub fn all(&self) -> &Tally {
        &self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_outlive_processes_and_gauges_do_not() {
        let tally = Tally::new().unwrap();
        let (one, other) = (tally.open(7).unwrap(), tally.open(8).unwrap());
        one.add(0, 5);
        one.set(1, 3);
        other.add(0, 2);
        other.set(1, 4);
        assert_eq!((tally.sum(0), tally.sum(1)), (7, 7));
        tally.close(7, 1 << 1);
        tally.close(99, 0);
        assert_eq!((tally.sum(0), tally.sum(1)), (7, 4));
        let again = tally.open(9).unwrap();
        assert_eq!(again.index, one.index);
        again.add(COUNTERS, 1);
        again.add(0, 1);
        assert_eq!(tally.sum(0), 8);
    }
}
