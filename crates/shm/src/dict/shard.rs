//! One part of a dictionary under its lock.
//!
//! A shard's head has a lock and a sequence number. The number is odd while a change goes on: who reads without the lock sees
//! by it that what was read may be torn, and who takes the lock of a dead process sees by it that the shard is half-written.

use super::failpoint;
use super::geometry::{Geometry, HEAD};
use crate::lock;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::cell::Cell;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use sys::shared::SharedMemory;

/// Words of a shard's head.
pub(super) mod at {
    pub(in super::super) const LOCK: usize = 0;
    /// Odd while the shard is being changed.
    pub(in super::super) const SEQUENCE: usize = 1;
    /// Ends of the list of entries in the order of their use.
    pub(in super::super) const NEWEST: usize = 2;
    pub(in super::super) const OLDEST: usize = 3;
    pub(in super::super) const ENTRIES: usize = 4;
    /// How often the shard was found half-written and emptied.
    pub(in super::super) const EMPTIED: usize = 5;
    /// How often its lock was taken from a dead process.
    pub(in super::super) const ROBBED: usize = 6;
    /// Per class of chunks, a page that has free ones.
    pub(in super::super) const PARTIAL: usize = 8;
}

/// What a process knows of a dictionary: its memory, and how to find things in it.
#[derive(Debug)]
pub(super) struct Arena {
    pub(super) memory: SharedMemory,
    pub(super) geometry: Geometry,
    seed: u64,
    mixer: SharedSeed,
}

/// Where a key's entry belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    pub(super) key: &'a [u8],
    pub(super) shard: usize,
    /// The bucket's offset in the zone.
    pub(super) bucket: usize,
    /// Hash and length of the key, as records have them.
    pub(super) tag: u64,
    /// The bit of the bucket that says that an entry was used.
    pub(super) mark: u64,
}

/// Longest key in bytes.
const MAX_KEY: usize = 65535;

/// The bit of its bucket that marks an entry with this hash as used.
#[inline]
pub(super) fn mark_of(hash: u64) -> u64 {
    1 << (32 + (hash & 31))
}

static NOWHERE: [AtomicU64; HEAD] = [const { AtomicU64::new(0) }; HEAD];

impl Arena {
    pub(super) fn new(memory: SharedMemory, seed: u64) -> Arena {
        let geometry = Geometry::new(memory.len());
        Arena { memory, geometry, seed, mixer: SharedSeed::from_u64(seed) }
    }

    /// A shard's head, or the pool's.
    #[inline]
    pub(super) fn head(&self, offset: usize) -> &[AtomicU64; HEAD] {
        // Heads are inside of every zone that is large enough to be one.
        self.memory.words(offset).unwrap_or(&NOWHERE)
    }

    /// The hash of a key.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.mixer);
        hasher.write(key);
        hasher.finish() >> 24
    }

    /// Where a key belongs. What is behind the longest length of a key is left out.
    #[inline]
    pub(super) fn spot<'k>(&self, key: &'k [u8]) -> Slot<'k> {
        let key = key.get(..MAX_KEY).unwrap_or(key);
        let hash = self.hash(key);
        Slot {
            key,
            shard: self.geometry.shard_of(hash),
            bucket: self.geometry.bucket_of(hash),
            tag: (hash << 24) | (key.len() as u64) << 8,
            mark: mark_of(hash),
        }
    }

    /// Takes a shard's lock. What it holds may be half-written: [`Arena::lock`] sees to that.
    #[inline]
    pub(super) fn enter(&self, number: usize) -> Shard<'_> {
        let head = self.head(self.geometry.head(number));
        let robbed = lock::acquire(&head[at::LOCK]);
        let shard = Shard { arena: self, head, number, changed: Cell::new(false) };
        if robbed {
            head[at::ROBBED].fetch_add(1, Ordering::Relaxed);
        }
        shard
    }
}

/// A locked shard. It is unlocked when this is dropped.
#[derive(Debug)]
pub(super) struct Shard<'a> {
    pub(super) arena: &'a Arena,
    pub(super) head: &'a [AtomicU64; HEAD],
    pub(super) number: usize,
    changed: Cell<bool>,
}

impl<'a> Shard<'a> {
    /// A word of the head.
    #[inline]
    pub(super) fn get(&self, word: usize) -> u64 {
        self.head.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Writes a word of the head.
    #[inline]
    pub(super) fn set(&self, word: usize, value: u64) {
        if let Some(word) = self.head.get(word) {
            self.put(word, value);
        }
    }

    /// Adds one to a count of the head. What memory holds may be anything: a count at its end begins anew.
    #[inline]
    pub(super) fn count_up(&self, word: usize) {
        self.set(word, self.get(word).wrapping_add(1));
    }

    /// Whether a change was begun and not finished.
    #[inline]
    pub(super) fn is_torn(&self) -> bool {
        self.get(at::SEQUENCE) & 1 != 0
    }

    /// Writes a word of the shard, its pages or its buckets. All that the lock guards is written by this function.
    #[inline]
    pub(super) fn put(&self, word: &AtomicU64, value: u64) {
        if !self.changed.get() {
            self.change();
        }
        failpoint::step();
        word.store(value, Ordering::Relaxed);
    }

    /// Adds to a number that one word holds.
    #[inline]
    pub(super) fn add_to(&self, word: &AtomicU64, by: f64) -> f64 {
        let sum = f64::from_bits(word.load(Ordering::Relaxed)) + by;
        self.put(word, sum.to_bits());
        sum
    }

    /// A change begins.
    #[inline]
    pub(super) fn change(&self) {
        self.changed.set(true);
        failpoint::step();
        let word = &self.head[at::SEQUENCE];
        word.store(word.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
        // The mark comes before the changes that it stands for.
        fence(Ordering::Release);
    }

    /// The change is whole.
    #[inline]
    pub(super) fn finish(&self) {
        self.changed.set(false);
        let word = &self.head[at::SEQUENCE];
        word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        failpoint::step();
    }

    /// The words from a place on.
    #[inline]
    pub(super) fn words<const N: usize>(&self, place: usize) -> Option<&'a [AtomicU64; N]> {
        self.arena.memory.words(place)
    }
}

impl Drop for Shard<'_> {
    #[inline]
    fn drop(&mut self) {
        failpoint::step();
        if self.changed.get() && !std::thread::panicking() {
            self.finish();
        }
        lock::release(&self.head[at::LOCK]);
    }
}
