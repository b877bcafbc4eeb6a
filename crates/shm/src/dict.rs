//! Dictionaries in a zone: keys with numbers, strings, booleans or lists, which may expire (`ngx.shared.DICT`).
//!
//! A dictionary has shards, each with its own lock, chosen by a key's hash. Reading takes no lock. What a process that is killed
//! leaves half-written is found by the next one to lock that shard, which then empties the shard and no other.
//! The files, lowest first: geometry, shard, pool, recover, chunks, record, room; read, write, list, whole, check.

mod check;
mod chunks;
mod failpoint;
mod geometry;
mod list;
mod pool;
mod read;
mod record;
mod recover;
mod room;
mod shard;
#[cfg(test)]
mod tests;
mod value;
mod whole;
mod write;

pub use check::Report;
#[cfg(test)]
pub(crate) use record::FIXED;
pub use value::{End, Entry, Found, Refusal, Store, StoreMode, Value};
pub use whole::Keys;

use crate::lease;
use crate::lock;
use crate::zone::Zone;
use shard::{Arena, at};

/// What owns a zone with a dictionary.
pub const OWNER: &str = "lua_shared_dict";

/// Who owns those of `stream`: a name is either protocol's.
pub const STREAM_OWNER: &str = "stream_lua_shared_dict";

/// The dictionary of a zone. Times are in milliseconds since 1970. A zone of zeroes is an empty dictionary.
#[derive(Debug)]
pub struct Dict {
    arena: Arena,
}

impl Dict {
    /// The dictionary of a zone, which must be used for nothing else.
    #[must_use]
    pub fn new(zone: &Zone) -> Dict {
        Dict { arena: Arena::new(zone.memory().clone(), zone.seed()) }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.arena.memory.len()
    }

    /// To be called by the master when it has reaped a worker: frees the locks that it held, and empties what it left half-written.
    pub fn reap(&self, dead: i32) {
        self.arena.reap_pool(dead);
        for number in 0..self.shards() {
            if lock::force(&self.arena.head(self.arena.geometry.head(number))[at::LOCK], dead) {
                drop(self.arena.lock(number));
            }
        }
    }

    /// Takes the lease of the zone, or keeps it: on work that one process of all does. It passes on when that process ends or dies.
    #[must_use]
    pub fn lease(&self) -> bool {
        lease::take(self.arena.lease())
    }

    /// Gives the lease back, if this process has it.
    pub fn release_lease(&self) {
        lease::release(self.arena.lease());
    }

    /// Number of parts with a lock each.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.arena.geometry.shards()
    }

    /// How often a shard's lock was taken from a dead process, and how often a shard was found half-written and emptied.
    #[must_use]
    pub fn recoveries(&self) -> (u64, u64) {
        let heads = (0..self.arena.geometry.shards()).map(|number| self.arena.head(self.arena.geometry.head(number)));
        let load = |word: &std::sync::atomic::AtomicU64| word.load(std::sync::atomic::Ordering::Relaxed);
        heads.fold((0, 0), |(robbed, emptied), head| (robbed + load(&head[at::ROBBED]), emptied + load(&head[at::EMPTIED])))
    }
}
