//! The allocator of a zone: pages of 4096 bytes, cut into chunks of one power of two, or given whole in runs.
//!
//! ```text
//! zone header | words: pages, first page, free pages, hint, head of the partial pages of each class,
//!             |   requests of each class, failures of each class
//!             | one descriptor of four words per page | pages
//! ```
//! A descriptor is: kind, first free chunk (or length of a run), chunks in use, and the neighbours among the partial
//! pages of the class. Free chunks of a page are linked through their first word.

pub mod usage;

use super::{Guard, SLAB};
use crate::word::to_usize;

const PAGE: usize = 4096;
/// Smallest chunk: 16 bytes.
const MIN_SHIFT: u32 = 4;
/// Classes of 16 to 2048 bytes.
const CLASSES: usize = 8;

const PAGES: usize = SLAB;
const FIRST: usize = SLAB + 8;
const FREE_PAGES: usize = SLAB + 16;
const HINT: usize = SLAB + 24;
const PARTIAL: usize = SLAB + 32;
const REQUESTS: usize = PARTIAL + 8 * CLASSES;
const FAILURES: usize = REQUESTS + 8 * CLASSES;
const DESCRIPTORS: usize = FAILURES + 8 * CLASSES;
const DESCRIPTOR: usize = 40;

/// Kinds of pages; from `CLASS` on a class of chunks.
const FREE: u64 = 0;
const RUN: u64 = 1;
const RUN_REST: u64 = 2;
const CLASS: u64 = 8;

/// No page.
const NONE: u64 = u64::MAX;

/// A page's descriptor.
#[derive(Clone, Copy)]
struct Page(u64);

impl Page {
    fn word(self, i: usize) -> usize {
        DESCRIPTORS.saturating_add(to_usize(self.0).saturating_mul(DESCRIPTOR)).saturating_add(8 * i)
    }

    fn kind(self, g: &Guard<'_>) -> u64 {
        g.get(self.word(0))
    }

    fn set_kind(self, g: &Guard<'_>, kind: u64) {
        g.set(self.word(0), kind);
    }

    /// First free chunk; 0 for none. In a run: its length in pages.
    fn head(self, g: &Guard<'_>) -> u64 {
        g.get(self.word(1))
    }

    fn set_head(self, g: &Guard<'_>, value: u64) {
        g.set(self.word(1), value);
    }

    fn used(self, g: &Guard<'_>) -> u64 {
        g.get(self.word(2))
    }

    fn set_used(self, g: &Guard<'_>, value: u64) {
        g.set(self.word(2), value);
    }

    fn offset(self, g: &Guard<'_>) -> usize {
        to_usize(g.get(FIRST)).saturating_add(to_usize(self.0).saturating_mul(PAGE))
    }

    /// Takes the page out of its class's list of partial pages.
    fn unlink(self, g: &Guard<'_>, class: usize) {
        let (next, previous) = (g.get(self.word(3)), g.get(self.word(4)));
        match previous {
            NONE => g.set(PARTIAL + 8 * class, next),
            page => g.set(Page(page).word(3), next),
        }
        if next != NONE {
            g.set(Page(next).word(4), previous);
        }
    }

    fn link(self, g: &Guard<'_>, class: usize) {
        let next = g.get(PARTIAL + 8 * class);
        g.set(self.word(3), next);
        g.set(self.word(4), NONE);
        if next != NONE {
            g.set(Page(next).word(4), self.0);
        }
        g.set(PARTIAL + 8 * class, self.0);
    }
}

/// Sets the allocator up; everything in the zone is free.
pub(crate) fn format(g: &Guard<'_>) {
    let room = g.size().saturating_sub(DESCRIPTORS + PAGE);
    let pages = room / (PAGE + DESCRIPTOR);
    let first = (DESCRIPTORS + pages * DESCRIPTOR).next_multiple_of(PAGE);
    g.set(PAGES, pages as u64);
    g.set(FIRST, first as u64);
    g.set(FREE_PAGES, pages as u64);
    g.set(HINT, 0);
    for class in 0..CLASSES {
        g.set(PARTIAL + 8 * class, NONE);
    }
    usage::reset(g);
    if g.resets() == 0 {
        // New memory is clear.
        return;
    }
    // Page descriptors beyond the zone's own are not written: `fill` refuses what leaves the zone.
    let _ = g.fill(DESCRIPTORS, pages * DESCRIPTOR, 0);
}

