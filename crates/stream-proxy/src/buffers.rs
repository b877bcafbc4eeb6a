//! Buffers that sessions have while bytes are on their way, and give back.

use std::cell::RefCell;

/// How many are kept for the next sessions.
const KEPT: usize = 32;

/// The buffers of a worker.
#[derive(Debug, Default)]
pub struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with room for `size` bytes.
    pub fn take(&self, size: usize) -> Vec<u8> {
        let mut buffer = self.0.borrow_mut().pop().unwrap_or_default();
        buffer.reserve_exact(size);
        buffer
    }

    /// Gives one back. One that has grown, as TLS may make it do, is not kept.
    pub fn give(&self, mut buffer: Vec<u8>, size: usize) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT && buffer.capacity() <= size.saturating_mul(2) {
            buffer.clear();
            kept.push(buffer);
        }
    }
}
