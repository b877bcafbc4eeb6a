//! Memory of a shard: pages cut into chunks of one class, or pages in a row for what is larger.
//!
//! Words of a page's descriptor that are the shard's: the first free chunk and how many chunks were never used, chunks in
//! use, and the neighbours among the pages of the class that have free chunks. Pages are numbered from 1 there; 0 is none.

use super::geometry::{DESCRIPTOR, PAGE};
use super::pool::Use;
use super::shard::{Shard, at};
use crate::word::{low, to_usize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of chunks.
pub(super) const SIZES: [usize; 12] = [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1360, 2048];
/// The class of a size, by its number of 32 bytes.
const CLASSES: [u8; 65] = classes();

const fn classes() -> [u8; 65] {
    let mut classes = [0; 65];
    let (mut size, mut class) = (0, 0);
    while size < 65 {
        if size * 32 > SIZES[class as usize] {
            class += 1;
        }
        classes[size] = class;
        size += 1;
    }
    classes
}

/// First free chunk as a link, and above it how many chunks were cut from the page.
const FREE: usize = 1;
const USED: usize = 2;
const NEXT: usize = 3;
const PREVIOUS: usize = 4;

/// The class of a size; `None` for what takes whole pages.
#[inline]
pub(super) fn class_of(size: usize) -> Option<usize> {
    CLASSES.get(size.div_ceil(32)).map(|class| *class as usize)
}

/// Whether a chunk, or a run, for one size is right for the other too.
#[inline]
pub(super) fn same_room(one: usize, other: usize) -> bool {
    match (class_of(one), class_of(other)) {
        (None, None) => one.div_ceil(PAGE) == other.div_ceil(PAGE),
        (one, other) => one == other,
    }
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

impl<'a> Shard<'a> {
    fn page(&self, number: u64) -> Option<&'a [AtomicU64; DESCRIPTOR]> {
        self.arena.descriptor(to_usize(number).checked_sub(1)?)
    }

    /// Room for `size` bytes, which are not cleared: its place.
    pub(super) fn allocate(&self, size: usize) -> Option<usize> {
        let geometry = &self.arena.geometry;
        let Some(class) = class_of(size) else {
            return Some(geometry.page(self.take_pages(size.div_ceil(PAGE), None)?));
        };
        let number = match self.get(at::PARTIAL + class) {
            0 => self.new_page(class)?,
            number => number,
        };
        let page = self.page(number)?;
        let chunk = SIZES[class];
        let start = geometry.page(to_usize(number) - 1);
        let (free, cut) = (low(load(&page[FREE])), (load(&page[FREE]) >> 32) as usize);
        let (place, free, cut) = match free {
            0 => (start + cut * chunk, 0, cut + 1),
            link => (geometry.place(link), low(load(&self.words::<1>(geometry.place(link))?[0])), cut),
        };
        self.put(&page[FREE], u64::from(free) | ((cut as u64) << 32));
        self.put(&page[USED], load(&page[USED]).wrapping_add(1));
        if free == 0 && (cut + 1) * chunk > PAGE {
            self.unlink_page(page, class);
        }
        Some(place)
    }

    /// A page for a class, in its list of pages with free chunks.
    fn new_page(&self, class: usize) -> Option<u64> {
        let number = self.take_pages(1, Some(class))? as u64 + 1;
        let page = self.page(number)?;
        self.put(&page[FREE], 0);
        self.put(&page[USED], 0);
        self.link_page(page, number, class);
        Some(number)
    }

    fn link_page(&self, page: &[AtomicU64; DESCRIPTOR], number: u64, class: usize) {
        let next = self.get(at::PARTIAL + class);
        self.put(&page[NEXT], next);
        self.put(&page[PREVIOUS], 0);
        if let Some(next) = self.page(next) {
            self.put(&next[PREVIOUS], number);
        }
        self.set(at::PARTIAL + class, number);
    }

    fn unlink_page(&self, page: &[AtomicU64; DESCRIPTOR], class: usize) {
        let (next, previous) = (load(&page[NEXT]), load(&page[PREVIOUS]));
        match self.page(previous) {
            Some(previous) => self.put(&previous[NEXT], next),
            None => self.set(at::PARTIAL + class, next),
        }
        if let Some(next) = self.page(next) {
            self.put(&next[PREVIOUS], previous);
        }
    }

    /// Frees what [`Shard::allocate`] gave. A place that is not the shard's is ignored.
    pub(super) fn free(&self, place: usize) {
        let Some(number) = self.arena.geometry.page_of(place) else { return };
        match self.arena.page_use(number) {
            (_, owner) if owner != self.number => {}
            (Use::Run { length }, _) => self.free_pages(number, length),
            (Use::Chunks { class }, _) => self.free_chunk(number, class, place),
            _ => {}
        }
    }

    fn free_chunk(&self, number: usize, class: usize, place: usize) {
        let geometry = &self.arena.geometry;
        let (Some(page), Some(size)) = (self.arena.descriptor(number), SIZES.get(class).copied()) else { return };
        let Some(first) = self.words::<1>(place) else { return };
        if !(place - geometry.page(number)).is_multiple_of(size) {
            return;
        }
        let (free, cut) = (low(load(&page[FREE])), load(&page[FREE]) >> 32);
        let used = load(&page[USED]).saturating_sub(1);
        let was_full = free == 0 && (to_usize(cut) + 1) * size > PAGE;
        if used == 0 {
            if !was_full {
                self.unlink_page(page, class);
            }
            return self.free_pages(number, 1);
        }
        self.put(&first[0], u64::from(free));
        self.put(&page[FREE], u64::from(geometry.link(place)) | (cut << 32));
        self.put(&page[USED], used);
        if was_full {
            self.link_page(page, number as u64 + 1, class);
        }
    }
}

/// For the checker: chunks of a page in use, chunks cut from it, and the places of those that were freed.
pub(super) fn inventory(shard: &Shard<'_>, number: usize) -> Option<(usize, usize, Vec<usize>)> {
    let geometry = &shard.arena.geometry;
    let page = shard.arena.descriptor(number)?;
    let (mut free, mut places) = (low(load(&page[FREE])), Vec::new());
    while free != 0 && places.len() <= PAGE / SIZES[0] {
        let place = geometry.place(free);
        places.push(place);
        free = low(load(&shard.words::<1>(place)?[0]));
    }
    Some((to_usize(load(&page[USED])), (load(&page[FREE]) >> 32) as usize, places))
}

/// For the checker: the pages of a class that have free chunks; `None` if the list does not end or is not linked both ways.
pub(super) fn partial(shard: &Shard<'_>, class: usize) -> Option<Vec<usize>> {
    let (mut number, mut previous, mut pages) = (shard.get(at::PARTIAL + class), 0, Vec::new());
    while let Some(page) = shard.page(number) {
        if load(&page[PREVIOUS]) != previous || pages.len() > shard.arena.geometry.pages {
            return None;
        }
        pages.push(to_usize(number) - 1);
        (previous, number) = (number, load(&page[NEXT]));
    }
    (number == 0).then_some(pages)
}
