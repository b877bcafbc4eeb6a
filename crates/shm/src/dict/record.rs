//! Entries: a header, the key in whole words, then the value in whole words.
//!
//! ```text
//! next in the bucket, and when it became the newest | newer and older entry | kind, length and hash of the key
//! | time of expiry | length of the text and the user's flags | key | value
//! ```
//! Reading a header, a key and a value needs no lock: links are checked, and a sequence number tells what was torn.

use super::geometry::HASH_BITS;
use super::shard::{Arena, Shard, Slot, at};
use super::value::{Found, Value};
use crate::word::low;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the header.
pub(super) const HEADER: usize = 40;
const LINKS: usize = 1;
const TAG: usize = 2;
const EXPIRY: usize = 3;
const META: usize = 4;

/// What an entry holds.
pub(super) mod kind {
    pub(in super::super) const BOOLEAN: u64 = 1;
    pub(in super::super) const NUMBER: u64 = 3;
    pub(in super::super) const TEXT: u64 = 4;
    pub(in super::super) const LIST: u64 = 5;
}

/// The marks of a bucket; below them is the link to its first entry.
const MARKS: u64 = !0xffff_ffff;

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Its place.
    pub(super) offset: usize,
    words: &'a [AtomicU64; 5],
}

#[inline]
fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// A word with its lower half replaced.
fn with_low(word: u64, low: u32) -> u64 {
    (word & !0xffff_ffff) | u64::from(low)
}

/// The last word of a text: what is behind its whole words, filled up with zeroes.
#[inline]
pub(super) fn last_word(text: &[u8]) -> u64 {
    let rest = text.len() & 7;
    if let Some(last) = text.last_chunk::<8>() {
        return u64::from_ne_bytes(*last).to_le() >> (((8 - rest) * 8) & 63);
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << ((rest - 4) * 8);
    }
    match *text {
        [one] => u64::from(one),
        [one, two] => u64::from(u16::from_le_bytes([one, two])),
        [one, two, three] => u64::from(u32::from_le_bytes([one, two, three, 0])),
        _ => 0,
    }
}

/// Bytes that a text takes in whole words.
#[inline]
pub(super) fn round_up(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// How a value is stored.
pub(super) struct Stored {
    pub(super) kind: u64,
    /// Bytes of a text; 0 for others.
    pub(super) length: usize,
    /// The first word; of a text, 0.
    pub(super) word: u64,
    /// Bytes that it takes, in whole words.
    pub(super) size: usize,
}

impl From<Value<'_>> for Stored {
    fn from(value: Value<'_>) -> Stored {
        match value {
            Value::Boolean(on) => Stored { kind: kind::BOOLEAN, length: 0, word: u64::from(on), size: 8 },
            Value::Number(number) => Stored { kind: kind::NUMBER, length: 0, word: number.to_bits(), size: 8 },
            Value::Text(text) => Stored { kind: kind::TEXT, length: text.len(), word: 0, size: round_up(text.len()) },
        }
    }
}

impl Arena {
    /// The entry that a link names; `None` for none and for what lies outside.
    #[inline]
    pub(super) fn record(&self, link: u32) -> Option<Record<'_>> {
        if link == 0 {
            return None;
        }
        let place = self.geometry.place(link);
        self.memory.words(place).map(|words| Record { offset: place, words })
    }

    /// A bucket.
    #[inline]
    pub(super) fn bucket(&self, offset: usize) -> Option<&AtomicU64> {
        self.memory.atomic_u64(offset)
    }

    /// The entry of a key, looking at `most` at most. Without the lock the result may be wrong.
    #[inline]
    pub(super) fn find(&self, spot: &Slot<'_>, most: usize) -> Option<Record<'_>> {
        let mut next = self.record(low(load(self.bucket(spot.bucket)?)));
        for _ in 0..most {
            let record = next?;
            if load(&record.words[TAG]) & !0xff == spot.tag && self.is_key(record, spot.key) {
                return Some(record);
            }
            next = self.record(record.next());
        }
        None
    }

    #[inline]
    fn is_key(&self, record: Record<'_>, key: &[u8]) -> bool {
        let Some(stored) = self.memory.slice(record.offset + HEADER, key.len().div_ceil(8)) else { return false };
        let (words, rest) = key.as_chunks::<8>();
        let (whole, last) = stored.split_at(words.len());
        for (index, word) in words.iter().enumerate() {
            if whole.get(index).map(load) != Some(u64::from_ne_bytes(*word)) {
                return false;
            }
        }
        rest.is_empty() || last.first().map(load) == Some(last_word(key).to_le())
    }

    /// Reads a value; text is appended to `out`. `None` for a list, and for what is torn.
    #[inline]
    pub(super) fn value(&self, kind: u64, length: usize, place: usize, out: &mut Vec<u8>) -> Option<Found> {
        match kind {
            kind::TEXT => self.memory.append_words(place, length, out).then_some(Found::Text),
            kind::NUMBER => Some(Found::Number(f64::from_bits(load(self.memory.atomic_u64(place)?)))),
            kind::BOOLEAN => Some(Found::Boolean(load(self.memory.atomic_u64(place)?) != 0)),
            _ => None,
        }
    }

    /// Says that the entry of a spot was used. Only a mark in the bucket is written, and only if it is not there: this needs no lock,
    /// and what is often read is not written.
    #[inline]
    pub(super) fn mark(&self, spot: &Slot<'_>) {
        if let Some(bucket) = self.bucket(spot.bucket)
            && load(bucket) & spot.mark == 0
        {
            bucket.fetch_or(spot.mark, Ordering::Relaxed);
        }
    }
}

