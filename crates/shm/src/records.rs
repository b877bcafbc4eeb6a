//! Records of one size in a zone, read and written without a lock: counters that many processes count with.
//!
//! Every word is an atomic of its own, so a process that dies at any moment leaves each of them whole. What must hold
//! together across words is the caller's to order.

use crate::zone::{FREE_FOR_USE, Zone};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Words before the records that belong to all of them.
pub const HEADER: usize = 16;
/// Where these words stand, in bytes from the zone's beginning.
pub const START: usize = FREE_FOR_USE;

/// The zone as a row of records.
#[derive(Debug)]
pub struct Records {
    zone: Rc<Zone>,
    size: usize,
}

impl Records {
    /// The zone as records of `words` words each.
    #[must_use]
    pub fn new(zone: Rc<Zone>, words: usize) -> Records {
        Records { zone, size: words.max(1) * 8 }
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &Rc<Zone> {
        &self.zone
    }

    /// How many records the zone holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.zone.size().saturating_sub(FREE_FOR_USE + 8 * HEADER) / self.size
    }

    /// Word `i` of those that belong to all records.
    #[must_use]
    pub fn header(&self, i: usize) -> &AtomicU64 {
        if i < HEADER { self.at(FREE_FOR_USE + 8 * i) } else { dummy_word() }
    }

    /// Word `i` of a record. Out of range, it is a dummy word.
    #[must_use]
    #[inline]
    pub fn word(&self, record: usize, i: usize) -> &AtomicU64 {
        match self.offset(record, 8 * i) {
            Some(offset) => self.at(offset),
            None => dummy_word(),
        }
    }

    /// Half-word `i` behind word `from` of a record.
    #[must_use]
    pub fn half(&self, record: usize, from: usize, i: usize) -> &AtomicU32 {
        static NOWHERE: AtomicU32 = AtomicU32::new(0);
        self.offset(record, 8 * from + 4 * i).and_then(|offset| self.zone.memory().atomic_u32(offset)).unwrap_or(&NOWHERE)
    }

    /// Writes bytes from word `from` of a record on; false if they do not fit in it.
    pub fn write(&self, record: usize, from: usize, bytes: &[u8]) -> bool {
        let fits = 8 * from + bytes.len() <= self.size;
        fits && self.offset(record, 8 * from).is_some_and(|offset| self.zone.memory().write(offset, bytes))
    }

    /// `length` bytes from word `from` of a record on.
    #[must_use]
    pub fn read(&self, record: usize, from: usize, length: usize) -> Option<Vec<u8>> {
        let offset = self.offset(record, 8 * from).filter(|_| 8 * from + length <= self.size)?;
        let mut out = Vec::with_capacity(length);
        self.zone.memory().append_to(offset, length, &mut out).then_some(out)
    }

    fn offset(&self, record: usize, within: usize) -> Option<usize> {
        (record < self.capacity() && within < self.size).then_some(FREE_FOR_USE + 8 * HEADER + record * self.size + within)
    }

    fn at(&self, offset: usize) -> &AtomicU64 {
        self.zone.memory().atomic_u64(offset).unwrap_or(dummy_word())
    }
}

fn dummy_word() -> &'static AtomicU64 {
    static NOWHERE: AtomicU64 = AtomicU64::new(0);
    &NOWHERE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::MIN_SIZE;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn records_do_not_touch_each_other_or_leave_the_zone() {
        let records = Records::new(Rc::new(Zone::new("z", "test", MIN_SIZE).unwrap()), 4);
        let last = records.capacity() - 1;
        for record in 0..=last {
            records.word(record, 3).store(record as u64, Relaxed);
            assert!(records.write(record, 0, b"12345678"));
            records.half(record, 1, 1).store(7, Relaxed);
        }
        records.header(0).store(5, Relaxed);
        for record in 0..=last {
            assert_eq!(records.word(record, 3).load(Relaxed), record as u64);
            assert_eq!(records.word(record, 1).load(Relaxed), 7 << 32);
            assert_eq!(records.read(record, 0, 8).as_deref(), Some(&b"12345678"[..]));
        }
        assert!(!records.write(0, 3, b"123456789") && records.read(last + 1, 0, 1).is_none());
        assert!(std::ptr::eq(records.word(last + 1, 0), records.word(0, 4)));
    }
}
