//! Counters that all processes can read: each process has an account that it alone writes, and a sum is the sum of all accounts.
//!
//! An account is claimed by a process when it starts to count. When the process has ended, what it counted goes to the first account,
//! which belongs to nobody; gauges, which say what is the case now, go with it. So counting needs no lock and no atomic
//! addition, and a process that is killed loses nothing.

use crate::word::to_usize;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use sys::shared::SharedMemory;

/// How many counters an account has.
pub const COUNTERS: usize = 127;
/// An account: the process id and its counters.
const WORDS: usize = COUNTERS + 1;
/// Most processes that count at the same time; more are not counted.
pub(crate) const ACCOUNTS: usize = 512;

/// The accounts of all processes. A clone is the same.
#[derive(Clone, Debug)]
pub struct Tally(SharedMemory);

/// The account of this process.
#[derive(Clone, Debug)]
pub struct Account {
    tally: Tally,
    index: usize,
}

/// The counters of an account, looked up once for several of them.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a>(&'a [AtomicU64; WORDS]);

impl Counters<'_> {
    /// Counts. This is the only writer, so no atomic addition is needed.
    #[inline]
    pub fn add(self, number: usize, amount: u64) {
        if let Some(counter) = self.0.get(number + 1) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        }
    }
}

impl Tally {
    /// Accounts that processes which are forked from now on share.
    ///
    /// # Errors
    /// What mmap(2) reports.
    pub fn new() -> io::Result<Tally> {
        SharedMemory::new(2 * ACCOUNTS * WORDS * 8).map(Tally)
    }

    fn account(&self, index: usize) -> Option<&[AtomicU64; WORDS]> {
        self.0.words(index * WORDS * 8)
    }

    /// What an account's counters said when they were last reset; that of the first account is what the sums said. Where an owner would be in
    /// that one, something of the caller's has room.
    fn reset_at(&self, index: usize) -> Option<&[AtomicU64; WORDS]> {
        self.account(ACCOUNTS + index)
    }

    /// Opens an account for the process `pid`; `None`: there are too many.
    #[must_use]
    pub fn open(&self, pid: u32) -> Option<Account> {
        let free = |index: &usize| {
            let owner = self.account(*index).and_then(|words| words.first());
            owner.is_some_and(|owner| owner.compare_exchange(0, u64::from(pid), Ordering::AcqRel, Ordering::Relaxed).is_ok())
        };
        let index = (1..ACCOUNTS).find(free)?;
        if let Some(used) = self.used() {
            used.fetch_max(index as u64, Ordering::AcqRel);
        }
        Some(Account { tally: self.clone(), index })
    }

    /// The highest index of an account that was ever opened; it stands where the first account, which belongs to nobody, would have an owner.
    fn used(&self) -> Option<&AtomicU64> {
        self.account(0)?.first()
    }

    /// The highest account that was ever opened.
    pub(crate) fn last_account(&self) -> usize {
        self.used().map_or(0, |used| to_usize(used.load(Ordering::Acquire))).min(ACCOUNTS - 1)
    }

    /// All accounts that have counted anything, the first one first.
    fn accounts(&self) -> impl Iterator<Item = &[AtomicU64; WORDS]> {
        (0..=self.last_account()).filter_map(|index| self.account(index))
    }

    /// The account of a process.
    #[must_use]
    pub fn account_of(&self, pid: u32) -> Option<usize> {
        let owner = |index| self.account(index).and_then(|words| words.first()).map_or(0, |owner| owner.load(Ordering::Acquire));
        (1..=self.last_account()).find(|index| owner(*index) == u64::from(pid))
    }

    /// The process has ended: what it counted stays, but the counters that are gauges.
    pub fn close(&self, pid: u32, is_gauge: impl Fn(usize) -> bool) {
        let Some(base) = self.account(0) else { return };
        for index in 1..ACCOUNTS {
            let Some(words) = self.account(index) else { continue };
            let Some((owner, counters)) = words.split_first().filter(|(owner, _)| owner.load(Ordering::Acquire) == u64::from(pid)) else {
                continue;
            };
            for (number, (from, to)) in counters.iter().zip(base.iter().skip(1)).enumerate() {
                let value = from.swap(0, Ordering::Relaxed);
                if !is_gauge(number) {
                    to.fetch_add(value, Ordering::Relaxed);
                }
            }
            for before in self.reset_at(index).into_iter().flatten() {
                before.store(0, Ordering::Relaxed);
            }
            owner.store(0, Ordering::Release);
        }
    }