/// The class for a size of at most half a page.
fn class_of(size: usize) -> Option<usize> {
    if size > PAGE / 2 {
        return None;
    }
    let shift = size.max(1 << MIN_SHIFT).next_power_of_two().trailing_zeros();
    Some((shift - MIN_SHIFT) as usize)
}

fn chunk_size(class: usize) -> usize {
    1 << (class + MIN_SHIFT as usize)
}

pub(crate) fn allocate(g: &Guard<'_>, size: usize) -> Option<usize> {
    let Some(class) = class_of(size) else {
        let count = size.div_ceil(PAGE);
        let start = take_pages(g, count as u64)?;
        return Some(start.offset(g));
    };
    g.set(REQUESTS + 8 * class, g.get(REQUESTS + 8 * class).wrapping_add(1));
    let page = match g.get(PARTIAL + 8 * class) {
        NONE => match new_class_page(g, class) {
            Some(page) => page,
            None => {
                g.set(FAILURES + 8 * class, g.get(FAILURES + 8 * class).wrapping_add(1));
                return None;
            }
        },
        page => Page(page),
    };
    let chunk = page.head(g);
    let next = g.get(to_usize(chunk));
    page.set_head(g, next);
    page.set_used(g, page.used(g) + 1);
    if next == 0 {
        page.unlink(g, class);
    }
    (chunk != 0).then_some(to_usize(chunk))
}

fn new_class_page(g: &Guard<'_>, class: usize) -> Option<Page> {
    let page = take_pages(g, 1)?;
    page.set_kind(g, CLASS + class as u64);
    page.set_used(g, 0);
    let (start, size) = (page.offset(g), chunk_size(class));
    let count = PAGE / size;
    for i in 0..count {
        let next = if i + 1 == count { 0 } else { start + (i + 1) * size };
        g.set(start + i * size, next as u64);
    }
    page.set_head(g, start as u64);
    page.link(g, class);
    Some(page)
}

fn take_pages(g: &Guard<'_>, count: u64) -> Option<Page> {
    find_pages(g, count).or_else(|| {
        free_empty_pages(g);
        find_pages(g, count)
    })
}

/// Finds `count` free pages in a row, from the last place of success on.
fn find_pages(g: &Guard<'_>, count: u64) -> Option<Page> {
    let (pages, free) = (g.get(PAGES), g.get(FREE_PAGES));
    if count == 0 || count > free {
        return None;
    }
    let hint = g.get(HINT).min(pages);
    let start = search(g, hint, pages, count).or_else(|| search(g, 0, (hint + count).min(pages), count))?;
    for i in 0..count {
        Page(start + i).set_kind(g, if i == 0 { RUN } else { RUN_REST });
    }
    Page(start).set_head(g, count);
    g.set(FREE_PAGES, free - count);
    g.set(HINT, start + count);
    Some(Page(start))
}

fn search(g: &Guard<'_>, from: u64, to: u64, count: u64) -> Option<u64> {
    let mut run = 0;
    for page in from..to {
        run = if Page(page).kind(g) == FREE { run + 1 } else { 0 };
        if run == count {
            return Some(page + 1 - count);
        }
    }
    None
}

pub(crate) fn free(g: &Guard<'_>, offset: usize) {
    let Some(index) = offset.checked_sub(to_usize(g.get(FIRST))).map(|o| (o / PAGE) as u64).filter(|i| *i < g.get(PAGES)) else {
        return;
    };
    let page = Page(index);
    match page.kind(g) {
        FREE | RUN_REST => {}
        RUN => free_pages(g, page),
        kind => free_chunk(g, page, to_usize(kind.wrapping_sub(CLASS)), offset),
    }
}

fn free_pages(g: &Guard<'_>, page: Page) {
    let count = page.head(g).min(g.get(PAGES) - page.0);
    for i in 0..count {
        Page(page.0 + i).set_kind(g, FREE);
    }
    g.set(FREE_PAGES, g.get(FREE_PAGES) + count);
    // Low pages first keeps room for long runs behind.
    g.set(HINT, g.get(HINT).min(page.0));
}

