//! A table in a zone: from byte strings to two words each, ordered by use.

use crate::word::to_usize;
use crate::zone::Guard;
use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Roots that the table uses; others are the caller's.
const BUCKETS: usize = 0;
const COUNT: usize = 1;
const NEWEST: usize = 2;
const OLDEST: usize = 3;
const ENTRIES: usize = 4;

/// Words of a record: next in its bucket, neighbours by use, hash and length of the key, two values; then the key.
const NEXT: usize = 0;
const NEWER: usize = 8;
const OLDER: usize = 16;
const TAG: usize = 24;
const VALUES: usize = 32;
const KEY: usize = 48;

/// The table of a locked zone. Valid while the guard that it was opened with is held.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    buckets: usize,
    count: usize,
}

/// A record's place. Stays valid until the record is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record(usize);

impl Table {
    /// The table of the zone, made if there is none; `None` if the zone is too small.
    pub fn open(g: &Guard<'_>) -> Option<Table> {
        let buckets = to_usize(g.root(BUCKETS));
        if buckets != 0 {
            return Some(Table { buckets, count: to_usize(g.root(COUNT)) });
        }
        // A record takes 64 bytes at least; half as many buckets keeps chains short and costs a sixteenth of the zone.
        let count = (g.size() / 128).next_power_of_two() / 2;
        let buckets = g.allocate(count * 8)?;
        if !g.fill(buckets, count * 8, 0) {
            return None;
        }
        g.set_root(BUCKETS, buckets as u64);
        g.set_root(COUNT, count as u64);
        Some(Table { buckets, count })
    }

    fn tag(g: &Guard<'_>, key: &[u8]) -> u64 {
        // The zone's seed is drawn when it is made, so that nobody outside can choose keys of one bucket.
        let mut hasher = FixedState::with_seed(g.seed()).build_hasher();
        hasher.write(key);
        (hasher.finish() << 32) | (key.len() as u64 & 0xffff_ffff)
    }

    fn bucket(&self, tag: u64) -> usize {
        self.buckets + 8 * ((tag >> 32) as usize & (self.count - 1))
    }

    /// How many records are in use.
    pub fn len(&self, g: &Guard<'_>) -> u64 {
        g.root(ENTRIES)
    }

    /// Whether there is no record.
    pub fn is_empty(&self, g: &Guard<'_>) -> bool {
        self.len(g) == 0
    }

    /// The record of `key`.
    pub fn find(&self, g: &Guard<'_>, key: &[u8]) -> Option<Record> {
        let tag = Table::tag(g, key);
        let mut at = to_usize(g.get(self.bucket(tag)));
        while at != 0 {
            if g.get(at + TAG) == tag && g.equals(at + KEY, key) {
                return Some(Record(at));
            }
            at = to_usize(g.get(at + NEXT));
        }
        None
    }

    /// Adds a record for a key that has none, as the most recently used, with both values 0. `None`: no memory.
    pub fn insert(&self, g: &Guard<'_>, key: &[u8]) -> Option<Record> {
        let at = g.allocate(KEY + key.len())?;
        let tag = Table::tag(g, key);
        let bucket = self.bucket(tag);
        g.set(at + NEXT, g.get(bucket));
        g.set(at + TAG, tag);
        g.set(at + VALUES, 0);
        g.set(at + VALUES + 8, 0);
        g.write(at + KEY, key);
        g.set(bucket, at as u64);
        g.set_root(ENTRIES, g.root(ENTRIES) + 1);
        link_newest(g, at);
        Some(Record(at))
    }

    /// Makes a record the most recently used.
    pub fn touch(&self, g: &Guard<'_>, record: Record) {
        if g.root(NEWEST) != record.0 as u64 {
            unlink(g, record.0);
            link_newest(g, record.0);
        }
    }

    /// Removes a record.
    pub fn remove(&self, g: &Guard<'_>, record: Record) {
        let mut link = self.bucket(g.get(record.0 + TAG));
        loop {
            let at = to_usize(g.get(link));
            if at == 0 {
                return;
            }
            if at == record.0 {
                break;
            }
            link = at + NEXT;
        }
        g.set(link, g.get(record.0 + NEXT));
        unlink(g, record.0);
        g.set_root(ENTRIES, g.root(ENTRIES).saturating_sub(1));
        g.free(record.0);
    }

