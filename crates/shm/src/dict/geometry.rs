//! Where everything is in a dictionary's zone. It follows from the size alone, so nothing of it is read from memory that a
//! dying process could have spoilt, and zeroes are an empty dictionary.
//!
//! ```text
//! zone header | pool | head of each shard | buckets of each shard | a descriptor of each page | pages
//! ```

use crate::word::to_usize;
use crate::zone::FREE_FOR_USE;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// Words of a page's descriptor.
pub(super) const DESCRIPTOR: usize = 5;
/// Words of a shard's head, and of the pool's: whole cache lines, so that one shard's lock does not slow another's.
pub(super) const HEAD: usize = 32;
/// Places are numbered in units of 16 bytes from the first page on; 0 is none.
const UNIT: usize = 16;
/// Bits of a hash that are kept.
pub(super) const HASH_BITS: u32 = 40;
/// A dictionary of this size and above has more than one shard. In a small one the entries that one shard happens to hold are too
/// few to be like all others, and users see that: memory is full in one part and not in another.
const SPLIT: usize = 2 << 20;
/// At most 64 shards.
const MAX_SHARDS_LOG: u32 = 6;
/// Links are 32 bits wide: more memory than this is not used.
const MAX_PAGES: usize = (u32::MAX as usize - 1) / (PAGE / UNIT);

/// The places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    shards_log: u32,
    bucket_mask: u64,
    heads: usize,
    buckets: usize,
    descriptors: usize,
    /// Where the first page begins.
    pub(super) first: usize,
    /// Number of pages.
    pub(super) pages: usize,
}

impl Geometry {
    /// For a zone of `size` bytes.
    pub(super) fn new(size: usize) -> Geometry {
        let shards_log = if size < SPLIT { 0 } else { (size >> 18).ilog2().min(MAX_SHARDS_LOG) };
        // A record takes 64 bytes at least; half as many buckets at most keeps chains short and costs 6 % of the zone at most.
        let per_shard = (((size / 128).next_power_of_two() / 2) >> shards_log).clamp(8, 1 << 26);
        let heads = FREE_FOR_USE + HEAD * 8;
        let buckets = heads + ((HEAD * 8) << shards_log);
        let descriptors = buckets + ((per_shard * 8) << shards_log);
        let room = size.saturating_sub(descriptors);
        let most = (room / (PAGE + DESCRIPTOR * 8)).min(MAX_PAGES);
        let first = (descriptors + most * DESCRIPTOR * 8).next_multiple_of(PAGE);
        let pages = most.min(size.saturating_sub(first) / PAGE);
        Geometry { shards_log, bucket_mask: per_shard as u64 - 1, heads, buckets, descriptors, first, pages }
    }

    /// Number of shards, a power of two.
    pub(super) fn shards(&self) -> usize {
        1 << self.shards_log
    }

    /// Buckets of each shard.
    pub(super) fn buckets(&self) -> usize {
        to_usize(self.bucket_mask) + 1
    }

    /// The pool's head.
    pub(super) fn pool(&self) -> usize {
        FREE_FOR_USE
    }

    /// A shard's head.
    #[inline]
    pub(super) fn head(&self, shard: usize) -> usize {
        self.heads + HEAD * 8 * shard
    }

    /// The shard of a hash: its upper bits.
    #[inline]
    pub(super) fn shard_of(&self, hash: u64) -> usize {
        to_usize(hash >> (HASH_BITS - self.shards_log))
    }

    /// A bucket of a shard.
    #[inline]
    pub(super) fn bucket(&self, shard: usize, number: usize) -> usize {
        self.buckets + 8 * (shard * self.buckets() + number)
    }

    /// The bucket of a hash. The lowest five bits choose the mark in it.
    #[inline]
    pub(super) fn bucket_of(&self, hash: u64) -> usize {
        self.bucket(self.shard_of(hash), to_usize((hash >> 5) & self.bucket_mask))
    }

    /// The descriptor of a page.
    #[inline]
    pub(super) fn descriptor(&self, page: usize) -> usize {
        self.descriptors.saturating_add(page.saturating_mul(DESCRIPTOR * 8))
    }

    /// Where a page begins.
    pub(super) fn page(&self, page: usize) -> usize {
        self.first.saturating_add(page.saturating_mul(PAGE))
    }

    /// The page in which a place is.
    pub(super) fn page_of(&self, at: usize) -> Option<usize> {
        at.checked_sub(self.first).map(|offset| offset / PAGE).filter(|page| *page < self.pages)
    }

    /// The place that a link names. It is never before the first page, whatever the link holds.
    #[inline]
    pub(super) fn place(&self, link: u32) -> usize {
        self.first - UNIT + UNIT * link as usize
    }

    /// The link to a place.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "there are no more pages than links can name (`MAX_PAGES`)")]
    pub(super) fn link(&self, at: usize) -> u32 {
        (at.wrapping_sub(self.first) / UNIT + 1) as u32
    }

    /// More than the number of pieces that memory can be cut into: who has followed so many links goes in a circle.
    pub(super) fn pieces(&self) -> usize {
        self.pages * (PAGE / 32) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_fits_and_nothing_overlaps() {
        for size in [32 << 10, 40_000, 100_000, 262_143, 262_144, 900 << 10, 1 << 20, 10 << 20, 100_000_001, 5 << 30, 1 << 40] {
            let g = Geometry::new(size);
            let last = g.buckets() - 1;
            assert_eq!(g.head(g.shards() - 1) + HEAD * 8, g.bucket(0, 0), "{size}");
            assert_eq!(g.bucket(g.shards() - 1, last) + 8, g.descriptor(0), "{size}");
            assert!(g.descriptor(g.pages) <= g.first && g.page(g.pages) <= size, "{size}");
            assert!(g.pages * PAGE >= size / 100 * 80 || size == 1 << 40, "{size} {}", g.pages);
            assert_eq!(g.place(g.link(g.page(g.pages - 1))), g.page(g.pages - 1), "{size}");
            assert_eq!(g.shard_of((1 << HASH_BITS) - 1), g.shards() - 1, "{size}");
            assert_eq!(g.bucket_of((1 << HASH_BITS) - 1), g.bucket(g.shards() - 1, last), "{size}");
        }
        assert_eq!([32 << 10, 1 << 20, 2 << 20, 8 << 20, 1 << 30].map(|size| Geometry::new(size).shards()), [1, 1, 8, 32, 64]);
    }
}
