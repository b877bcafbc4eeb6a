//! Lists in a dictionary. The value of a list's entry is: links to the items at its ends, and its length. An item is: links to
//! its neighbours, kind and length, then the value.

use super::Dict;
use super::record::{HEADER, Record, Stored, kind, round_up};
use super::room::{AllocationRequest, RoomError};
use super::shard::{Shard, Slot};
use super::value::{End, Found, Refusal, Value};
use crate::word::{high, low};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a list's value.
const LIST: usize = 16;
/// Bytes of an item before its value.
const ITEM: usize = 16;

/// Links to the left and to the right, or to the first and the last.
fn unpack_links(word: &AtomicU64) -> (u32, u32) {
    let word = word.load(Ordering::Relaxed);
    (low(word), high(word))
}

/// The link on one side, then the other.
fn split_links(word: &AtomicU64, end: End) -> (u32, u32) {
    let (left, right) = unpack_links(word);
    if end == End::Left { (left, right) } else { (right, left) }
}

/// A word of two links, of which `here` is on the side `end`.
fn join(end: End, here: u32, there: u32) -> u64 {
    let (left, right) = if end == End::Left { (here, there) } else { (there, here) };
    u64::from(left) | (u64::from(right) << 32)
}

impl<'a> Shard<'a> {
    fn item(&self, link: u32) -> Option<&'a [AtomicU64; 2]> {
        if link == 0 { None } else { self.words(self.arena.geometry.place(link)) }
    }

    fn ends(&self, record: Record<'_>) -> Option<&'a [AtomicU64; 2]> {
        self.words(record.value_place())
    }

    /// Frees the items of a list.
    pub(super) fn free_items(&self, record: Record<'_>) {
        let Some([ends, length]) = self.ends(record) else { return };
        let mut link = unpack_links(ends).0;
        let most = length.load(Ordering::Relaxed).min(self.arena.geometry.pieces() as u64);
        for _ in 0..most {
            let Some([links, _]) = self.item(link) else { return };
            let next = unpack_links(links).1;
            self.free(self.arena.geometry.place(link));
            link = next;
        }
    }

    /// The live list of a key.
    fn list(&self, spot: &Slot<'_>, now: u64) -> Result<Option<Record<'a>>, Refusal> {
        match self.find(spot).filter(|record| !record.expired(now)) {
            Some(record) if record.kind() != kind::LIST => Err(Refusal::NotList),
            found => Ok(found),
        }
    }

    /// An empty list for a key, in place of an expired entry.
    fn new_list(&self, spot: &Slot<'_>, now: u64) -> Option<Record<'a>> {
        if let Some(old) = self.find(spot) {
            self.remove(old);
        }
        let wish = AllocationRequest { size: HEADER + round_up(spot.key.len()) + LIST, safe: true, now };
        let place = self.make_room(&wish, &mut false)?;
        let record = self.add(spot, place)?;
        let [ends, length] = self.ends(record)?;
        self.put(ends, 0);
        self.put(length, 0);
        self.set_kind(record, kind::LIST);
        Some(record)
    }

    /// Puts an item that is written at an end of a list; the list's length.
    fn append(&self, record: Record<'_>, end: End, place: usize) -> Option<u64> {
        let [ends, length] = self.ends(record)?;
        let link = self.arena.geometry.link(place);
        let (here, there) = split_links(ends, end);
        let [links, _] = self.item(link)?;
        self.put(links, join(end, 0, here));
        if let Some([neighbour, _]) = self.item(here) {
            self.put(neighbour, join(end, link, split_links(neighbour, end).1));
        }
        self.put(ends, join(end, link, if here == 0 { link } else { there }));
        let count = length.load(Ordering::Relaxed).wrapping_add(1);
        self.put(length, count);
        Some(count)
    }

    fn write_item(&self, place: usize, value: Value<'_>) {
        let Stored { kind, length, .. } = value.into();
        if let Some([_, meta]) = self.words(place) {
            self.put(meta, kind | ((length as u64) << 32));
        }
        self.write_value(place + ITEM, value);
    }

    /// Takes the item at an end out of a list that has some; the entry goes with its last item.
    fn take(&self, record: Record<'_>, end: End, out: &mut Vec<u8>) -> Option<Found> {
        let [ends, length] = self.ends(record)?;
        let (here, there) = split_links(ends, end);
        let [links, meta] = self.item(here)?;
        let (place, meta) = (self.arena.geometry.place(here), meta.load(Ordering::Relaxed));
        let found = self.arena.value(meta & 0xff, (meta >> 32) as usize, place + ITEM, out);
        let next = split_links(links, end).1;
        if let Some([neighbour, _]) = self.item(next) {
            self.put(neighbour, join(end, 0, split_links(neighbour, end).1));
        }
        self.put(ends, join(end, next, if next == 0 { 0 } else { there }));
        let count = length.load(Ordering::Relaxed).saturating_sub(1);
        self.put(length, count);
        self.free(place);
        if count == 0 {
            self.remove(record);
        }
        found
    }
}

impl Dict {
    /// Adds an item at an end of a list, which is made if there is none; returns the new length. No live entry has to go for it.
    ///
    /// # Errors
    /// [`Refusal::NotList`], [`Refusal::NoMemory`].
    pub fn push(&self, key: &[u8], end: End, value: Value<'_>, now: u64) -> Result<u64, Refusal> {
        let spot = self.arena.spot(key);
        let wish = AllocationRequest { size: ITEM + Stored::from(value).size, safe: true, now };
        self.arena.until_room(spot.shard, &wish, &mut false, |shard, forced| {
            let list = shard.list(&spot, now).map_err(RoomError::Refused)?;
            if u32::try_from(wish.size).is_err() {
                return Err(RoomError::Refused(Refusal::NoMemory));
            }
            if list.is_some() {
                self.arena.mark(&spot);
            }
            let place = shard.make_room(&wish, forced).ok_or(RoomError::Full)?;
            shard.write_item(place, value);
            let list = match list {
                Some(list) => Some(list),
                None => shard.new_list(&spot, now),
            };
            let length = list.and_then(|list| shard.append(list, end, place));
            if length.is_none() {
                shard.free(place);
            }
            length.ok_or(RoomError::Full)
        })
    }

    /// Takes the item at an end; the entry goes with its last item.
    ///
    /// # Errors
    /// [`Refusal::NotList`]
    pub fn pop(&self, key: &[u8], end: End, now: u64, out: &mut Vec<u8>) -> Result<Option<Found>, Refusal> {
        let spot = self.arena.spot(key);
        let shard = self.arena.lock(spot.shard);
        let Some(list) = shard.list(&spot, now)? else { return Ok(None) };
        self.arena.mark(&spot);
        Ok(shard.take(list, end, out))
    }

    /// Number of items; 0 where nothing is.
    ///
    /// # Errors
    /// [`Refusal::NotList`]
    pub fn length(&self, key: &[u8], now: u64) -> Result<u64, Refusal> {
        let spot = self.arena.spot(key);
        let shard = self.arena.lock(spot.shard);
        let list = shard.list(&spot, now)?;
        Ok(list.and_then(|list| shard.ends(list)).map_or(0, |[_, length]| length.load(Ordering::Relaxed)))
    }
}

/// For the checker: the places of a list's items; `None` if they are not linked both ways or not as many as the list says.
pub(super) fn items(shard: &Shard<'_>, record: Record<'_>) -> Option<Vec<(usize, usize)>> {
    let [ends, length] = shard.ends(record)?;
    let (first, last) = unpack_links(ends);
    let (mut link, mut before, mut places) = (first, 0, Vec::new());
    while let Some([links, meta]) = shard.item(link) {
        let meta = meta.load(Ordering::Relaxed);
        let size = ITEM + if meta & 0xff == kind::TEXT { round_up((meta >> 32) as usize) } else { 8 };
        if unpack_links(links).0 != before || places.len() > shard.arena.geometry.pieces() {
            return None;
        }
        places.push((shard.arena.geometry.place(link), size));
        (before, link) = (link, unpack_links(links).1);
    }
    (before == last && places.len() as u64 == length.load(Ordering::Relaxed)).then_some(places)
}
