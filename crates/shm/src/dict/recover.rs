//! Recovery of a shard that a dying process left half-written: it is emptied, and no other shard loses anything.

use super::shard::{Arena, Shard, at};
use std::sync::atomic::AtomicU64;

impl Arena {
    /// Locks a shard. One that a dead process left half-written is empty then.
    #[inline]
    pub(super) fn lock(&self, number: usize) -> Shard<'_> {
        let shard = self.enter(number);
        if shard.is_torn() {
            empty(&shard);
        }
        shard
    }
}

/// Empties a shard. Who dies on the way leaves it to the next one, who begins anew.
#[cold]
pub(super) fn empty(shard: &Shard<'_>) {
    let geometry = &shard.arena.geometry;
    shard.change();
    let buckets: &[AtomicU64] = shard.arena.memory.slice(geometry.bucket(shard.number, 0), geometry.buckets()).unwrap_or(&[]);
    for bucket in buckets {
        shard.put(bucket, 0);
    }
    shard.set(at::NEWEST, 0);
    shard.set(at::OLDEST, 0);
    shard.set(at::ENTRIES, 0);
    for word in at::PARTIAL..shard.head.len() {
        shard.set(word, 0);
    }
    shard.free_pages(0, geometry.pages);
    shard.count_up(at::EMPTIED);
    shard.finish();
}
