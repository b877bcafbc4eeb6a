//! The keys of a cache in memory that all workers share: which answers are stored, how they are used, who fetches one.
//!
//! A record of 96 bytes per key. Who changes something holds the lock; who only looks takes none, and a sequence number tells him
//! whether somebody changed something meanwhile. When the lock's holder has died, the index is emptied and read from the disk again.

use crate::cells::{Cells, Entry, LockedCells, Queue, flag};
use crate::key::Digest;
use shm::Zone;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Which keys are evicted first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// S3-FIFO: what is asked for once passes through a short queue; keys that went are remembered for a while.
    #[default]
    S3Fifo,
    /// The least recently used goes.
    Lru,
}

/// How the index was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// Files may exist that it does not know.
    Cold,
    /// It knows them all.
    Loaded,
}

/// The index of one cache: all keys, in shared memory.
#[derive(Debug)]
pub struct Index {
    cells: Cells,
    policy: Policy,
    /// 512-byte blocks that the files may have; 0 is unlimited.
    max_size: u64,
}

impl Index {
    /// The index in a zone, which must be used for nothing else.
    #[must_use]
    pub fn new(zone: Rc<Zone>, policy: Policy, max_size: u64) -> Index {
        Index { cells: Cells::new(zone), policy, max_size }
    }

    /// Looks without a lock, and notes that the key was asked for.
    #[must_use]
    pub fn find(&self, key: &Digest, now: i64) -> Option<Entry> {
        let (id, entry) = self.cells.find_unlocked(key)?;
        if entry.exists {
            if self.policy == Policy::Lru {
                let cells = self.cells.lock();
                if cells.find(key) == Some(id) {
                    cells.unlink(id);
                    cells.push(id, Queue::Main);
                }
            }
            self.cells.note_use(id, now);
        }
        Some(entry)
    }

    /// Counts a request for a key without a file, making its record; returns how many there were.
    /// Files of keys that must go for it are added to `gone`.
    pub fn count(&self, key: &Digest, now: i64, gone: &mut Vec<Digest>) -> Option<u32> {
        let cells = self.cells.lock();
        let id = match cells.find(key) {
            Some(id) => id,
            None => self.make(&cells, key, gone)?,
        };
        cells.set_accessed(id, now);
        Some(cells.add_use(id))
    }

    /// A record for a key, in the queue of keys that are gone until there is a file.
    fn make(&self, cells: &LockedCells<'_>, key: &Digest, gone: &mut Vec<Digest>) -> Option<usize> {
        if let Some(id) = cells.allocate(key) {
            cells.push(id, Queue::Ghost);
            return Some(id);
        }
        if let Some(oldest) = cells.oldest(Queue::Ghost).filter(|id| !cells.is_locked(*id)) {
            cells.remove(oldest);
        } else {
            gone.extend(self.evict_from(cells));
            if let Some(oldest) = cells.oldest(Queue::Ghost) {
                cells.remove(oldest);
            }
        }
        let id = cells.allocate(key)?;
        cells.push(id, Queue::Ghost);
        Some(id)
    }

    /// Claims the fetch of a key unless it is taken; true if successful. A claim expires after `age_ms`.
    pub fn begin(&self, key: &Digest, now_ms: u64, age_ms: u64) -> bool {
        let cells = self.cells.lock();
        let Some(id) = cells.find(key) else { return true };
        cells.take_fetch(id, now_ms, now_ms.saturating_add(age_ms.max(1)))
    }

