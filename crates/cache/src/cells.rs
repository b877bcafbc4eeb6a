//! The records of an index: a hash table with chaining and three queues, all linked by record numbers in shared words.

mod locked;

pub(crate) use locked::LockedCells;

use crate::key::Digest;
use base::saturated::Saturated;
use shm::{Records, Zone, lock};
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// Words of a record.
pub(crate) mod at {
    pub(crate) const KEY: usize = 0;
    /// The bucket of this number: its first record; this record's next in its own bucket.
    pub(crate) const LINKS: usize = 2;
    /// The record before and behind this one in its queue.
    pub(crate) const QUEUE: usize = 3;
    /// Flags and frequency; uses.
    pub(crate) const STATE: usize = 4;
    pub(crate) const BLOCKS: usize = 5;
    pub(crate) const VALID: usize = 6;
    pub(crate) const ACCESSED: usize = 7;
    pub(crate) const FETCHED: usize = 8;
    pub(crate) const VERSION: usize = 9;
    /// How often its file was given. Without a file: when it went, on the clock of evictions.
    pub(crate) const HITS: usize = 10;
    pub(crate) const WORDS: usize = 12;
}

/// Words of record 0, which is the index's own.
pub(crate) mod own {
    /// Three queues: first and last record.
    pub(crate) const QUEUES: usize = 0;
    /// First free record; first never used.
    pub(crate) const FREE: usize = 3;
    /// Blocks of the three queues' files.
    pub(crate) const BLOCKS: usize = 4;
    pub(crate) const FILES: usize = 7;
    pub(crate) const LOADED: usize = 8;
    pub(crate) const LEASE: usize = 9;
    pub(crate) const CURSOR: usize = 10;
    pub(crate) const VERSION: usize = 11;
}

/// Words of the zone.
const LOCK: usize = 0;
const SEQUENCE: usize = 1;
/// How many purges the list has had.
const PURGES: usize = 2;
/// When the last purge was, milliseconds.
const PURGED: usize = 3;
/// Purges up to this time are forgotten, milliseconds.
const FORGOTTEN: usize = 4;
/// Device and inode of the directory, and [`IS_KEYS`], for [`crate::snapshot`].
pub(crate) const HOME: usize = 5;
pub(crate) const MARK: usize = 7;
/// How many files went for others.
const EVICTIONS: usize = 8;

/// Marks a zone that holds the keys of a cache, and the layout of its records.
pub(crate) const IS_KEYS: u64 = u64::from_le_bytes(*b"LNTKEYS2");

/// Bits of a record's state.
pub mod flag {
    /// It stands for a key.
    pub const USED: u32 = 1;
    /// There is a file.
    pub const FILE: u32 = 2;
    /// Which queue.
    pub const QUEUE: u32 = 3 << 2;
    /// How often it was used, up to three.
    pub(crate) const FREQUENCY: u32 = 3 << 4;
    /// The status that stands for a response.
    pub const ERROR: u32 = 0xfff << 8;
    /// The file's body is known to be what was written.
    pub(crate) const VERIFIED: u32 = 1 << 20;
}

/// A copy of a key's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// There is a file.
    pub exists: bool,
    /// How often it was asked for while there was none.
    pub uses: u32,
    /// An error that stands for a response, or 0.
    pub error: u16,
    /// Until when the error holds, seconds.
    pub valid: i64,
    /// Changes whenever the file does.
    pub version: u64,
    /// The file's body is known to be what was written.
    pub verified: bool,
}

/// The queues of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// No queue.
    None = 0,
    /// New files.
    Small = 1,
    /// Files that were asked for again.
    Main = 2,
    /// Keys without a file.
    Ghost = 3,
}

/// How often a look without lock is tried.
const LOOKS: u32 = 16;

/// The records.
#[derive(Debug)]
pub(crate) struct Cells {
    records: Records,
    pub(crate) capacity: usize,
}

impl Cells {
    /// Those of a zone.
    pub(crate) fn new(zone: Rc<Zone>) -> Cells {
        let records = Records::new(zone, at::WORDS);
        let capacity = records.capacity().min(u32::MAX as usize);
        Cells { records, capacity }
    }

