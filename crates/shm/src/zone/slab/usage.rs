//! What of a zone is used, and how often it was asked for.

use super::{CLASS, CLASSES, FAILURES, FREE, FREE_PAGES, PAGE, PAGES, Page, REQUESTS, chunk_size};
use crate::word::to_usize;
use crate::zone::Guard;

/// How much of a zone is in use, by page and by size of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Pages that hold something.
    pub used: u64,
    /// Pages that hold nothing.
    pub free: u64,
    /// Chunks by their size.
    pub chunks: Vec<Chunks>,
}

/// Chunks of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// The size in bytes.
    pub size: usize,
    /// Those that hold something.
    pub used: u64,
    /// Those that are left of the pages that were cut for them.
    pub free: u64,
    /// How often one was asked for.
    pub requests: u64,
    /// How often there was none.
    pub failures: u64,
}

pub(crate) fn usage(g: &Guard<'_>) -> Usage {
    let mut chunks = [Chunks::default(); CLASSES];
    for (class, of) in chunks.iter_mut().enumerate() {
        *of = Chunks { size: chunk_size(class), requests: g.get(REQUESTS + 8 * class), failures: g.get(FAILURES + 8 * class), ..*of };
    }
    let pages = g.get(PAGES);
    let mut used = 0;
    for page in (0..pages).map(Page) {
        let kind = page.kind(g);
        used += u64::from(kind != FREE);
        let class = kind.checked_sub(CLASS).and_then(|class| chunks.get_mut(to_usize(class)));
        if let Some(of) = class {
            of.used += page.used(g);
            of.free += ((PAGE / of.size) as u64).saturating_sub(page.used(g));
        }
    }
    debug_assert_eq!(pages - used, g.get(FREE_PAGES));
    Usage { used, free: pages - used, chunks: chunks.to_vec() }
}

/// Lets the numbers of requests and failures begin anew.
pub(crate) fn reset(g: &Guard<'_>) {
    for class in 0..CLASSES {
        g.set(REQUESTS + 8 * class, 0);
        g.set(FAILURES + 8 * class, 0);
    }
}

#[cfg(test)]
mod tests {
    use crate::zone::Zone;

    #[test]
    fn what_is_used_and_was_asked_for() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        assert_eq!(zone.usage(), None, "nobody has used it");
        zone.prepare();
        let empty = zone.usage().unwrap();
        assert!(empty.used == 0 && empty.free > 8 && empty.chunks.iter().map(|of| of.size).eq((4..12).map(|shift| 1 << shift)));
        let g = zone.lock();
        let small = [g.allocate(100).unwrap(), g.allocate(65).unwrap()];
        g.free(small[0]);
        while g.allocate(2000).is_some() {}
        drop(g);
        let full = zone.usage().unwrap();
        let (of_128, of_2048) = (full.chunks[3], full.chunks[7]);
        assert_eq!((of_128.used, of_128.free, of_128.requests, of_128.failures), (1, 31, 2, 0));
        assert_eq!((full.used, full.free), (empty.free, 0));
        assert_eq!((of_2048.used, of_2048.requests, of_2048.failures), ((empty.free - 1) * 2, (empty.free - 1) * 2 + 1, 1));
        zone.forget_requests();
        let of_2048 = zone.usage().unwrap().chunks[7];
        assert_eq!((of_2048.requests, of_2048.failures, of_2048.free), (0, 0, 0));
    }
}