    /// The least recently used record.
    pub fn oldest(&self, g: &Guard<'_>) -> Option<Record> {
        let at = to_usize(g.root(OLDEST));
        (at != 0).then_some(Record(at))
    }

    /// Visits the records of some buckets, from `bucket` on, which may be removed meanwhile; the first bucket that is left
    /// for the next visit, `None` after the last. Buckets stay what they are while the zone is not locked.
    pub fn visit(&self, g: &Guard<'_>, bucket: usize, count: usize, mut each: impl FnMut(Record)) -> Option<usize> {
        let end = bucket.saturating_add(count).min(self.count);
        // Chains that a broken zone made into circles end too.
        let mut left = self.len(g);
        for index in bucket..end {
            let mut at = to_usize(g.get(self.buckets + 8 * index));
            while at != 0 && left > 0 {
                let next = to_usize(g.get(at + NEXT));
                each(Record(at));
                (at, left) = (next, left - 1);
            }
        }
        (end < self.count).then_some(end)
    }

    /// The record used next after this one.
    pub fn newer(&self, g: &Guard<'_>, record: Record) -> Option<Record> {
        let at = to_usize(g.get(record.0 + NEWER));
        (at != 0).then_some(Record(at))
    }
}

impl Record {
    /// Appends the key to `out`; false if the record is broken.
    pub fn key(self, g: &Guard<'_>, out: &mut Vec<u8>) -> bool {
        g.append_to(self.0 + KEY, (g.get(self.0 + TAG) & 0xffff_ffff) as usize, out)
    }

    /// Value 0 or 1.
    pub fn value(self, g: &Guard<'_>, i: usize) -> u64 {
        g.get(self.0 + VALUES + 8 * (i & 1))
    }

    /// Sets value 0 or 1.
    pub fn set_value(self, g: &Guard<'_>, i: usize, value: u64) {
        g.set(self.0 + VALUES + 8 * (i & 1), value);
    }
}

fn link_newest(g: &Guard<'_>, at: usize) {
    let second = to_usize(g.root(NEWEST));
    g.set(at + NEWER, 0);
    g.set(at + OLDER, second as u64);
    match second {
        0 => g.set_root(OLDEST, at as u64),
        second => g.set(second + NEWER, at as u64),
    }
    g.set_root(NEWEST, at as u64);
}

fn unlink(g: &Guard<'_>, at: usize) {
    let (newer, older) = (g.get(at + NEWER), g.get(at + OLDER));
    match newer {
        0 => g.set_root(NEWEST, older),
        newer => g.set(to_usize(newer) + OLDER, older),
    }
    match older {
        0 => g.set_root(OLDEST, newer),
        older => g.set(to_usize(older) + NEWER, newer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::Zone;

    #[test]
    fn records_by_key_and_by_use() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        let g = zone.lock();
        let table = Table::open(&g).unwrap();
        for i in 0..100u64 {
            let record = table.insert(&g, format!("key{i}").as_bytes()).unwrap();
            record.set_value(&g, 0, i);
            record.set_value(&g, 1, i * 2);
        }
        let record = table.find(&g, b"key0").unwrap();
        table.touch(&g, record);
        assert_eq!(table.oldest(&g).map(|r| r.value(&g, 0)), Some(1));
        assert_eq!(table.oldest(&g).and_then(|r| table.newer(&g, r)).map(|r| r.value(&g, 1)), Some(4));
        for i in 0..100 {
            let record = table.find(&g, format!("key{i}").as_bytes()).unwrap();
            assert_eq!(record.value(&g, 0), i);
            table.remove(&g, record);
        }
        assert!(table.is_empty(&g) && table.oldest(&g).is_none() && table.find(&g, b"key5").is_none());
    }

    #[test]
    fn a_full_table_takes_more_after_losing_its_oldest() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        let g = zone.lock();
        let table = Table::open(&g).unwrap();
        let mut n = 0u32;
        while table.insert(&g, &n.to_be_bytes()).is_some() {
            n += 1;
        }
        assert!(n > 500, "{n}");
        for i in 0..2000 {
            let oldest = table.oldest(&g).unwrap();
            table.remove(&g, oldest);
            assert!(table.insert(&g, &(n + i).to_be_bytes()).is_some());
        }
        assert_eq!(table.len(&g), u64::from(n));
    }
}
