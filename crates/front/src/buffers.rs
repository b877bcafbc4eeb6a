//! Buffers that connections lend each other, last in, first out: a busy worker touches the same few lines of cache
//! whatever the number of its connections, and an idle connection holds none.

use std::cell::RefCell;

/// Most buffers that are kept.
const KEPT: usize = 64;
/// A larger buffer is given back to the allocator.
const LARGEST: usize = 64 * 1024;

thread_local!(static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });

/// An empty buffer.
pub fn take() -> Vec<u8> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Lets go of the buffers that wait.
pub fn clear() {
    BUFFERS.with_borrow_mut(|spare| *spare = Vec::new());
}

/// Gives a buffer back; its bytes are forgotten.
pub fn put(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LARGEST {
        return;
    }
    buffer.clear();
    // At the end of the process there may be nobody left to lend to.
    let _ = BUFFERS.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    });
}
