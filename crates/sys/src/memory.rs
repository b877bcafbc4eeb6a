//! The allocator's memory.

/// Gives memory that is free but still mapped back to the system.
///
/// mimalloc keeps pages for the next allocation; after thousands of connections have gone idle at once there is none.
/// Takes milliseconds: not for the hot path. Harmless where another allocator is in use.
pub fn release() {
    // SAFETY: mi_collect takes no pointers and may be called at any time from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
