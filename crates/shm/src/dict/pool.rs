//! Pages, which all shards share. A page's descriptor names the shard that owns it, so that emptying a broken shard gives all
//! its pages back, and a pool that a dying process left half-changed is counted again.
//!
//! A descriptor is: what the page is, then words of the shard's own ([`super::chunks`]). Only a shard that is locked and being
//! changed takes and gives pages, and the pool's lock is taken inside of the shard's, never the other way round.

use super::failpoint;
use super::geometry::{DESCRIPTOR, HEAD, PAGE};
use super::shard::{Arena, Shard};
use crate::lock;
use crate::word::to_usize;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of the pool's head.
mod at {
    pub(super) const LOCK: usize = 0;
    /// Not 0 while the pool is being changed.
    pub(super) const TORN: usize = 1;
    pub(super) const USED: usize = 2;
    /// No page before this one is free.
    pub(super) const HINT: usize = 3;
    /// Not the pool's: who does the work that one process does for all.
    pub(super) const LEASE: usize = 4;
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Not owned by a shard.
    Free,
    /// The first of some pages in a row.
    Run {
        /// How many.
        length: usize,
    },
    /// One of a run behind its first.
    Rest,
    /// Chunks of a class.
    Chunks {
        /// The class.
        class: usize,
    },
}

const RUN: u64 = 1;
const REST: u64 = 2;
const CLASS: u64 = 8;

impl Use {
    /// As a descriptor says it: kind, owner and length.
    fn word(self, owner: usize) -> u64 {
        let owner = (owner as u64 & 0xffff) << 8;
        match self {
            Use::Free => 0,
            Use::Run { length } => RUN | owner | ((length as u64) << 32),
            Use::Rest => REST | owner,
            Use::Chunks { class } => (CLASS + class as u64) | owner,
        }
    }

    /// The use of a page and its owner.
    pub(super) fn read(word: u64) -> (Use, usize) {
        let owner = (word >> 8) as usize & 0xffff;
        let kind = match word & 0xff {
            RUN => Use::Run { length: (word >> 32) as usize },
            REST => Use::Rest,
            kind if kind >= CLASS => Use::Chunks { class: to_usize(kind - CLASS) },
            _ => Use::Free,
        };
        (kind, owner)
    }
}

impl Arena {
    /// A page's descriptor.
    #[inline]
    pub(super) fn descriptor(&self, page: usize) -> Option<&[AtomicU64; DESCRIPTOR]> {
        if page < self.geometry.pages { self.memory.words(self.geometry.descriptor(page)) } else { None }
    }

    /// What a page is, and the shard that owns it.
    pub(super) fn page_use(&self, page: usize) -> (Use, usize) {
        self.descriptor(page).map_or((Use::Free, 0), |words| Use::read(words[0].load(Ordering::Relaxed)))
    }

    /// Number of free pages. Exact only while no pages are allocated or freed.
    pub(super) fn free_pages(&self) -> usize {
        let used = to_usize(self.head(self.geometry.pool())[at::USED].load(Ordering::Relaxed));
        self.geometry.pages.saturating_sub(used)
    }

    /// Frees the pool's lock if process `dead` died with it.
    pub(super) fn reap_pool(&self, dead: i32) {
        lock::force(&self.head(self.geometry.pool())[at::LOCK], dead);
    }

    /// Whether free pages and their count agree.
    pub(super) fn pool_adds_up(&self) -> bool {
        let pool = Pool::lock(self);
        to_usize(pool.get(at::USED)) == pool.count() && (0..to_usize(pool.get(at::HINT))).all(|page| self.page_use(page).0 != Use::Free)
    }
}

impl Arena {
    /// The word of the zone's lease.
    pub(super) fn lease(&self) -> &AtomicU64 {
        &self.head(self.geometry.pool())[at::LEASE]
    }
}

/// The locked pool.
struct Pool<'a> {
    arena: &'a Arena,
    head: &'a [AtomicU64; HEAD],
}

impl<'a> Pool<'a> {
    fn lock(arena: &'a Arena) -> Pool<'a> {
        let head = arena.head(arena.geometry.pool());
        lock::acquire(&head[at::LOCK]);
        let pool = Pool { arena, head };
        if pool.get(at::TORN) != 0 {
            pool.set(at::USED, pool.count() as u64);
            pool.set(at::HINT, 0);
            pool.set(at::TORN, 0);
        }
        pool
    }

    fn get(&self, word: usize) -> u64 {
        self.head.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set(&self, word: usize, value: u64) {
        failpoint::step();
        if let Some(word) = self.head.get(word) {
            word.store(value, Ordering::Release);
        }
    }

    /// A change begins.
    fn change(&self) {
        self.set(at::TORN, 1);
        fence(Ordering::Release);
    }

    /// Number of pages that are not free.
    fn count(&self) -> usize {
        (0..self.arena.geometry.pages).filter(|page| self.arena.page_use(*page).0 != Use::Free).count()
    }

    /// The first of `count` free pages in a row.
    fn find(&self, count: usize) -> Option<usize> {
        let mut run = 0;
        for page in to_usize(self.get(at::HINT))..self.arena.geometry.pages {
            run = if self.arena.page_use(page).0 == Use::Free { run + 1 } else { 0 };
            if run == count {
                return Some(page + 1 - count);
            }
        }
        None
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        failpoint::step();
        lock::release(&self.head[at::LOCK]);
    }
}

impl Shard<'_> {
    /// Says what a page is; the shard owns it.
    fn mark_page(&self, page: usize, kind: Use) {
        if let Some(words) = self.arena.descriptor(page) {
            self.put(&words[0], kind.word(self.number));
        }
    }

    /// Takes `count` pages in a row, for chunks of a class or as a run.
    pub(super) fn take_pages(&self, count: usize, class: Option<usize>) -> Option<usize> {
        if count == 0 || count > self.arena.free_pages() {
            return None;
        }
        self.change();
        let pool = Pool::lock(self.arena);
        let start = pool.find(count)?;
        pool.change();
        self.mark_page(start, class.map_or(Use::Run { length: count }, |class| Use::Chunks { class }));
        for page in start + 1..start + count {
            self.mark_page(page, Use::Rest);
        }
        pool.set(at::USED, pool.get(at::USED).wrapping_add(count as u64));
        if count == 1 || pool.get(at::HINT) == start as u64 {
            pool.set(at::HINT, (start + count) as u64);
        }
        pool.set(at::TORN, 0);
        Some(start)
    }

    /// Gives pages in a row back. The shard must own them.
    pub(super) fn free_pages(&self, start: usize, count: usize) {
        self.change();
        let pool = Pool::lock(self.arena);
        pool.change();
        let end = start.saturating_add(count).min(self.arena.geometry.pages);
        let mut given = 0;
        for page in start..end {
            if self.arena.page_use(page).1 == self.number && self.arena.page_use(page).0 != Use::Free {
                self.mark_page(page, Use::Free);
                given += 1;
            }
        }
        pool.set(at::USED, pool.get(at::USED).saturating_sub(given));
        // Low pages first keeps room for long runs behind.
        pool.set(at::HINT, pool.get(at::HINT).min(start as u64));
        pool.set(at::TORN, 0);
    }
}

/// Bytes of the largest thing that could ever fit.
pub(super) fn largest_block(arena: &Arena) -> usize {
    arena.geometry.pages * PAGE
}