fn free_chunk(g: &Guard<'_>, page: Page, class: usize, offset: usize) {
    if class >= CLASSES || !(offset - page.offset(g)).is_multiple_of(chunk_size(class)) {
        return;
    }
    let head = page.head(g);
    if head == 0 {
        page.link(g, class);
    }
    g.set(offset, head);
    page.set_head(g, offset as u64);
    let used = page.used(g).saturating_sub(1);
    page.set_used(g, used);
    // The class's last page with room stays cut: a zone that holds one record now and then would cut it anew each time.
    let last = g.get(PARTIAL + 8 * class) == page.0 && g.get(page.word(3)) == NONE;
    if used == 0 && !last {
        free_class_page(g, page, class);
    }
}

fn free_class_page(g: &Guard<'_>, page: Page, class: usize) {
    page.unlink(g, class);
    page.set_kind(g, RUN);
    page.set_head(g, 1);
    free_pages(g, page);
}

/// Gives back the pages that are cut and hold nothing.
fn free_empty_pages(g: &Guard<'_>) {
    for class in 0..CLASSES {
        let mut at = g.get(PARTIAL + 8 * class);
        // Lists that a broken zone made into circles end too.
        for _ in 0..g.get(PAGES) {
            if at == NONE {
                break;
            }
            let page = Page(at);
            at = g.get(page.word(3));
            if page.used(g) == 0 {
                free_class_page(g, page, class);
            }
        }
    }
}

/// Bytes of pages that hold nothing.
pub(crate) fn free_space(g: &Guard<'_>) -> u64 {
    free_empty_pages(g);
    g.get(FREE_PAGES) * PAGE as u64
}

#[cfg(test)]
mod tests {
    use crate::zone::Zone;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_given_never_overlaps_and_comes_back() {
        let zone = Zone::new("z", "test", 1 << 18).unwrap();
        let g = zone.lock();
        let before = g.free_space();
        let mut held: BTreeMap<usize, usize> = BTreeMap::new();
        let mut state = 1u32;
        for round in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = match state >> 28 {
                0 => 5000 + (state as usize >> 8) % 9000,
                _ => 1 + (state as usize >> 8) % 2048,
            };
            if round % 3 != 2
                && let Some(offset) = g.allocate(size)
            {
                assert!(offset + size <= 1 << 18);
                let below = held.range(..=offset).next_back().map_or(0, |(o, s)| o + s);
                let above = held.range(offset..).next().map_or(usize::MAX, |(o, _)| *o);
                assert!(below <= offset && offset + size <= above, "{offset} {size}");
                assert!(g.fill(offset, size, 0xff));
                held.insert(offset, size);
            } else if let Some((&offset, _)) = held.range((state as usize % (1 << 18))..).next() {
                held.remove(&offset);
                g.free(offset);
            }
        }
        assert!(held.len() > 10);
        for offset in held.into_keys() {
            g.free(offset);
        }
        assert_eq!(g.free_space(), before);
        g.free(3);
        g.free(usize::MAX);
        assert_eq!(g.free_space(), before);
    }

    #[test]
    fn an_empty_page_stays_cut_until_others_need_it() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        let g = zone.lock();
        let pages = g.free_space() / 4096;
        for size in [16, 64, 100, 2048] {
            let offset = g.allocate(size).unwrap();
            g.free(offset);
            let again = g.allocate(size);
            assert_eq!(again, Some(offset), "{size}");
            g.free(offset);
        }
        let (first, second): (Vec<_>, Vec<_>) = ((0..64).map(|_| g.allocate(64).unwrap()).collect(), vec![g.allocate(64).unwrap()]);
        first.into_iter().chain(second).for_each(|offset| g.free(offset));
        let whole = g.allocate(pages as usize * 4096);
        assert!(whole.is_some(), "all pages in one run");
        assert_eq!(g.free_space(), 0);
    }

    #[test]
    fn a_full_zone_says_so() {
        let zone = Zone::new("z", "test", 1 << 16).unwrap();
        let g = zone.lock();
        let pages = g.free_space() / 4096;
        assert!(g.allocate((pages as usize + 1) * 4096).is_none());
        let all: Vec<_> = std::iter::from_fn(|| g.allocate(2048)).collect();
        assert_eq!(all.len() as u64, pages * 2);
        assert!(g.allocate(1).is_none());
        g.free(all[3]);
        assert_eq!(g.allocate(1025), Some(all[3]));
    }
}
