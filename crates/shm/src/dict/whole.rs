//! Operations on all entries. They go shard by shard, and in parts where a shard is large, so that nobody waits for long.

use super::Dict;
use super::record::{Record, stamp};
use super::shard::{Shard, at};

/// Buckets, or entries, that are looked at under one lock.
const PART: usize = 1024;

/// A key and the age of its entry.
type Aged = (i32, Vec<u8>);

impl Shard<'_> {
    /// Visits the entries of some buckets, which may be removed meanwhile.
    fn visit(&self, from: usize, mut each: impl FnMut(Record<'_>)) {
        let geometry = &self.arena.geometry;
        // Chains that a broken zone made into circles end too.
        let mut left = geometry.pieces();
        for number in from..(from + PART).min(geometry.buckets()) {
            let Some(bucket) = self.arena.bucket(geometry.bucket(self.number, number)) else { return };
            let mut next = self.arena.record(bucket.load(std::sync::atomic::Ordering::Relaxed) as u32);
            while let (Some(record), true) = (next, left > 0) {
                next = self.arena.record(record.next());
                each(record);
                left -= 1;
            }
        }
    }

    /// Adds the live keys from the oldest on, without the first `skip`, up to `most`.
    fn in_order(&self, now: u64, stamp: u32, skip: usize, most: usize, keys: &mut Vec<Aged>) {
        let (mut next, mut seen) = (self.oldest(), 0);
        for _ in 0..self.arena.geometry.pieces() {
            let Some(record) = next.filter(|_| seen < skip.saturating_add(most)) else { return };
            next = self.arena.record(record.newer());
            if !record.expired(now) {
                if seen >= skip {
                    self.add_key(record, stamp, keys);
                }
                seen += 1;
            }
        }
    }

    fn add_key(&self, record: Record<'_>, stamp: u32, keys: &mut Vec<Aged>) {
        let mut key = Vec::with_capacity(record.key_length() + 8);
        if record.key(self.arena, &mut key) {
            keys.push((stamp.wrapping_sub(record.stamp()) as i32, key));
        }
    }
}

impl Dict {
    /// Visits all entries, some under each lock.
    fn each_part(&self, mut visit: impl FnMut(&Shard<'_>, usize) -> bool) {
        for number in 0..self.arena.geometry.shards() {
            for from in (0..self.arena.geometry.buckets()).step_by(PART) {
                if !visit(&self.arena.lock(number), from) {
                    return;
                }
            }
        }
    }

    /// Makes all entries expire; their memory is taken again when it is needed.
    pub fn flush_all(&self) {
        self.each_part(|shard, from| {
            shard.visit(from, |record| shard.set_expiry(record, 1));
            true
        });
    }

    /// Removes up to `max` expired entries (0: all); answers how many.
    pub fn flush_expired(&self, max: usize, now: u64) -> usize {
        let mut removed = 0;
        self.each_part(|shard, from| {
            shard.visit(from, |record| {
                if record.expired(now) && (max == 0 || removed < max) {
                    shard.remove(record);
                    removed += 1;
                }
            });
            max == 0 || removed < max
        });
        removed
    }

    /// Up to `max` live keys (0: all), the least recently used first as far as each shard knows; those of large shards in no order.
    pub fn keys(&self, max: usize, now: u64) -> Vec<Vec<u8>> {
        let shards = self.arena.geometry.shards();
        let max = if max == 0 { usize::MAX } else { max };
        let (share, stamp) = (max.div_ceil(shards), stamp());
        let (mut keys, mut full) = (Vec::new(), Vec::new());
        for number in 0..shards {
            let shard = self.arena.lock(number);
            let entries = shard.get(at::ENTRIES) as usize;
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
            keys.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        }
        keys.truncate(max);
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn in_parts(&self, number: usize, now: u64, most: usize, keys: &mut Vec<Aged>) {
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
