//! The allocator and its memory.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// mimalloc, with a few blocks of each small size at hand. Requests allocate and free much of the same sizes: half the cost of the C
/// library's allocator.
///
/// mimalloc goes through all blocks of a page before it gives one again, so that what a request allocates is in no cache of the processor
/// when the kernel has used it in between: the first look at such a block was the one instruction at which small requests waited longest. A
/// thread that said [`keep_blocks`] gets the block that it freed last, for 29 instructions instead of 46.
///
/// mimalloc aligns blocks of 16 bytes and more to that. Its calls that take an alignment do not count on it: for blocks above a
/// kilobyte they ask for more than is wanted and give a pointer into the middle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// What blocks are aligned to; sizes of small ones are multiples of it.
const ALIGNED: usize = 16;
/// Blocks of more bytes are mimalloc's alone.
const SMALL: usize = 2048;
const SIZES: usize = SMALL / ALIGNED + 1;

/// The blocks of a size that are at hand, the last one first: each begins with the address of the next.
struct FreeList {
    first: Cell<*mut u8>,
    /// How many more may be kept.
    room: Cell<usize>,
}

thread_local! {
    static SHELVES: [FreeList; SIZES] = const { [const { FreeList { first: Cell::new(ptr::null_mut()), room: Cell::new(0) } }; SIZES] };
}

/// Lets this thread keep small blocks that it frees for its next allocations, eight kilobytes of a size at most. They are not given back
/// when the thread ends.
pub fn keep_blocks() {
    SHELVES.with(|shelves| {
        for (step, shelf) in shelves.iter().enumerate().skip(1) {
            shelf.room.set((8192 / (step * ALIGNED)).min(32));
        }
    });
}

/// The place of a size among the shelves, if it has one.
#[inline]
fn step_of(size: usize, align: usize) -> Option<usize> {
    (size <= SMALL && align <= ALIGNED).then_some(size.div_ceil(ALIGNED))
}

#[inline(never)]
fn small(step: usize) -> *mut u8 {
    SHELVES.with(|shelves| {
        if let Some(shelf) = shelves.get(step)
            && let Some(block) = NonNull::new(shelf.first.get())
        {
            // SAFETY: a block on a shelf is nobody else's, has at least 16 bytes, and begins with an address.
            shelf.first.set(unsafe { block.cast::<*mut u8>().read() });
            shelf.room.set(shelf.room.get() + 1);
            return block.as_ptr();
        }
        // SAFETY: takes no pointer.
        unsafe { libmimalloc_sys::mi_malloc(step * ALIGNED) }.cast()
    })
}

/// # Safety
/// `block` is one of mimalloc's with at least `step` times 16 bytes, aligned to 16, and is not used any more.
#[inline(never)]
unsafe fn free_small(block: *mut u8, step: usize) {
    SHELVES.with(|shelves| match shelves.get(step).filter(|shelf| shelf.room.get() > 0) {
        Some(shelf) => {
            // SAFETY: the caller's contract.
            unsafe { block.cast::<*mut u8>().write(shelf.first.get()) };
            shelf.first.set(block);
            shelf.room.set(shelf.room.get() - 1);
        }
        // SAFETY: the caller's contract.
        None => unsafe { libmimalloc_sys::mi_free(block.cast()) },
    });
}

/// Gives what this thread has on its shelves back.
fn clear_shelves() {
    SHELVES.with(|shelves| {
        for shelf in shelves {
            while let Some(block) = NonNull::new(shelf.first.get()) {
                // SAFETY: as in `small`; the block is off its shelf before it is freed.
                unsafe {
                    shelf.first.set(block.cast::<*mut u8>().read());
                    libmimalloc_sys::mi_free(block.as_ptr().cast());
                }
                shelf.room.set(shelf.room.get() + 1);
            }
        }
    });
}

