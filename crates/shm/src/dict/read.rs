//! Looking up, without the lock: what was read counts if nobody wrote to the shard meanwhile.

use super::Dict;
use super::shard::{Arena, Slot, at};
use super::value::{Entry, Refusal};
use std::hint::spin_loop;
use std::sync::atomic::{Ordering, fence};

/// Attempts before the lock is taken.
const ATTEMPTS: usize = 16;
/// Entries of a bucket that are looked at without the lock. Buckets are much shorter; a chain torn by a change may not end.
const CHAIN: usize = 4096;
/// Longer texts are not copied before it is sure that their length was not torn.
const LONG: usize = 512;

impl Dict {
    /// Looks up; `None` where nothing is, or something expired and `stale` is not set.
    ///
    /// # Errors
    /// [`Refusal::IsList`]
    #[inline]
    pub fn get(&self, key: &[u8], stale: bool, now: u64, out: &mut Vec<u8>) -> Result<Option<Entry>, Refusal> {
        let arena = &self.arena;
        let spot = arena.spot(key);
        let sequence = &arena.head(arena.geometry.head(spot.shard))[at::SEQUENCE];
        let begin = out.len();
        for _ in 0..ATTEMPTS {
            let before = sequence.load(Ordering::Acquire);
            if before & 1 == 0 {
                let unchanged = || {
                    fence(Ordering::Acquire);
                    sequence.load(Ordering::Relaxed) == before
                };
                let result = find(arena, &spot, CHAIN, stale, now, out, unchanged);
                if unchanged() {
                    if let Ok(Some(_)) = result {
                        arena.mark(&spot);
                    }
                    return result;
                }
                out.truncate(begin);
            }
            spin_loop();
        }
        let _shard = arena.lock(spot.shard);
        arena.mark(&spot);
        find(arena, &spot, arena.geometry.pieces(), stale, now, out, || true)
    }
}

#[inline]
fn find(
    arena: &Arena,
    spot: &Slot<'_>,
    most: usize,
    stale: bool,
    now: u64,
    out: &mut Vec<u8>,
    unchanged: impl Fn() -> bool,
) -> Result<Option<Entry>, Refusal> {
    let Some(record) = arena.find(spot, most) else { return Ok(None) };
    let expired = record.expired(now);
    if expired && !stale {
        return Ok(None);
    }
    let (kind, length, flags) = (record.kind(), record.length(), record.flags());
    if length > LONG && !unchanged() {
        return Ok(None);
    }
    let place = record.offset + super::record::HEADER + super::record::whole(spot.key.len());
    let value = arena.value(kind, length, place, out).ok_or(Refusal::IsList)?;
    Ok(Some(Entry { value, flags, stale: expired }))
}
