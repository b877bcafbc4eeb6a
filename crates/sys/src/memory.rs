//! The allocator and its memory.

use std::alloc::{GlobalAlloc, Layout};

/// mimalloc. Requests allocate and free much of the same sizes: half the cost of the C library's allocator.
///
/// It aligns all that it gives to [`WORD`], and blocks of [`ALIGNED`] bytes and more to that. Its calls that take an alignment do not
/// count on it: for blocks above a kilobyte they ask for more than is wanted and give a pointer into the middle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

const WORD: usize = 8;
const ALIGNED: usize = 16;

/// Whether any block of `size` is aligned as asked.
fn is_plain(size: usize, align: usize) -> bool {
    align <= WORD || (align <= ALIGNED && size >= ALIGNED)
}

// SAFETY: the functions of mimalloc fulfil the contract of GlobalAlloc: blocks of at least `size` bytes, aligned as `is_plain` says or
// as asked, valid until they are freed; mi_free and mi_realloc take what any of its functions gave.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: neither takes a pointer, and alignments of layouts are powers of two.
        unsafe { if is_plain(size, align) { libmimalloc_sys::mi_malloc(size) } else { libmimalloc_sys::mi_malloc_aligned(size, align) } }
            .cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as for alloc.
        unsafe { if is_plain(size, align) { libmimalloc_sys::mi_zalloc(size) } else { libmimalloc_sys::mi_zalloc_aligned(size, align) } }
            .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller promises that the block came from here and is not used any more.
        unsafe { libmimalloc_sys::mi_free(block.cast()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the caller promises that the block came from here.
        unsafe {
            if is_plain(size, align) {
                libmimalloc_sys::mi_realloc(block.cast(), size)
            } else {
                libmimalloc_sys::mi_realloc_aligned(block.cast(), size, align)
            }
        }
        .cast()
    }
}

/// Gives memory that is free but still mapped back to the system.
///
/// mimalloc keeps pages for the next allocation; after thousands of connections have gone idle at once there is none.
/// Takes milliseconds: not for the hot path. Harmless where another allocator is in use.
pub fn release() {
    // SAFETY: mi_collect takes no pointers and may be called at any time from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_as_asked_and_keep_their_bytes() {
        const SIZES: [usize; 13] = [1, 7, 8, 9, 15, 16, 17, 1000, 1024, 1025, 3400, 70_000, 3_000_000];
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