// SAFETY: the functions of mimalloc fulfil the contract of GlobalAlloc: blocks of at least `size` bytes, aligned to 16 or as asked, valid
// until they are freed; mi_free and mi_realloc take what any of its functions gave. Small blocks have the size of their step at least,
// whoever gave them, so that a block may be given again for any size of its step.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if let Some(step) = step_of(size, align) {
            return small(step);
        }
        // SAFETY: neither takes a pointer, and alignments of layouts are powers of two.
        unsafe { if align <= ALIGNED { libmimalloc_sys::mi_malloc(size) } else { libmimalloc_sys::mi_malloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as for alloc.
        unsafe {
            match step_of(size, align) {
                Some(step) => libmimalloc_sys::mi_zalloc(step * ALIGNED),
                None if align <= ALIGNED => libmimalloc_sys::mi_zalloc(size),
                None => libmimalloc_sys::mi_zalloc_aligned(size, align),
            }
        }
        .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that the block came from here with this layout and is not used any more.
        unsafe {
            match step_of(layout.size(), layout.align()) {
                Some(step) => free_small(block, step),
                None => libmimalloc_sys::mi_free(block.cast()),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the block came from here with this layout.
        unsafe { resize(block, layout, size) }
    }
}

/// # Safety
/// `block` is the allocator's, for `layout`.
unsafe fn resize(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    let align = layout.align();
    // SAFETY: the caller's contract; a small block is copied into another one that has room for what is kept.
    unsafe {
        match (step_of(layout.size(), align), step_of(size, align)) {
            (Some(old), Some(new)) if old == new => block,
            (Some(old), new) => {
                let other = match new {
                    Some(new) => small(new),
                    None => libmimalloc_sys::mi_malloc(size).cast(),
                };
                if !other.is_null() {
                    ptr::copy_nonoverlapping(block, other, layout.size().min(size));
                    free_small(block, old);
                }
                other
            }
            (None, Some(new)) => libmimalloc_sys::mi_realloc(block.cast(), new * ALIGNED).cast(),
            (None, None) if align <= ALIGNED => libmimalloc_sys::mi_realloc(block.cast(), size).cast(),
            (None, None) => libmimalloc_sys::mi_realloc_aligned(block.cast(), size, align).cast(),
        }
    }
}

/// Gives memory that is free but still mapped back to the system.
///
/// mimalloc keeps pages for the next allocation; after thousands of connections have gone idle at once there is none.
/// Takes milliseconds: not for the hot path. Harmless where another allocator is in use.
pub fn release() {
    clear_shelves();
    // SAFETY: mi_collect takes no pointers and may be called at any time from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_as_asked_and_keep_their_bytes() {
        align_and_keep();
        keep_blocks();
        align_and_keep();
        align_and_keep();
    }

    #[test]
    fn the_block_that_was_freed_last_is_the_next_one() {
        keep_blocks();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: each block is used within its size and freed once, with its layout.
        unsafe {
            for (size, as_large) in [(1, 16), (100, 112), (1352, 1345), (2048, 2033)] {
                let blocks: Vec<*mut u8> = (0..200).map(|_| Allocator.alloc(layout(size))).collect();
                for block in &blocks {
                    block.write_bytes(1, size);
                    Allocator.dealloc(*block, layout(size));
                }
                // Those that found room, the last one first; beyond them there are as many others as one likes.
                let kept = (8192 / (size.div_ceil(16) * 16)).min(32);
                let again: Vec<*mut u8> = (0..200).map(|_| Allocator.alloc(layout(as_large))).collect();
                assert!(again[..kept].iter().rev().eq(&blocks[..kept]), "{size}");
                let mut distinct = again.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), again.len());
                for block in again {
                    block.write_bytes(2, as_large);
                    Allocator.dealloc(block, layout(as_large));
                }
                release();
            }
        }
    }

    fn align_and_keep() {
        const SIZES: [usize; 15] = [1, 7, 8, 9, 15, 16, 17, 1000, 1024, 1025, 2048, 2049, 3400, 70_000, 3_000_000];
        for align in [1, 2, 4, 8, 16, 32, 64, 128, 4096] {
            for (size, next) in SIZES.iter().zip(SIZES.iter().cycle().skip(5)) {
                let layout = Layout::from_size_align(*size, align).unwrap();
                // SAFETY: the layout has a size, and each block is used within its size and freed once, with its last layout.
                unsafe {
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert!(!zeroed.is_null() && zeroed.addr().is_multiple_of(align), "{size} {align}");
                    assert!(std::slice::from_raw_parts(zeroed, *size).iter().all(|byte| *byte == 0));
                    Allocator.dealloc(zeroed, layout);
                    let block = Allocator.alloc(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} {align}");
                    std::slice::from_raw_parts_mut(block, *size).fill(7);
                    let moved = Allocator.realloc(block, layout, *next);
                    assert!(!moved.is_null() && moved.addr().is_multiple_of(align), "{size} {next} {align}");
                    let kept = std::slice::from_raw_parts(moved, *size.min(next));
                    assert!(kept.iter().all(|byte| *byte == 7));
                    Allocator.dealloc(moved, Layout::from_size_align(*next, align).unwrap());
                }
            }
        }
    }
}