    /// The sum of a counter over all processes, those that have ended with it.
    #[must_use]
    pub fn sum(&self, number: usize) -> u64 {
        let counters = self.accounts().filter_map(|words| words.get(number + 1));
        counters.map(|counter| counter.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl Tally {
    /// As [`Tally::sum`], since the last [`Tally::reset`].
    #[must_use]
    pub fn sum_since_reset(&self, number: usize) -> u64 {
        let before = self.reset_at(0).and_then(|words| words.get(number + 1));
        self.sum(number).saturating_sub(before.map_or(0, |before| before.load(Ordering::Relaxed)))
    }

    /// Lets [`Tally::sum_since_reset`] of a counter begin anew.
    pub fn reset(&self, number: usize) {
        if let Some(before) = self.reset_at(0).and_then(|words| words.get(number + 1)) {
            before.store(self.sum(number), Ordering::Relaxed);
        }
    }

    /// A word that is left for something else that begins anew by a reset.
    #[must_use]
    pub fn extra_word(&self) -> Option<&AtomicU64> {
        self.reset_at(0)?.first()
    }

    /// A counter of the process `pid`, since the last [`Tally::reset_of`].
    #[must_use]
    pub fn of(&self, pid: u32, number: usize) -> u64 {
        let load = |words: Option<&[AtomicU64; WORDS]>| {
            words.and_then(|words| words.get(number + 1)).map_or(0, |word| word.load(Ordering::Relaxed))
        };
        let index = self.account_of(pid);
        index.map_or(0, |index| load(self.account(index)).saturating_sub(load(self.reset_at(index))))
    }

    /// Lets [`Tally::of`] of a process's counter begin anew.
    pub fn reset_of(&self, pid: u32, number: usize) {
        let Some(index) = self.account_of(pid) else { return };
        let word =
            |words: Option<&'_ [AtomicU64; WORDS]>| words.and_then(|words| words.get(number + 1)).map(|word| word.load(Ordering::Relaxed));
        if let (Some(value), Some(before)) = (word(self.account(index)), self.reset_at(index).and_then(|words| words.get(number + 1))) {
            before.store(value, Ordering::Relaxed);
        }
    }

    /// The sums of the first `count` counters over all processes, those that have ended with them.
    #[must_use]
    pub fn sums(&self, count: usize) -> Vec<u64> {
        let mut sums = vec![0_u64; count];
        // An account without an owner counts nothing, but the first, which has what ended processes have left.
        for (_, words) in self.accounts().enumerate().filter(|(index, words)| *index == 0 || is_owned(words)) {
            for (sum, counter) in sums.iter_mut().zip(words.iter().skip(1)) {
                *sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        sums
    }

    /// The processes that count now, and what the counters `numbers` of each say.
    #[must_use]
    pub fn processes<const N: usize>(&self, numbers: [usize; N]) -> Vec<(u32, [u64; N])> {
        let owned = self.accounts().skip(1).filter(|words| is_owned(words));
        let read = |words: &[AtomicU64; WORDS], number: usize| words.get(number).map_or(0, |word| word.load(Ordering::Relaxed));
        owned.filter_map(|words| Some((u32::try_from(read(words, 0)).ok()?, numbers.map(|number| read(words, number + 1))))).collect()
    }
}

fn is_owned(words: &[AtomicU64; WORDS]) -> bool {
    words.first().is_some_and(|owner| owner.load(Ordering::Acquire) != 0)
}

impl Account {
    fn counter(&self, number: usize) -> Option<&AtomicU64> {
        self.tally.account(self.index)?.get(number + 1)
    }

    /// Its counters.
    #[inline]
    #[must_use]
    pub fn counters(&self) -> Option<Counters<'_>> {
        self.tally.account(self.index).map(Counters)
    }

    /// Says how much there is now.
    pub fn set(&self, number: usize, value: u64) {
        if let Some(counter) = self.counter(number) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// Its number among all accounts, not 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
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
        let add = |account: &Account, number, amount| account.counters().unwrap().add(number, amount);
        add(&one, 0, 5);
        one.set(1, 3);
        add(&other, 0, 2);
        other.set(1, 4);
        assert_eq!((tally.sum(0), tally.sum(1)), (7, 7));
        assert_eq!(tally.processes([1, 0]), [(7, [3, 5]), (8, [4, 2])]);
        tally.close(7, |number| number == 1);
        tally.close(99, |_| false);
        assert_eq!((tally.sum(0), tally.sum(1)), (7, 4));
        assert_eq!((tally.sums(2), tally.processes([0])), (vec![7, 4], vec![(8, [2])]));
        let again = tally.open(9).unwrap();
        assert_eq!(again.index, one.index);
        add(&again, COUNTERS, 1);
        add(&again, 0, 1);
        assert_eq!(tally.sum(0), 8);
    }

    #[test]
    fn resets_change_what_is_shown_alone() {
        let tally = Tally::new().unwrap();
        let one = tally.open(7).unwrap();
        one.counters().unwrap().add(3, 5);
        tally.reset(3);
        tally.reset_of(7, 3);
        tally.reset_of(8, 3);
        one.counters().unwrap().add(3, 2);
        assert_eq!((tally.sum(3), tally.sum_since_reset(3), tally.of(7, 3), tally.of(8, 3)), (7, 2, 2, 0));
        tally.close(7, |_| false);
        assert_eq!((tally.sum_since_reset(3), tally.of(7, 3)), (2, 0));
        let next = tally.open(9).unwrap();
        next.counters().unwrap().add(3, 1);
        assert_eq!((next.index(), tally.of(9, 3), tally.sum_since_reset(3)), (one.index(), 1, 3));
    }

    #[test]
    fn all_accounts_are_read_and_no_more_than_were_opened() {
        let tally = Tally::new().unwrap();
        assert_eq!((tally.accounts().count(), tally.sum(0)), (1, 0));
        let accounts: Vec<Account> = (1..).map_while(|pid| tally.open(pid)).collect();
        assert_eq!((accounts.len(), tally.accounts().count()), (ACCOUNTS - 1, ACCOUNTS));
        accounts.iter().for_each(|account| account.set(0, 1));
        assert_eq!((tally.sum(0), tally.processes([0]).len()), (511, 511));
    }
}
