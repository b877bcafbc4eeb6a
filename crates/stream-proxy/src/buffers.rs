//! Buffers that sessions borrow while data is in transit.

use std::cell::RefCell;

/// How many of each kind are kept for the next sessions.
const KEPT: usize = 32;

/// The largest datagram: none is cut off.
pub(crate) const LARGEST_DATAGRAM: usize = 65_535;

/// The buffers of a worker.
#[derive(Debug, Default)]
pub struct Buffers {
    empty: RefCell<Vec<Vec<u8>>>,
    /// With arbitrary content, so that they need not be cleared first.
    full: RefCell<Vec<Box<[u8]>>>,
}

impl Buffers {
    /// An empty buffer with room for `size` bytes.
    pub fn take(&self, size: usize) -> Vec<u8> {
        let mut spare = self.empty.borrow_mut();
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= size && buffer.capacity() <= size.saturating_mul(2);
        match spare.iter().rposition(fits) {
            Some(at) => spare.swap_remove(at),
            None => Vec::with_capacity(size),
        }
    }

    /// Gives one back. The one that has been here longest makes room for it.
    pub fn put(&self, mut buffer: Vec<u8>) {
        let mut spare = self.empty.borrow_mut();
        if spare.len() >= KEPT {
            spare.swap_remove(0);
        }
        buffer.clear();
        spare.push(buffer);
    }

    /// Room for a datagram.
    pub(crate) fn take_full(&self) -> Box<[u8]> {
        self.full.borrow_mut().pop().unwrap_or_else(|| vec![0; LARGEST_DATAGRAM].into())
    }

    /// Gives it back.
    pub(crate) fn put_full(&self, buffer: Box<[u8]>) {
        let mut spare = self.full.borrow_mut();
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_by_those_whom_it_fits() {
        let buffers = Buffers::default();
        let mut small = buffers.take(1000);
        small.extend_from_slice(b"left over");
        let address = small.as_ptr();
        buffers.put(small);
        let larger = buffers.take(4000);
        assert_ne!(larger.as_ptr(), address);
        let again = buffers.take(1000);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        for _ in 0..KEPT * 2 {
            buffers.put(Vec::with_capacity(1000));
        }
        assert_eq!(buffers.empty.borrow().len(), KEPT);
    }
}