    /// Whether the key is being fetched.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn is_fetched(&self, key: &Digest, now_ms: u64) -> bool {
        let cells = self.cells.lock();
        cells.find(key).is_some_and(|id| cells.fetched_until(id) > now_ms)
    }

    /// Ends the fetching of a key.
    pub fn end(&self, key: &Digest) {
        let cells = self.cells.lock();
        if let Some(id) = cells.find(key) {
            cells.end_fetch(id);
        }
    }

    /// A file of this many blocks stands under the key now. Answers the file's version.
    pub fn stored(&self, key: &Digest, blocks: u64, now: i64, gone: &mut Vec<Digest>) -> Option<u64> {
        let cells = self.cells.lock();
        let (id, known) = match cells.find(key) {
            Some(id) => (id, cells.request_count(id) > 1 || (!cells.entry(id).exists && cells.went_lately(id))),
            None => (self.make(&cells, key, gone)?, false),
        };
        cells.unlink(id);
        let again = cells.entry(id).exists || known;
        let queue = if again || self.policy == Policy::Lru { Queue::Main } else { Queue::Small };
        cells.set_size(id, blocks);
        cells.set_file(id, now);
        cells.set_verified(id);
        cells.push(id, queue);
        Some(cells.new_version(id))
    }

    /// The file of the key was confirmed or changed in place.
    pub fn changed(&self, key: &Digest) {
        let cells = self.cells.lock();
        if let Some(id) = cells.find(key) {
            cells.new_version(id);
        }
    }

    /// The body of the key's file of this version is what was written.
    pub fn verified(&self, key: &Digest, version: u64) {
        let cells = self.cells.lock();
        if let Some(id) = cells.find(key).filter(|id| cells.entry(*id).version == version) {
            cells.set_verified(id);
        }
    }

    /// The loader has found a file.
    pub fn insert_loaded(&self, key: &Digest, blocks: u64, now: i64) -> bool {
        let cells = self.cells.lock();
        if cells.find(key).is_some_and(|id| cells.entry(id).exists) {
            return true;
        }
        let Some(id) = cells.find(key).or_else(|| cells.allocate(key).inspect(|id| cells.push(*id, Queue::Ghost))) else { return false };
        cells.unlink(id);
        cells.set_size(id, blocks);
        cells.set_file(id, now);
        cells.push(id, Queue::Main);
        cells.new_version(id);
        true
    }

    /// An error stands for the key's answer until `valid`.
    pub fn failed(&self, key: &Digest, error: u16, valid: i64) {
        let cells = self.cells.lock();
        if let Some(id) = cells.find(key).filter(|id| !cells.entry(*id).exists) {
            cells.set_error(id, error, valid);
        }
    }

    /// The key has no file any more; whether it had one.
    pub fn remove(&self, key: &Digest) -> bool {
        let cells = self.cells.lock();
        let Some(id) = cells.find(key) else { return false };
        let existed = cells.entry(id).exists;
        cells.remove(id);
        existed
    }

    /// As [`Index::remove`], and responses that are on their way to the key are not kept: the key's version is another.
    pub fn purge(&self, key: &Digest, now_ms: u64, gone: &mut Vec<Digest>) {
        self.cells.purged().fetch_max(now_ms, Ordering::AcqRel);
        let cells = self.cells.lock();
        if let Some(id) = cells.find(key) {
            cells.unlink(id);
            cells.forget_file(id);
            cells.push(id, Queue::Ghost);
            cells.new_version(id);
        } else if let Some(id) = self.make(&cells, key, gone) {
            cells.new_version(id);
        }
    }

    /// The version of what stands under a key, or of what was purged there; 0 if nothing ever did.
    #[must_use]
    pub fn version(&self, key: &Digest) -> u64 {
        self.cells.find_unlocked(key).map_or(0, |(_, entry)| entry.version)
    }

    /// Whether the key is stored or being fetched.
    #[must_use]
    pub fn contains(&self, key: &Digest) -> bool {
        self.load_state() == LoadState::Cold || self.cells.find_unlocked(key).is_some()
    }

    /// The number of purges in the list.
    #[must_use]
    pub fn purges(&self) -> u64 {
        self.cells.purges().load(Ordering::Acquire)
    }

    /// When the last purge of any key was, milliseconds: what is stored after it is of a later time.
    #[must_use]
    pub fn purged_ms(&self) -> u64 {
        self.cells.purged().load(Ordering::Acquire)
    }

    /// There is another purge in the list.
    pub fn add_purge(&self, now_ms: u64) {
        self.cells.purged().fetch_max(now_ms, Ordering::AcqRel);
        self.cells.purges().fetch_add(1, Ordering::AcqRel);
    }

    /// Up to when purges are forgotten, milliseconds: what was asked for before that may have been meant by one.
    #[must_use]
    pub fn forgotten_ms(&self) -> u64 {
        self.cells.purged_until().load(Ordering::Acquire)
    }

    /// Purges up to this time are forgotten.
    pub fn set_forgotten(&self, until_ms: u64) {
        self.cells.purged_until().fetch_max(until_ms, Ordering::AcqRel);
        self.cells.purges().fetch_add(1, Ordering::AcqRel);
    }

    /// The next file that must go because there are too many bytes; `None` if there are not. With `force` one goes in any case.
    #[must_use]
    pub fn evict(&self, force: bool) -> Option<Digest> {
        let cells = self.cells.lock();
        if !force && (self.max_size == 0 || cells.blocks() <= self.max_size) {
            return None;
        }
        self.evict_from(&cells)
    }

    fn evict_from(&self, cells: &LockedCells<'_>) -> Option<Digest> {
        // Each turn uses up a use or moves a key on, so that this ends; the bound is for a zone that adds up no more.
        for _ in 0..4 * self.cells.capacity() {
            let small = cells.oldest(Queue::Small);
            let main = cells.oldest(Queue::Main);
            let share = cells.queue_blocks(Queue::Small) * 10 > cells.blocks();
            let (id, from_small) = match (small, main) {
                (Some(id), None) => (id, true),
                (Some(id), Some(_)) if share => (id, true),
                (_, Some(id)) => (id, false),
                (None, None) => return None,
            };
            let key = cells.key(id);
            let uses = cells.frequency(id);
            cells.unlink(id);
            if from_small && uses > 0 {
                cells.set_frequency(id, 0);
                cells.push(id, Queue::Main);
            } else if !from_small && uses > 0 && self.policy == Policy::S3Fifo {
                cells.set_frequency(id, uses - 1);
                cells.push(id, Queue::Main);
            } else if from_small {
                cells.forget_file(id);
                cells.note_eviction(id);
                cells.push(id, Queue::Ghost);
                return Some(key);
            } else {
                cells.push(id, Queue::Ghost);
                cells.remove(id);
                return Some(key);
            }
        }
        None
    }

    /// Looks at the next `count` records: those not used since `before` go; files of theirs are added to `gone`. Answers whether the end was
    /// reached.
    pub fn expire(&self, count: usize, before: i64, now_ms: u64, gone: &mut Vec<Digest>) -> bool {
        let cells = self.cells.lock();
        let (start, end) = cells.advance(count);
        for id in start..end {
            let has_record = cells.flags(id) & flag::USED != 0;
            if has_record && cells.accessed(id) < before && cells.fetched_until(id) <= now_ms {
                if cells.entry(id).exists {
                    gone.push(cells.key(id));
                }
                cells.remove(id);
            }
        }
        end >= cells.mark()
    }

    /// How the index was filled.
    #[must_use]
    pub fn load_state(&self) -> LoadState {
        if self.cells.loaded() { LoadState::Loaded } else { LoadState::Cold }
    }

    /// Records that the files of earlier runs have all been found.
    pub fn set_loaded(&self) {
        self.cells.set_loaded();
    }

    /// Whether this process maintains the cache: the first one that asks while no living process does.
    #[must_use]
    pub fn lease(&self) -> bool {
        self.cells.lease()
    }

    /// Gives the cache up, if this process looks after it.
    pub fn release_lease(&self) {
        self.cells.release_lease();
    }

    /// Says where the files are, for other programs that look for a running server's keys.
    pub fn set_home(&self, directory: &std::fs::Metadata) {
        self.cells.set_home(directory.dev(), directory.ino());
    }

    /// Keys that it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.cells.capacity()
    }

    /// Blocks that there may be; 0: as many as there are.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.max_size
    }

    /// How many files there are, and how many blocks of 512 bytes they take.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let cells = self.cells.lock();
        (cells.files(), cells.blocks())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(policy: Policy, max_size: u64) -> Index {
        Index::new(Rc::new(Zone::new("keys", "cache", 64 * 1024).unwrap()), policy, max_size)
    }

    fn key(n: u64) -> Digest {
        crate::key::digest(&n.to_le_bytes())
    }

    fn store(index: &Index, n: u64) -> Vec<Digest> {
        let mut gone = Vec::new();
        index.count(&key(n), 0, &mut gone);
        index.stored(&key(n), 1, 0, &mut gone);
        while let Some(key) = index.evict(false) {
            gone.push(key);
        }
        gone
    }

    #[test]
    fn a_key_is_found_once_it_is_stored_and_changes_its_version() {
        let index = index(Policy::S3Fifo, 0);
        assert_eq!(index.find(&key(1), 0), None);
        assert_eq!(index.count(&key(1), 0, &mut Vec::new()), Some(1));
        assert_eq!(index.count(&key(1), 0, &mut Vec::new()), Some(2));
        assert!(!index.find(&key(1), 0).unwrap().exists);
        let version = index.stored(&key(1), 8, 0, &mut Vec::new()).unwrap();
        let entry = index.find(&key(1), 0).unwrap();
        assert!(entry.exists && entry.version == version);
        index.changed(&key(1));
        assert_ne!(index.find(&key(1), 0).unwrap().version, version);
        assert_eq!(index.totals(), (1, 8));
        assert!(index.remove(&key(1)) && !index.remove(&key(1)));
        assert_eq!(index.totals(), (0, 0));
    }

    #[test]
    fn one_fetches_until_it_ends_or_time_is_up() {
        let index = index(Policy::S3Fifo, 0);
        index.count(&key(1), 0, &mut Vec::new());
        assert!(index.begin(&key(1), 100, 50) && !index.begin(&key(1), 120, 50));
        assert!(index.is_fetched(&key(1), 120) && !index.is_fetched(&key(1), 150));
        assert!(index.begin(&key(1), 150, 50));
        index.end(&key(1));
        assert!(!index.is_fetched(&key(1), 151));
    }

    #[test]
    fn what_is_used_outlives_a_scan() {
        for (policy, survives) in [(Policy::S3Fifo, true), (Policy::Lru, false)] {
            let index = index(policy, 20);
            for n in 0..10 {
                assert!(store(&index, n).is_empty());
            }
            for n in 0..10 {
                let _ = index.find(&key(n), 0);
            }
            for n in 100..200 {
                store(&index, n);
            }
            let left = (0..10).filter(|n| index.find(&key(*n), 0).is_some_and(|e| e.exists)).count();
            assert_eq!(left > 5, survives, "{policy:?} {left}");
            assert!(index.totals().1 <= 20);
        }
    }

    #[test]
    fn a_full_zone_makes_room_and_everything_adds_up() {
        for policy in [Policy::S3Fifo, Policy::Lru] {
            let index = index(policy, 0);
            let many = 3 * index.capacity() as u64;
            let mut gone = 0;
            for n in 0..many {
                gone += store(&index, n).len() as u64;
                if n % 3 == 0 {
                    let _ = index.find(&key(n), 0);
                }
            }
            let (files, blocks) = index.totals();
            assert_eq!(files + gone, many, "{policy:?}");
            assert_eq!(files, blocks);
            let found = (0..many).filter(|n| index.find(&key(*n), 0).is_some_and(|e| e.exists)).count() as u64;
            assert_eq!(found, files);
        }
    }

    #[test]
    fn what_is_not_used_goes() {
        let index = index(Policy::S3Fifo, 0);
        (0..50).for_each(|n| assert!(store(&index, n).is_empty()));
        let _ = index.find(&key(7), 100);
        let mut gone = Vec::new();
        while !index.expire(7, 50, 0, &mut gone) {}
        assert_eq!((gone.len(), index.totals().0), (49, 1));
        assert!(index.find(&key(7), 100).is_some());
    }

    #[test]
    fn the_lease_is_one_process_s() {
        let index = index(Policy::S3Fifo, 0);
        assert!(index.lease() && index.lease());
        index.release_lease();
        assert!(index.lease());
    }
}
