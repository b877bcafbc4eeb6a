//! Dictionaries in a zone: keys with numbers, strings, booleans or lists, which may expire (`ngx.shared.DICT`).
//!
//! A record of the zone's [`Table`] holds the time of expiry and the place of a value block: a word of kind and flags,
//! a word that is the number or the length, then the bytes. The least recently used entries make room for others.

pub mod list;
#[cfg(test)]
mod tests;

use crate::table::{Record, Table};
use crate::zone::Guard;

/// Buckets of one part: what is done to all entries is done to so many under one lock.
const PART: usize = 1024;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// Bytes.
    Text(&'a [u8]),
}

/// What a look-up found; text is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// Bytes, appended to the buffer.
    Text,
}

/// A look-up's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// The value.
    pub value: Found,
    /// The user's flags.
    pub flags: u32,
    /// The entry has expired.
    pub stale: bool,
}

/// Why an operation did nothing. Shown as OpenResty's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `not found`
    NotFound,
    /// `exists`
    Exists,
    /// `no memory`
    NoMemory,
    /// `not a number`
    NotNumber,
    /// `value not a list`
    NotList,
    /// `value is a list`
    IsList,
}

impl Refusal {
    /// The text that Lua code sees.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::NotFound => "not found",
            Refusal::Exists => "exists",
            Refusal::NoMemory => "no memory",
            Refusal::NotNumber => "not a number",
            Refusal::NotList => "value not a list",
            Refusal::IsList => "value is a list",
        }
    }
}

/// How [`Dict::store`] treats an entry that is there, and one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Stores in any case.
    Always,
    /// Only where no live entry is.
    Absent,
    /// Only where a live entry is.
    Present,
}

/// How to store.
#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// On which condition.
    pub when: When,
    /// Never makes room by dropping live entries.
    pub safe: bool,
    /// Milliseconds to live; 0 for ever.
    pub lifetime: u64,
    /// The user's flags.
    pub flags: u32,
}

const BOOLEAN: u64 = 1;
const NUMBER: u64 = 3;
const TEXT: u64 = 4;
const LIST: u64 = 5;
/// Bytes of a block before its text.
const HEADER: usize = 16;

/// The dictionary of a locked zone, at a time in milliseconds since 1970.
#[derive(Debug)]
pub struct Dict<'a> {
    guard: &'a Guard<'a>,
    table: Table,
    now: u64,
}

fn kind_of(value: Value<'_>) -> (u64, u64, &[u8]) {
    match value {
        Value::Boolean(on) => (BOOLEAN, u64::from(on), &[]),
        Value::Number(n) => (NUMBER, n.to_bits(), &[]),
        Value::Text(text) => (TEXT, text.len() as u64, text),
    }
}

fn write_value(g: &Guard<'_>, at: usize, value: Value<'_>, flags: u32) {
    let (kind, word, text) = kind_of(value);
    g.set(at, kind | (u64::from(flags) << 32));
    g.set(at + 8, word);
    g.write(at + HEADER, text);
}

fn read_value(g: &Guard<'_>, at: usize, out: &mut Vec<u8>) -> Option<Found> {
    let word = g.get(at + 8);
    match g.get(at) & 0xff {
        BOOLEAN => Some(Found::Boolean(word != 0)),
        NUMBER => Some(Found::Number(f64::from_bits(word))),
        TEXT => g.append_to(at + HEADER, word as usize, out).then_some(Found::Text),
        _ => None,
    }
}