impl<'a> Record<'a> {
    #[inline]
    pub(super) fn next(self) -> u32 {
        low(load(&self.words[0]))
    }

    /// When it became the newest, in units that only compare.
    pub(super) fn stamp(self) -> u32 {
        (load(&self.words[0]) >> 32) as u32
    }

    pub(super) fn newer(self) -> u32 {
        low(load(&self.words[LINKS]))
    }

    pub(super) fn older(self) -> u32 {
        (load(&self.words[LINKS]) >> 32) as u32
    }

    #[inline]
    pub(super) fn kind(self) -> u64 {
        load(&self.words[TAG]) & 0xff
    }

    /// The hash of its key.
    pub(super) fn hash(self) -> u64 {
        load(&self.words[TAG]) >> (64 - HASH_BITS)
    }

    #[inline]
    pub(super) fn key_length(self) -> usize {
        (load(&self.words[TAG]) >> 8) as usize & 0xffff
    }

    /// Whether it has expired at `now`.
    #[inline]
    pub(super) fn expired(self, now: u64) -> bool {
        let expiry = self.expiry();
        expiry != 0 && expiry <= now
    }

    #[inline]
    pub(super) fn expiry(self) -> u64 {
        load(&self.words[EXPIRY])
    }

    /// Length of its text.
    #[inline]
    pub(super) fn length(self) -> usize {
        low(load(&self.words[META])) as usize
    }

    #[inline]
    pub(super) fn flags(self) -> u32 {
        (load(&self.words[META]) >> 32) as u32
    }

    /// Where its value is.
    #[inline]
    pub(super) fn value_place(self) -> usize {
        self.offset + HEADER + round_up(self.key_length())
    }

    /// Bytes that it takes.
    pub(super) fn size(self) -> usize {
        let value = match self.kind() {
            kind::TEXT => round_up(self.length()),
            kind::LIST => 16,
            _ => 8,
        };
        HEADER + round_up(self.key_length()) + value
    }

    /// Appends its key to `out`.
    pub(super) fn key(self, arena: &Arena, out: &mut Vec<u8>) -> bool {
        arena.memory.append_words(self.offset + HEADER, self.key_length(), out)
    }
}

