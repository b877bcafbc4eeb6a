//! Operations on all entries. They go shard by shard, and in parts where a shard is large, so that nobody waits for long.

use super::Dict;
use super::record::{Record, stamp};
use super::shard::{Shard, at};
use crate::word::{low, to_usize};
use std::ops::Range;

/// Buckets, or entries, that are looked at under one lock.
const PART: usize = 1024;

/// Keys of a dictionary, all in one piece of memory.
#[derive(Debug, Default)]
pub struct Keys {
    text: Vec<u8>,
    /// The age of each entry, and where its key is.
    aged: Vec<(i32, Range<usize>)>,
}

impl Keys {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aged.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.aged.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.aged.iter().map(|(_, place)| self.text.get(place.clone()).unwrap_or_default())
    }
}

impl Shard<'_> {
    /// Visits the entries of some buckets, which may be removed meanwhile.
    fn visit(&self, from: usize, mut each: impl FnMut(Record<'_>)) {
        let geometry = &self.arena.geometry;
        // Chains that a broken zone made into circles end too.
        let mut left = geometry.pieces();
        for number in from..(from + PART).min(geometry.buckets()) {
            let Some(bucket) = self.arena.bucket(geometry.bucket(self.number, number)) else { return };
            let mut next = self.arena.record(low(bucket.load(std::sync::atomic::Ordering::Relaxed)));
            while let (Some(record), true) = (next, left > 0) {
                next = self.arena.record(record.next());
                each(record);
                left -= 1;
            }
        }
    }

    /// Visits the entries from the oldest on, which may be removed meanwhile, until `each` says that it is enough.
    fn by_age(&self, mut each: impl FnMut(Record<'_>) -> bool, more: &mut bool) {
        let mut next = self.oldest();
        // A list that a broken zone made into a circle ends too.
        for _ in 0..self.arena.geometry.pieces() {
            let Some(record) = next.filter(|_| *more) else { return };
            next = self.arena.record(record.newer());
            *more = each(record);
        }
    }

    /// Adds the live keys from the oldest on, without the first `skip`, up to `most`.
    fn in_order(&self, now: u64, stamp: u32, skip: usize, most: usize, keys: &mut Keys) {
        let (mut seen, end) = (0, skip.saturating_add(most));
        let add = |record: Record<'_>| {
            if !record.expired(now) {
                if seen >= skip {
                    self.add_key(record, stamp, keys);
                }
                seen += 1;
            }
            seen < end
        };
        self.by_age(add, &mut (end > 0));
    }

    fn add_key(&self, record: Record<'_>, stamp: u32, keys: &mut Keys) {
        let start = keys.text.len();
        if record.key(self.arena, &mut keys.text) {
            keys.aged.push((stamp.wrapping_sub(record.stamp()) as i32, start..keys.text.len()));
        } else {
            keys.text.truncate(start);
        }
    }
}

impl Dict {
    /// Visits all entries, some under each lock, until `visit` says that it is enough; it may remove them.
    fn each_entry(&self, mut visit: impl FnMut(&Shard<'_>, Record<'_>) -> bool) {
        for number in 0..self.arena.geometry.shards() {
            let mut more = true;
            let shard = self.arena.lock(number);
            // A few entries are found faster one by one than by their buckets, of which there may be many more.
            if to_usize(shard.get(at::ENTRIES)) <= PART {
                shard.by_age(|record| visit(&shard, record), &mut more);
            } else {
                drop(shard);
                for from in (0..self.arena.geometry.buckets()).step_by(PART) {
                    let shard = self.arena.lock(number);
                    shard.visit(from, |record| more = more && visit(&shard, record));
                }
            }
            if !more {
                return;
            }
        }
    }

    /// Makes all entries expire; their memory is taken again when it is needed.
    pub fn flush_all(&self) {
        self.each_entry(|shard, record| {
            shard.set_expiry(record, 1);
            true
        });
    }

    /// Removes up to `max` expired entries (0: all); returns how many.
    pub fn flush_expired(&self, max: usize, now: u64) -> usize {
        let mut removed = 0;
        self.each_entry(|shard, record| {
            if record.expired(now) {
                shard.remove(record);
                removed += 1;
            }
            max == 0 || removed < max
        });
        removed
    }

    /// Up to `max` live keys (0: all), the least recently used first as far as each shard knows; those of large shards in no order.
    pub fn keys(&self, max: usize, now: u64) -> Keys {
        let shards = self.arena.geometry.shards();
        let max = if max == 0 { usize::MAX } else { max };
        let (share, stamp) = (max.div_ceil(shards), stamp());
        let (mut keys, mut full) = (Keys::default(), Vec::new());
        for number in 0..shards {
            let shard = self.arena.lock(number);
            let entries = to_usize(shard.get(at::ENTRIES));
            if entries > share {
                full.push(number);
            }
            if entries == 0 {
                continue;
            }
            if share.min(entries) <= PART {
                shard.in_order(now, stamp, 0, share, &mut keys);
            } else {
                drop(shard);
                self.in_parts(number, now, share, &mut keys);
            }
        }
        // Some shards may have fewer than their share.
        for number in full {
            let missing = max - keys.len().min(max);
            if missing > 0 && share <= PART {
                self.arena.lock(number).in_order(now, stamp, share, missing.min(PART), &mut keys);
            }
        }
        if shards > 1 {
            keys.aged.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        }
        keys.aged.truncate(max);
        keys
    }

    fn in_parts(&self, number: usize, now: u64, most: usize, keys: &mut Keys) {
        let (end, stamp) = (keys.len().saturating_add(most), stamp());
        for from in (0..self.arena.geometry.buckets()).step_by(PART) {
            let shard = self.arena.lock(number);
            shard.visit(from, |record| {
                if !record.expired(now) && keys.len() < end {
                    shard.add_key(record, stamp, keys);
                }
            });
            if keys.len() >= end {
                return;
            }
        }
    }

    /// Bytes that wholly free pages hold.
    pub fn free_space(&self) -> u64 {
        (self.arena.free_pages() * super::geometry::PAGE) as u64
    }

    /// Number of entries, expired ones included.
    pub fn len(&self) -> u64 {
        (0..self.arena.geometry.shards()).map(|number| self.arena.lock(number).get(at::ENTRIES)).sum()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
