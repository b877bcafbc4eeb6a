//! Operations that change one entry.

use super::Dict;
use super::chunks::same_room;
use super::record::{HEADER, Record, Stored, kind, round_up};
use super::room::{AllocationRequest, RoomError};
use super::shard::{Shard, Slot};
use super::value::{Refusal, Store, StoreMode, Value, expiry};

/// What an entry is to be.
struct NewEntry<'a> {
    value: Value<'a>,
    expiry: u64,
    flags: u32,
}

/// Bytes of an entry.
fn size_of(spot: &Slot<'_>, value: Value<'_>) -> usize {
    HEADER + round_up(spot.key.len()) + Stored::from(value).size
}

impl<'a> Shard<'a> {
    /// The entry of a key.
    #[inline]
    pub(super) fn find(&self, spot: &Slot<'_>) -> Option<Record<'a>> {
        self.arena.find(spot, self.arena.geometry.pieces())
    }

    /// Puts an entry for a key in place of the one that may be there.
    fn replace(&self, spot: &Slot<'_>, wanted: &NewEntry<'_>, wish: &AllocationRequest, forced: &mut bool) -> Result<(), RoomError> {
        self.tidy(wish.now, 2);
        if let (false, Some(old)) = (wish.safe, self.find(spot)) {
            self.remove(old);
        }
        let place = self.make_room(wish, forced).ok_or(RoomError::Full)?;
        if let (true, Some(old)) = (wish.safe, self.find(spot)) {
            self.remove(old);
        }
        let record = self.add(spot, place).ok_or(RoomError::Full)?;
        self.overwrite(record, wanted.value, wanted.expiry, wanted.flags);
        Ok(())
    }
}

impl Dict {
    /// Stores; returns whether live entries had to go.
    ///
    /// # Errors
    /// [`Refusal::Exists`], [`Refusal::NotFound`] by `how.when`; [`Refusal::NoMemory`], with whether live entries went.
    pub fn store(&self, key: &[u8], value: Value<'_>, how: Store, now: u64) -> Result<bool, (Refusal, bool)> {
        let arena = &self.arena;
        let spot = arena.spot(key);
        let wanted = NewEntry { value, expiry: expiry(now, how.lifetime), flags: how.flags };
        let wish = AllocationRequest { size: size_of(&spot, value), safe: how.safe, now };
        let (mut forced, mut allowed) = (false, false);
        let stored = arena.until_room(spot.shard, &wish, &mut forced, |shard, forced| {
            let old = shard.find(&spot);
            let live = old.is_some_and(|old| !old.expired(now));
            match how.when {
                StoreMode::Absent if live => return Err(RoomError::Refused(Refusal::Exists)),
                StoreMode::Present if !live && !allowed => return Err(RoomError::Refused(Refusal::NotFound)),
                _ => allowed = true,
            }
            if let Some(old) = old
                && old.kind() != kind::LIST
                && same_room(wish.size, old.size())
            {
                shard.overwrite(old, value, wanted.expiry, how.flags);
                arena.mark(&spot);
                return Ok(());
            }
            if wish.size > super::pool::largest_block(arena) || u32::try_from(wish.size).is_err() {
                return Err(RoomError::Refused(Refusal::NoMemory));
            }
            shard.replace(&spot, &wanted, &wish, forced)
        });
        match stored {
            Ok(()) => Ok(forced),
            Err(refusal) => Err((refusal, forced)),
        }
    }

    /// Removes an entry, if there is one.
    pub fn delete(&self, key: &[u8]) {
        let spot = self.arena.spot(key);
        let shard = self.arena.lock(spot.shard);
        if let Some(record) = shard.find(&spot) {
            shard.remove(record);
        }
    }

    /// Adds to a number; where none is, to `init` (a number and its lifetime in ms). Answers the sum and whether live
    /// entries had to go.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] without `init`, [`Refusal::NotNumber`], [`Refusal::NoMemory`].
    #[inline]
    pub fn incr(&self, key: &[u8], by: f64, init: Option<(f64, u64)>, now: u64) -> Result<(f64, bool), (Refusal, bool)> {
        let spot = self.arena.spot(key);
        // The lock is gone when the first sum is made.
        let added = add_up(&self.arena.lock(spot.shard), &spot, by, now);
        match added {
            Some(sum) => sum.map(|sum| (sum, false)).map_err(|refusal| (refusal, false)),
            None => self.begin(&spot, by, init, now),
        }
    }

    /// The first of a key's sums.
    #[cold]
    fn begin(&self, spot: &Slot<'_>, by: f64, init: Option<(f64, u64)>, now: u64) -> Result<(f64, bool), (Refusal, bool)> {
        let (start, lifetime) = init.ok_or((Refusal::NotFound, false))?;
        let value = Value::Number(start + by);
        let wanted = NewEntry { value, expiry: expiry(now, lifetime), flags: 0 };
        let wish = AllocationRequest { size: size_of(spot, value), safe: false, now };
        let mut forced = false;
        // Another worker may have been first.
        let sum = self.arena.until_room(spot.shard, &wish, &mut forced, |shard, forced| match add_up(shard, spot, by, now) {
            Some(sum) => sum.map_err(RoomError::Refused),
            None => shard.replace(spot, &wanted, &wish, forced).map(|()| start + by),
        });
        sum.map(|sum| (sum, forced)).map_err(|refusal| (refusal, forced))
    }

    /// Milliseconds until an entry expires, negative when it has; 0 if it never does.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]
    pub fn ttl(&self, key: &[u8], now: u64) -> Result<i64, Refusal> {
        let spot = self.arena.spot(key);
        let expiry = self.arena.lock(spot.shard).find(&spot).ok_or(Refusal::NotFound)?.expiry();
        Ok(if expiry == 0 { 0 } else { (expiry as i64).saturating_sub(now as i64) })
    }

    /// Gives an entry a new lifetime in milliseconds; 0 for ever.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]
    pub fn expire(&self, key: &[u8], lifetime: u64, now: u64) -> Result<(), Refusal> {
        let spot = self.arena.spot(key);
        let shard = self.arena.lock(spot.shard);
        let record = shard.find(&spot).ok_or(Refusal::NotFound)?;
        shard.set_expiry(record, expiry(now, lifetime));
        self.arena.mark(&spot);
        Ok(())
    }
}

/// Adds to a live number; `None` if nothing alive is there.
#[inline]
fn add_up(shard: &Shard<'_>, spot: &Slot<'_>, by: f64, now: u64) -> Option<Result<f64, Refusal>> {
    let record = shard.find(spot).filter(|record| !record.expired(now))?;
    shard.arena.mark(spot);
    let number = shard.words::<1>(record.value_place()).filter(|_| record.kind() == kind::NUMBER);
    Some(number.map(|[number]| shard.add_to(number, by)).ok_or(Refusal::NotNumber))
}