    /// Records there are, without the index's own.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.saturating_sub(1)
    }

    /// Locks. What a dead process left is emptied.
    pub(crate) fn lock(&self) -> LockedCells<'_> {
        let robbed = lock::acquire(self.records.header(LOCK));
        let sequence = self.records.header(SEQUENCE);
        let torn = sequence.load(Relaxed) & 1 != 0;
        if !torn {
            sequence.fetch_add(1, Relaxed);
        }
        fence(Release);
        let locked = LockedCells { cells: self };
        if robbed || torn {
            locked.clear();
        }
        locked
    }

    pub(crate) fn word(&self, id: usize, i: usize) -> &AtomicU64 {
        self.records.word(id, i)
    }

    pub(crate) fn half(&self, id: usize, word: usize, i: usize) -> &AtomicU32 {
        self.records.half(id, word, i)
    }

    fn bucket(&self, key: &Digest) -> &AtomicU32 {
        let (hash, _) = words(key);
        // The words of record 0 are the index's own.
        let bucket = 1 + usize::saturated(hash % self.capacity().max(1) as u64);
        self.half(bucket, at::LINKS, 0)
    }

    fn find(&self, key: &Digest) -> Option<usize> {
        let (first, second) = words(key);
        let mut id = self.bucket(key).load(Relaxed) as usize;
        for _ in 0..self.capacity {
            if id == 0 {
                return None;
            }
            if self.word(id, at::KEY).load(Relaxed) == first && self.word(id, at::KEY + 1).load(Relaxed) == second {
                return Some(id);
            }
            id = self.half(id, at::LINKS, 1).load(Relaxed) as usize;
        }
        None
    }

    fn entry(&self, id: usize) -> Entry {
        let state = self.half(id, at::STATE, 0).load(Relaxed);
        Entry {
            exists: state & flag::FILE != 0,
            uses: self.half(id, at::STATE, 1).load(Relaxed),
            error: ((state & flag::ERROR) >> 8) as u16,
            valid: self.word(id, at::VALID).load(Relaxed).cast_signed(),
            version: self.word(id, at::VERSION).load(Relaxed),
            verified: state & flag::VERIFIED != 0,
        }
    }

    /// Finds a key without the lock.
    pub(crate) fn find_unlocked(&self, key: &Digest) -> Option<(usize, Entry)> {
        let sequence = self.records.header(SEQUENCE);
        for _ in 0..LOOKS {
            let before = sequence.load(Acquire);
            if before & 1 != 0 {
                std::hint::spin_loop();
                continue;
            }
            let found = self.find(key).map(|id| (id, self.entry(id)));
            fence(Acquire);
            if sequence.load(Relaxed) == before {
                return found;
            }
        }
        let held = self.lock();
        held.find(key).map(|id| (id, held.entry(id)))
    }

    /// Notes a use of a record. Without lock: if the record has become another's, that one is used once more.
    pub(crate) fn note_use(&self, id: usize, now: i64) {
        let state = self.half(id, at::STATE, 0);
        let value = state.load(Relaxed);
        let uses = (value & flag::FREQUENCY) >> 4;
        if uses < 3 {
            // Lost against a change under the lock: that change counts.
            let _ = state.compare_exchange(value, (value & !flag::FREQUENCY) | ((uses + 1) << 4), Relaxed, Relaxed);
        }
        self.word(id, at::HITS).fetch_add(1, Relaxed);
        let accessed = self.word(id, at::ACCESSED);
        if accessed.load(Relaxed) != now.cast_unsigned() {
            accessed.store(now.cast_unsigned(), Relaxed);
        }
    }

    /// Whether all files are known.
    pub(crate) fn loaded(&self) -> bool {
        self.word(0, own::LOADED).load(Acquire) != 0
    }

    /// All files are known now.
    pub(crate) fn set_loaded(&self) {
        self.word(0, own::LOADED).store(1, Release);
    }

    /// When the last purge was.
    pub(crate) fn purged(&self) -> &AtomicU64 {
        self.records.header(PURGED)
    }

    /// Says which directory the records are about, for other programs.
    pub(crate) fn set_home(&self, device: u64, inode: u64) {
        self.records.header(HOME).store(device, Relaxed);
        self.records.header(HOME + 1).store(inode, Relaxed);
        self.records.header(MARK).store(IS_KEYS, Release);
    }

    /// Up to when purges are forgotten.
    pub(crate) fn purged_until(&self) -> &AtomicU64 {
        self.records.header(FORGOTTEN)
    }

    /// The number of purges in the list.
    pub(crate) fn purges(&self) -> &AtomicU64 {
        self.records.header(PURGES)
    }
}

fn words(key: &Digest) -> (u64, u64) {
    let word = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
    let (first, second) = key.split_at(8);
    (word(first), word(second))
}