#[cfg(test)]
thread_local! {
    /// What [`stamp`] says on this thread instead, so that the same steps leave the same bytes.
    pub(crate) static FIXED: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

/// Now, in units of four microseconds. Two stamps compare when they are less than two hours apart; what is older counts as some age.
pub(super) fn stamp() -> u32 {
    #[cfg(test)]
    if let Some(fixed) = FIXED.get() {
        return fixed;
    }
    ((sys::time::monotonic().as_nanos() >> 12) & 0xffff_ffff) as u32
}

impl<'a> Shard<'a> {
    /// Writes text from a place on.
    pub(super) fn write_text(&self, place: usize, text: &[u8]) {
        let Some(words) = self.arena.memory.slice(place, text.len().div_ceil(8)) else { return };
        let (whole, rest) = text.as_chunks::<8>();
        for (to, from) in words.iter().zip(whole) {
            self.put(to, u64::from_ne_bytes(*from));
        }
        if let (false, Some(last)) = (rest.is_empty(), words.last()) {
            self.put(last, last_word(text).to_le());
        }
    }

    /// Writes a value where there is room for it.
    pub(super) fn write_value(&self, place: usize, value: Value<'_>) {
        match value {
            Value::Text(text) => self.write_text(place, text),
            value => {
                if let Some([word]) = self.words::<1>(place) {
                    self.put(word, Stored::from(value).word);
                }
            }
        }
    }

    /// Gives a record that has room for it another value.
    pub(super) fn overwrite(&self, record: Record<'_>, value: Value<'_>, expiry: u64, flags: u32) {
        let Stored { kind, length, .. } = value.into();
        self.put(&record.words[TAG], (load(&record.words[TAG]) & !0xff) | kind);
        self.put(&record.words[EXPIRY], expiry);
        self.put(&record.words[META], length as u64 | (u64::from(flags) << 32));
        self.write_value(record.value_place(), value);
    }

    /// Sets the time of expiry.
    pub(super) fn set_expiry(&self, record: Record<'_>, expiry: u64) {
        self.put(&record.words[EXPIRY], expiry);
    }

    /// Makes a record for a key in fresh memory, with kind 0 and nothing else, and links it as the newest.
    pub(super) fn add(&self, spot: &Slot<'_>, place: usize) -> Option<Record<'a>> {
        let record = Record { offset: place, words: self.words(place)? };
        let bucket = self.arena.bucket(spot.bucket)?;
        self.put(&record.words[0], load(bucket) & 0xffff_ffff);
        self.put(&record.words[TAG], spot.tag);
        self.put(&record.words[EXPIRY], 0);
        self.put(&record.words[META], 0);
        self.write_text(place + HEADER, spot.key);
        self.set_first(bucket, self.arena.geometry.link(place));
        self.count_up(at::ENTRIES);
        self.make_newest(record);
        Some(record)
    }

    /// Says what a record of kind 0 holds.
    pub(super) fn set_kind(&self, record: Record<'_>, kind: u64) {
        self.put(&record.words[TAG], (load(&record.words[TAG]) & !0xff) | kind);
    }

    /// A mark that a reader sets in this moment may get lost, and that is all.
    fn set_first(&self, bucket: &AtomicU64, link: u32) {
        self.put(bucket, (load(bucket) & MARKS) | u64::from(link));
    }

    /// Takes a record out of its bucket and of the order of use. Its memory is the caller's to free. False if it is not where it
    /// should be: then the shard is broken.
    #[must_use]
    pub(super) fn unlink(&self, record: Record<'_>) -> bool {
        let Some(bucket) = self.arena.bucket(self.arena.geometry.bucket_of(record.hash())) else { return false };
        let own = self.arena.geometry.link(record.offset);
        let mut before: Option<Record<'_>> = None;
        let mut link = low(load(bucket));
        for _ in 0..self.arena.geometry.pieces() {
            if link == own {
                match before {
                    Some(before) => self.put(&before.words[0], with_low(load(&before.words[0]), record.next())),
                    None => self.set_first(bucket, record.next()),
                }
                self.set(at::ENTRIES, self.get(at::ENTRIES).saturating_sub(1));
                self.leave_order(record);
                return true;
            }
            before = self.arena.record(link);
            match before {
                Some(before) => link = before.next(),
                None => break,
            }
        }
        false
    }

    fn set_newer(&self, record: Record<'_>, link: u32) {
        self.put(&record.words[LINKS], with_low(load(&record.words[LINKS]), link));
    }

    fn set_older(&self, record: Record<'_>, link: u32) {
        self.put(&record.words[LINKS], u64::from(record.newer()) | (u64::from(link) << 32));
    }

    fn leave_order(&self, record: Record<'_>) {
        let (newer, older) = (record.newer(), record.older());
        match self.arena.record(newer) {
            Some(newer) => self.set_older(newer, older),
            None => self.set(at::NEWEST, u64::from(older)),
        }
        match self.arena.record(older) {
            Some(older) => self.set_newer(older, newer),
            None => self.set(at::OLDEST, u64::from(newer)),
        }
    }

    fn make_newest(&self, record: Record<'_>) {
        let link = self.arena.geometry.link(record.offset);
        let second = low(self.get(at::NEWEST));
        self.restamp(record);
        self.put(&record.words[LINKS], u64::from(second) << 32);
        match self.arena.record(second) {
            Some(second) => self.set_newer(second, link),
            None => self.set(at::OLDEST, u64::from(link)),
        }
        self.set(at::NEWEST, u64::from(link));
    }

    /// Says that a record became the newest now.
    pub(super) fn restamp(&self, record: Record<'_>) {
        self.put(&record.words[0], u64::from(record.next()) | (u64::from(stamp()) << 32));
    }

    /// The oldest entry.
    pub(super) fn oldest(&self) -> Option<Record<'a>> {
        self.arena.record(low(self.get(at::OLDEST)))
    }

    /// Makes an entry the newest that is in the order already.
    pub(super) fn renew(&self, record: Record<'_>) {
        if low(self.get(at::NEWEST)) != self.arena.geometry.link(record.offset) {
            self.leave_order(record);
            self.make_newest(record);
        }
    }

    /// Whether an entry was used since it was asked last.
    pub(super) fn take_mark(&self, record: Record<'_>) -> bool {
        let (hash, geometry) = (record.hash(), &self.arena.geometry);
        let mark = super::shard::mark_of(hash);
        match self.arena.bucket(geometry.bucket_of(hash)) {
            Some(bucket) if load(bucket) & mark != 0 => {
                self.change();
                bucket.fetch_and(!mark, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_what_is_left_over() {
        let text: Vec<u8> = (1..=20).collect();
        for length in (0..=20).filter(|length| length % 8 != 0) {
            let rest = &text[length / 8 * 8..length];
            let mut expected = [0; 8];
            expected[..rest.len()].copy_from_slice(rest);
            assert_eq!(last_word(&text[..length]), u64::from_le_bytes(expected), "{length}");
        }
    }
}