impl<'a> Dict<'a> {
    /// The dictionary of a zone, made if there is none; `None` if the zone is too small.
    pub fn open(guard: &'a Guard<'a>, now: u64) -> Option<Dict<'a>> {
        Some(Dict { guard, table: Table::open(guard)?, now })
    }

    fn expired(&self, record: Record) -> bool {
        let expiry = record.value(self.guard, 0);
        expiry != 0 && expiry <= self.now
    }

    fn expiry(&self, lifetime: u64) -> u64 {
        if lifetime == 0 { 0 } else { self.now.saturating_add(lifetime) }
    }

    fn live(&self, key: &[u8]) -> Option<Record> {
        self.table.find(self.guard, key).filter(|record| !self.expired(*record))
    }

    fn is_list(&self, record: Record) -> bool {
        self.guard.get(record.value(self.guard, 1) as usize) & 0xff == LIST
    }

    fn free_block(&self, block: usize) {
        if self.guard.get(block) & 0xff == LIST {
            self.free_items(block);
        }
        self.guard.free(block);
    }

    fn remove(&self, record: Record) {
        match record.value(self.guard, 1) as usize {
            0 => {}
            block => self.free_block(block),
        }
        self.table.remove(self.guard, record);
    }

    /// Drops up to two expired entries that were not used for long.
    fn tidy(&self) {
        for _ in 0..2 {
            match self.table.oldest(self.guard) {
                Some(record) if self.expired(record) => self.remove(record),
                _ => return,
            }
        }
    }

    /// Runs `take` until it succeeds, dropping old entries; `forced` tells whether a live one went.
    fn make_room<T>(&self, size: usize, keep: Option<Record>, forced: &mut bool, take: impl Fn() -> Option<T>) -> Option<T> {
        loop {
            if let Some(taken) = take() {
                return Some(taken);
            }
            // What never fits must not cost the others their place.
            let oldest = self.table.oldest(self.guard).filter(|o| Some(*o) != keep && size < self.guard.size())?;
            *forced |= !self.expired(oldest);
            self.remove(oldest);
        }
    }

    /// Looks up; `None` where nothing is, or something expired and `stale` is not set.
    ///
    /// # Errors
    /// [`Refusal::IsList`]
    pub fn get(&self, key: &[u8], stale: bool, out: &mut Vec<u8>) -> Result<Option<Entry>, Refusal> {
        let g = self.guard;
        let Some(record) = self.table.find(g, key) else { return Ok(None) };
        let expired = self.expired(record);
        if expired && !stale {
            return Ok(None);
        }
        self.table.touch(g, record);
        let block = record.value(g, 1) as usize;
        let value = read_value(g, block, out).ok_or(Refusal::IsList)?;
        Ok(Some(Entry { value, flags: (g.get(block) >> 32) as u32, stale: expired }))
    }

    /// Stores; answers whether live entries had to go.
    ///
    /// # Errors
    /// [`Refusal::Exists`], [`Refusal::NotFound`] by `how.when`; [`Refusal::NoMemory`], with whether live entries went.
    pub fn store(&self, key: &[u8], value: Value<'_>, how: Store) -> Result<bool, (Refusal, bool)> {
        let g = self.guard;
        self.tidy();
        let mut record = self.table.find(g, key);
        let live = record.is_some_and(|record| !self.expired(record));
        match how.when {
            When::Absent if live => return Err((Refusal::Exists, false)),
            When::Present if !live => return Err((Refusal::NotFound, false)),
            _ => {}
        }
        let mut forced = false;
        let size = HEADER + kind_of(value).2.len();
        if let Some(record) = record {
            self.table.touch(g, record);
            let block = record.value(g, 1) as usize;
            let used = HEADER + if g.get(block) & 0xff == TEXT { g.get(block + 8) as usize } else { 0 };
            let same = size <= 2048 && used <= 2048 && size.next_power_of_two() == used.next_power_of_two();
            if block != 0 && same && !self.is_list(record) {
                write_value(g, block, value, how.flags);
                record.set_value(g, 0, self.expiry(how.lifetime));
                return Ok(false);
            }
        }
        let attempt = |forced: &mut bool, size: usize, keep| {
            if how.safe { g.allocate(size) } else { self.make_room(size, keep, forced, || g.allocate(size)) }
        };
        let Some(block) = attempt(&mut forced, size, record) else { return Err((Refusal::NoMemory, forced)) };
        write_value(g, block, value, how.flags);
        match record {
            Some(record) => self.free_block(record.value(g, 1) as usize),
            None if how.safe => record = self.table.insert(g, key),
            None => record = self.make_room(key.len(), None, &mut forced, || self.table.insert(g, key)),
        }
        let Some(record) = record else {
            g.free(block);
            return Err((Refusal::NoMemory, forced));
        };
        record.set_value(g, 0, self.expiry(how.lifetime));
        record.set_value(g, 1, block as u64);
        Ok(forced)
    }

    /// Removes an entry, if there is one.
    pub fn delete(&self, key: &[u8]) {
        if let Some(record) = self.table.find(self.guard, key) {
            self.remove(record);
        }
    }

    /// Adds to a number; where none is, to `init` (a number and its lifetime in ms). Answers the sum and whether live
    /// entries had to go.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] without `init`, [`Refusal::NotNumber`], [`Refusal::NoMemory`].
    pub fn incr(&self, key: &[u8], by: f64, init: Option<(f64, u64)>) -> Result<(f64, bool), (Refusal, bool)> {
        let g = self.guard;
        if let Some(record) = self.live(key) {
            self.table.touch(g, record);
            let block = record.value(g, 1) as usize;
            if g.get(block) & 0xff != NUMBER {
                return Err((Refusal::NotNumber, false));
            }
            let sum = f64::from_bits(g.get(block + 8)) + by;
            g.set(block + 8, sum.to_bits());
            return Ok((sum, false));
        }
        let (start, lifetime) = init.ok_or((Refusal::NotFound, false))?;
        let how = Store { when: When::Always, safe: false, lifetime, flags: 0 };
        self.store(key, Value::Number(start + by), how).map(|forced| (start + by, forced))
    }

    /// Milliseconds until an entry expires, negative when it has; 0 if it never does.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]
    pub fn ttl(&self, key: &[u8]) -> Result<i64, Refusal> {
        let record = self.table.find(self.guard, key).ok_or(Refusal::NotFound)?;
        let expiry = record.value(self.guard, 0);
        Ok(if expiry == 0 { 0 } else { (expiry as i64).saturating_sub(self.now as i64) })
    }

    /// Gives an entry a new lifetime in milliseconds; 0 for ever.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]
    pub fn expire(&self, key: &[u8], lifetime: u64) -> Result<(), Refusal> {
        let record = self.table.find(self.guard, key).ok_or(Refusal::NotFound)?;
        self.table.touch(self.guard, record);
        record.set_value(self.guard, 0, self.expiry(lifetime));
        Ok(())
    }

    fn each(&self, mut visit: impl FnMut(Record) -> bool) {
        let mut next = self.table.oldest(self.guard);
        while let Some(record) = next {
            next = self.table.newer(self.guard, record);
            if !visit(record) {
                return;
            }
        }
    }

    /// Makes all entries expire; their memory is taken again when it is needed.
    pub fn flush_all(&self) {
        self.each(|record| {
            record.set_value(self.guard, 0, 1);
            true
        });
    }

    /// Removes up to `max` expired entries, the least recently used first (0: all); answers how many.
    pub fn flush_expired(&self, max: usize) -> usize {
        let mut removed = 0;
        self.each(|record| {
            if self.expired(record) {
                self.remove(record);
                removed += 1;
            }
            max == 0 || removed < max
        });
        removed
    }

    /// Removes the expired entries of one part of the dictionary, so that others get the lock between the parts. The next
    /// part's number, `None` after the last, and how many were removed.
    pub fn flush_part(&self, part: usize) -> (Option<usize>, usize) {
        let mut removed = 0;
        let next = self.table.visit(self.guard, part, PART, |record| {
            if self.expired(record) {
                self.remove(record);
                removed += 1;
            }
        });
        (next, removed)
    }

    /// Calls `each` with the live keys of one part; the next part's number, `None` after the last.
    pub fn keys_part(&self, part: usize, mut each: impl FnMut(&[u8])) -> Option<usize> {
        let mut key = Vec::new();
        self.table.visit(self.guard, part, PART, |record| {
            key.clear();
            if !self.expired(record) && record.key(self.guard, &mut key) {
                each(&key);
            }
        })
    }

    /// Whether going through all entries at once would keep others waiting for long.
    pub fn is_large(&self) -> bool {
        self.table.len(self.guard) > PART as u64
    }

    /// Calls `each` with up to `max` live keys, the least recently used first (0: all).
    pub fn keys(&self, max: usize, mut each: impl FnMut(&[u8])) {
        let (mut seen, mut key) = (0, Vec::new());
        self.each(|record| {
            if !self.expired(record) {
                key.clear();
                if record.key(self.guard, &mut key) {
                    each(&key);
                }
                seen += 1;
            }
            max == 0 || seen < max
        });
    }
}
