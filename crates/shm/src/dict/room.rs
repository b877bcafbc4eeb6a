//! Room for what is stored: free memory, or that of entries which were not used for long.
//!
//! A shard makes room in itself, oldest entries first; an entry that was used since it became the newest becomes the newest
//! again instead. Where that would be unfair (the shard has few entries) or does not help, the shard whose oldest entry is the
//! oldest of all gives entries up until pages are free.

use super::pool::largest_block;
use super::record::{Record, kind, stamp};
use super::shard::{Arena, Shard, at};
use super::value::Refusal;
use crate::word::low;
use std::fmt;
use std::sync::atomic::Ordering;

/// Entries that are dropped under one lock at most.
const BATCH: usize = 32;
/// Used entries that become the newest again before one has to go all the same.
const CHANCES: usize = 64;
/// A shard with fewer entries looks for older ones elsewhere.
const FEW: u64 = 8;
/// Times that room is made elsewhere before others are said to have taken it all.
const TURNS: usize = 1 << 14;

/// The room that an operation needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllocationRequest {
    /// Bytes.
    pub(super) size: usize,
    /// No live entry may go.
    pub(super) safe: bool,
    /// The time, in milliseconds since 1970.
    pub(super) now: u64,
}

/// Why an attempt under the lock did not succeed.
#[derive(Debug)]
pub(super) enum RoomError {
    /// It must not.
    Refused(Refusal),
    /// There is no room in this shard.
    Full,
}

impl fmt::Display for RoomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoomError::Refused(refusal) => refusal.fmt(f),
            RoomError::Full => f.write_str("no room in the shard"),
        }
    }
}

impl std::error::Error for RoomError {}

impl Shard<'_> {
    /// Removes an entry.
    pub(super) fn remove(&self, record: Record<'_>) {
        if !self.unlink(record) {
            // Only a fault in this program leads here. Going on would go in circles.
            return super::recover::empty(self);
        }
        if record.kind() == kind::LIST {
            self.free_items(record);
        }
        self.free(record.offset);
    }

    /// Drops up to `most` expired entries that were not used for long; returns how many.
    pub(super) fn tidy(&self, now: u64, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most
            && let Some(record) = self.oldest().filter(|record| record.expired(now))
        {
            self.remove(record);
            dropped += 1;
        }
        dropped
    }

    /// Makes the oldest entry the newest if it was used.
    fn second_chance(&self, now: u64) -> bool {
        let used = self.oldest().filter(|record| !record.expired(now) && self.take_mark(*record));
        if let Some(record) = used {
            self.renew(record);
            self.restamp(record);
        }
        used.is_some()
    }

    /// Drops the oldest entry; whether it was alive, `None` if there is none.
    fn drop_oldest(&self, now: u64) -> Option<bool> {
        let mut record = self.oldest()?;
        for _ in 0..CHANCES {
            if record.expired(now) || !self.take_mark(record) {
                break;
            }
            self.renew(record);
            record = self.oldest()?;
        }
        let live = !record.expired(now);
        self.remove(record);
        Some(live)
    }

    /// Allocates, dropping entries of this shard where that is allowed and fair.
    pub(super) fn make_room(&self, wish: &AllocationRequest, forced: &mut bool) -> Option<usize> {
        let split = self.arena.geometry.shards() > 1;
        for _ in 0..BATCH {
            if let Some(place) = self.allocate(wish.size) {
                return Some(place);
            }
            let unfair = split && (self.get(at::ENTRIES) < FEW || super::chunks::class_of(wish.size).is_none());
            if wish.safe || unfair {
                return None;
            }
            *forced |= self.drop_oldest(wish.now)?;
        }
        self.allocate(wish.size)
    }
}

impl Arena {
    /// Runs `attempt` with a shard locked, again and again as long as it finds no room and room can be made elsewhere.
    pub(super) fn until_room<R>(
        &self,
        number: usize,
        wish: &AllocationRequest,
        forced: &mut bool,
        mut attempt: impl FnMut(&Shard<'_>, &mut bool) -> Result<R, RoomError>,
    ) -> Result<R, Refusal> {
        for turn in 0..TURNS {
            match attempt(&self.lock(number), forced) {
                Ok(result) => return Ok(result),
                Err(RoomError::Refused(refusal)) => return Err(refusal),
                Err(RoomError::Full) => {}
            }
            // What never fits must not cost the others their place.
            if wish.size > largest_block(self) || !self.make_room_elsewhere(number, wish, turn, forced) {
                break;
            }
        }
        Err(Refusal::NoMemory)
    }

    fn make_room_elsewhere(&self, own: usize, wish: &AllocationRequest, turn: usize, forced: &mut bool) -> bool {
        if wish.safe {
            return turn == 0 && (0..self.geometry.shards()).map(|number| self.lock(number).tidy(wish.now, BATCH)).sum::<usize>() > 0;
        }
        let Some(victim) = self.spare_the_used(own, wish.now) else { return false };
        let shard = self.lock(victim);
        let free = self.free_pages();
        for done in 0..BATCH {
            match shard.drop_oldest(wish.now) {
                Some(live) => *forced |= live,
                None => return done > 0,
            }
            // A chunk of the own shard may be what is needed; and behind each page that is free, another shard may have the oldest.
            if victim == own || self.free_pages() != free {
                break;
            }
        }
        true
    }

    /// The shard whose oldest entry is the oldest of all that was not used. Those that were used become the newest on the way; if
    /// all were, it is the oldest of them.
    fn spare_the_used(&self, own: usize, now: u64) -> Option<usize> {
        let begun = stamp();
        let (first, _) = self.oldest_shard(own)?;
        for _ in 0..CHANCES {
            let (victim, age) = self.oldest_shard(own)?;
            // Everything was looked at.
            if age <= stamp().wrapping_sub(begun) as i32 {
                return Some(first);
            }
            if !self.lock(victim).second_chance(now) {
                return Some(victim);
            }
        }
        Some(first)
    }

    /// The shard with the oldest entry of all, the own one last among equals, and that entry's age. Nothing is locked, so it is a
    /// good guess.
    fn oldest_shard(&self, own: usize) -> Option<(usize, i32)> {
        let (shards, now) = (self.geometry.shards(), stamp());
        let age = |number: usize| {
            let record = self.record(low(self.head(self.geometry.head(number))[at::OLDEST].load(Ordering::Relaxed)))?;
            Some((number, now.wrapping_sub(record.stamp()) as i32))
        };
        let others = (1..=shards).map(|step| (own + step) & (shards - 1));
        others.filter_map(age).reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}
