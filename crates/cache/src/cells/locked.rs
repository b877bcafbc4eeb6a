//! Changes of records, which need the lock of the index.

use super::{Cells, EVICTIONS, Entry, LOCK, SEQUENCE, at, flag, own, words};
use crate::key::Digest;
use base::saturated::Saturated;
use shm::lock;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// The records, locked.
pub(crate) struct LockedCells<'a> {
    pub(crate) cells: &'a Cells,
}

impl Drop for LockedCells<'_> {
    fn drop(&mut self) {
        self.cells.records.header(SEQUENCE).fetch_add(1, Release);
        lock::release(self.cells.records.header(LOCK));
    }
}

impl LockedCells<'_> {
    /// Clears everything except the maintenance lease.
    pub(super) fn clear(&self) {
        let lease = self.cells.word(0, own::LEASE).load(Relaxed);
        let version = self.cells.word(0, own::VERSION).load(Relaxed);
        for id in 0..self.cells.capacity {
            (0..at::WORDS).for_each(|i| self.cells.word(id, i).store(0, Relaxed));
        }
        self.cells.word(0, own::LEASE).store(lease, Relaxed);
        self.cells.word(0, own::VERSION).store(version, Relaxed);
    }

    /// The record of a key.
    pub(crate) fn find(&self, key: &Digest) -> Option<usize> {
        self.cells.find(key)
    }

    /// What a record says.
    pub(crate) fn entry(&self, id: usize) -> Entry {
        self.cells.entry(id)
    }

    /// A fresh record for a key, in no queue.
    pub(crate) fn allocate(&self, key: &Digest) -> Option<usize> {
        let cells = self.cells;
        let (free, mark) = (cells.half(0, own::FREE, 0), cells.half(0, own::FREE, 1));
        let id = match free.load(Relaxed) {
            0 => {
                let next = mark.load(Relaxed).max(1);
                if next as usize >= cells.capacity {
                    return None;
                }
                mark.store(next + 1, Relaxed);
                next
            }
            id => {
                free.store(cells.half(id as usize, at::QUEUE, 1).load(Relaxed), Relaxed);
                id
            }
        };
        let (first, second) = words(key);
        let place = id as usize;
        cells.word(place, at::KEY).store(first, Relaxed);
        cells.word(place, at::KEY + 1).store(second, Relaxed);
        (at::QUEUE..at::WORDS).for_each(|i| cells.word(place, i).store(0, Relaxed));
        self.set_flags(place, flag::USED);
        let bucket = cells.bucket(key);
        cells.half(place, at::LINKS, 1).store(bucket.load(Relaxed), Relaxed);
        bucket.store(id, Relaxed);
        Some(place)
    }

    /// Gives a record back.
    pub(crate) fn remove(&self, id: usize) {
        self.unlink(id);
        self.forget_file(id);
        let cells = self.cells;
        let next = cells.half(id, at::LINKS, 1).load(Relaxed);
        let mut link = cells.bucket(&self.key(id));
        for _ in 0..cells.capacity {
            match link.load(Relaxed) {
                0 => break,
                found if found as usize == id => {
                    link.store(next, Relaxed);
                    break;
                }
                other => link = cells.half(other as usize, at::LINKS, 1),
            }
        }
        self.set_flags(id, 0);
        cells.half(id, at::QUEUE, 1).store(cells.half(0, own::FREE, 0).load(Relaxed), Relaxed);
        cells.half(0, own::FREE, 0).store(u32::saturated(id), Relaxed);
    }

    /// The key of a record.
    pub(crate) fn key(&self, id: usize) -> Digest {
        let mut key = Digest::default();
        let (first, second) = key.split_at_mut(8);
        first.copy_from_slice(&self.cells.word(id, at::KEY).load(Relaxed).to_le_bytes());
        second.copy_from_slice(&self.cells.word(id, at::KEY + 1).load(Relaxed).to_le_bytes());
        key
    }

    /// Flags of a record.
    pub(crate) fn flags(&self, id: usize) -> u32 {
        self.cells.half(id, at::STATE, 0).load(Relaxed)
    }

    pub(crate) fn set_flags(&self, id: usize, value: u32) {
        self.cells.half(id, at::STATE, 0).store(value, Relaxed);
    }

    /// Number of files.
    pub(crate) fn files(&self) -> u64 {
        self.cells.word(0, own::FILES).load(Relaxed)
    }

    pub(crate) fn size(&self, id: usize) -> u64 {
        self.cells.word(id, at::BLOCKS).load(Relaxed)
    }

    /// Sets the blocks of a record that is in no queue.
    pub(crate) fn set_size(&self, id: usize, blocks: u64) {
        self.cells.word(id, at::BLOCKS).store(blocks, Relaxed);
    }

    /// There is a file.
    pub(crate) fn set_file(&self, id: usize, now: i64) {
        let flags = self.flags(id);
        if flags & flag::FILE == 0 {
            self.cells.word(0, own::FILES).fetch_add(1, Relaxed);
        }
        self.set_flags(id, (flags | flag::FILE) & !(flag::FREQUENCY | flag::ERROR));
        self.set_accessed(id, now);
    }

    /// The file's body is what was written.
    pub(crate) fn set_verified(&self, id: usize) {
        self.set_flags(id, self.flags(id) | flag::VERIFIED);
    }

    /// There is no file any more. The record is in no queue.
    pub(crate) fn forget_file(&self, id: usize) {
        let flags = self.flags(id);
        if flags & flag::FILE != 0 {
            let files = self.cells.word(0, own::FILES);
            files.store(files.load(Relaxed).saturating_sub(1), Relaxed);
        }
        self.set_flags(id, flags & !(flag::FILE | flag::FREQUENCY | flag::ERROR | flag::VERIFIED));
        self.cells.word(id, at::HITS).store(0, Relaxed);
        self.set_size(id, 0);
    }

    /// An error stands for the response.
    pub(crate) fn set_error(&self, id: usize, error: u16, valid: i64) {
        self.set_flags(id, (self.flags(id) & !flag::ERROR) | (u32::from(error) << 8 & flag::ERROR));
        self.cells.word(id, at::VALID).store(valid.cast_unsigned(), Relaxed);
    }

    /// Its file goes for others: that is remembered while as many go as there are files.
    pub(crate) fn note_eviction(&self, id: usize) {
        let clock = self.cells.records.header(EVICTIONS).fetch_add(1, Relaxed) + 1;
        self.cells.word(id, at::HITS).store(clock, Relaxed);
        self.cells.half(id, at::STATE, 1).store(0, Relaxed);
    }

    /// Whether its file went for others a short time ago.
    pub(crate) fn went_lately(&self, id: usize) -> bool {
        let then = self.cells.word(id, at::HITS).load(Relaxed);
        let gone = self.cells.records.header(EVICTIONS).load(Relaxed).saturating_sub(then);
        then != 0 && gone <= self.files()
    }

    /// How often the key was asked for while it had no file.
    pub(crate) fn request_count(&self, id: usize) -> u32 {
        self.cells.half(id, at::STATE, 1).load(Relaxed)
    }

    /// Counts that once more.
    pub(crate) fn add_use(&self, id: usize) -> u32 {
        let uses = self.request_count(id).saturating_add(1);
        self.cells.half(id, at::STATE, 1).store(uses, Relaxed);
        uses
    }

    /// How often its file was used, up to three.
    pub(crate) fn frequency(&self, id: usize) -> u32 {
        (self.flags(id) & flag::FREQUENCY) >> 4
    }

    /// Sets that.
    pub(crate) fn set_frequency(&self, id: usize, value: u32) {
        self.set_flags(id, (self.flags(id) & !flag::FREQUENCY) | (value << 4 & flag::FREQUENCY));
    }

    /// When it was last used, seconds.
    pub(crate) fn accessed(&self, id: usize) -> i64 {
        self.cells.word(id, at::ACCESSED).load(Relaxed).cast_signed()
    }

    /// Sets that.
    pub(crate) fn set_accessed(&self, id: usize, now: i64) {
        self.cells.word(id, at::ACCESSED).store(now.cast_unsigned(), Relaxed);
    }

    /// When the current fetch expires, milliseconds.
    pub(crate) fn fetched_until(&self, id: usize) -> u64 {
        self.cells.word(id, at::FETCHED).load(Relaxed)
    }

    /// Whether a fetch was started and has not ended.
    pub(crate) fn is_locked(&self, id: usize) -> bool {
        self.fetched_until(id) != 0
    }

    /// Claims the fetch if it is free.
    pub(crate) fn take_fetch(&self, id: usize, now_ms: u64, until_ms: u64) -> bool {
        let free = self.fetched_until(id) <= now_ms;
        if free {
            self.cells.word(id, at::FETCHED).store(until_ms, Relaxed);
        }
        free
    }

    /// Ends it.
    pub(crate) fn end_fetch(&self, id: usize) {
        self.cells.word(id, at::FETCHED).store(0, Relaxed);
    }

    /// A version that no file had before.
    pub(crate) fn new_version(&self, id: usize) -> u64 {
        let last = self.cells.word(0, own::VERSION);
        // Beginning with the time, so that none of a zone that was made anew is like one that a worker remembers.
        let version = last.load(Relaxed).saturating_add(1).max(base::clock::epoch_ms() << 16);
        last.store(version, Relaxed);
        self.cells.word(id, at::VERSION).store(version, Relaxed);
        version
    }
}
