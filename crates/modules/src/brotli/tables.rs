//! The encoder's memory. Its largest part at the usual levels is a table of places where strings were seen, one megabyte or more; a small
//! page uses little of it, but a fresh one has to be cleared. Tables of encoders that have ended are used again as they are: which of
//! their entries count stands beside them, in memory that is fresh.

use brotli::enc::combined_alloc::BrotliAlloc;
use brotli::enc::{Allocator, SliceWrapper, StandardAlloc};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

type Memory<T> = <StandardAlloc as Allocator<T>>::AllocatedMemory;

/// Entries of the smallest table that is worth keeping, and of the largest.
const KEPT_SIZES: std::ops::RangeInclusive<usize> = 1 << 18..=1 << 22;

/// Tables that a worker keeps while nobody uses them.
const KEPT: usize = 2;

/// An allocator for encoders. Clones share the tables that are free.
#[derive(Clone, Default)]
pub(super) struct Tables {
    free: Rc<RefCell<Vec<Memory<u32>>>>,
    /// Whether this encoder's tables can be used again.
    again: bool,
}

impl Tables {
    /// Those for an encoder of this level.
    pub(super) fn of_level(&self, level: u32) -> Tables {
        // Others expect cleared ones, or have them so large that keeping them costs more than it saves.
        Tables { free: self.free.clone(), again: (5..9).contains(&level) }
    }

    fn is_pooled(&self, length: usize) -> bool {
        self.again && KEPT_SIZES.contains(&length) && length.is_power_of_two()
    }

    fn take(&self, length: usize) -> Option<Memory<u32>> {
        let mut free = self.free.borrow_mut();
        let at = free.iter().position(|table| table.slice().len() == length)?;
        Some(free.swap_remove(at))
    }

    fn put(&self, table: Memory<u32>) {
        let mut free = self.free.borrow_mut();
        if free.len() >= KEPT {
            free.remove(0);
        }
        free.push(table);
    }
}

impl<T: Clone + Default + 'static> Allocator<T> for Tables {
    type AllocatedMemory = Memory<T>;

    fn alloc_cell(&mut self, length: usize) -> Memory<T> {
        let mut memory = Memory::<T>::default();
        if self.is_pooled(length)
            && let Some(place) = (&mut memory as &mut dyn Any).downcast_mut::<Memory<u32>>()
            && let Some(table) = self.take(length)
        {
            *place = table;
            return memory;
        }
        StandardAlloc::default().alloc_cell(length)
    }

    fn free_cell(&mut self, mut memory: Memory<T>) {
        if self.is_pooled(memory.slice().len())
            && let Some(table) = (&mut memory as &mut dyn Any).downcast_mut::<Memory<u32>>()
        {
            self.put(std::mem::take(table));
        }
    }
}

impl BrotliAlloc for Tables {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tables_are_kept_and_none_for_levels_that_expect_cleared_ones() {
        let tables = Tables::default();
        let (mut usual, mut other) = (tables.of_level(6), tables.of_level(4));
        let take = |allocator: &mut Tables, length| -> Memory<u32> { allocator.alloc_cell(length) };
        let all: Vec<_> = (0..4).map(|_| take(&mut usual, 1 << 18)).collect();
        all.into_iter().for_each(|table| usual.free_cell(table));
        assert_eq!(tables.free.borrow().len(), KEPT);
        let _one = take(&mut other, 1 << 18);
        assert_eq!(tables.free.borrow().len(), KEPT);
        let _one = take(&mut usual, 1 << 18);
        assert_eq!(tables.free.borrow().len(), KEPT - 1);
        for length in [10, (1 << 18) + 8, 1 << 23] {
            let table = take(&mut usual, length);
            usual.free_cell(table);
            assert_eq!(tables.free.borrow().len(), KEPT - 1, "{length}");
        }
    }
}
