//! Repeated header blocks and field sections: the same request is encoded as the same few bytes, which mean the same as long as the
//! dynamic table that they refer to has not changed.

/// The last request's block of at most `LONGEST` bytes, and what it was decoded to. The codec's fields are still its own.
#[derive(Debug)]
pub(crate) struct LastHead<T, const LONGEST: usize> {
    block: Vec<u8>,
    end: bool,
    /// The state of the table that the block refers to.
    edits: u64,
    /// Set once the block was decoded.
    known: Option<T>,
}

impl<T, const LONGEST: usize> Default for LastHead<T, LONGEST> {
    fn default() -> Self {
        LastHead { block: Vec::new(), end: false, edits: 0, known: None }
    }
}

impl<T: Copy, const LONGEST: usize> LastHead<T, LONGEST> {
    /// What `block` was decoded to, if it repeats the last one.
    pub(crate) fn find(&self, block: &[u8], end: bool, edits: u64) -> Option<T> {
        self.known.filter(|_| self.edits == edits && self.end == end && self.block == block)
    }

    /// Another block begins: the fields will be its own. An empty one stands for a block that is not remembered.
    pub(crate) fn begin(&mut self, block: &[u8], end: bool, edits: u64) {
        self.known = None;
        self.block.clear();
        if block.len() <= LONGEST {
            self.block.extend_from_slice(block);
        }
        (self.end, self.edits) = (end, edits);
    }

    /// What the block that began last was decoded to.
    pub(crate) fn store(&mut self, known: T) {
        if !self.block.is_empty() {
            self.known = Some(known);
        }
    }

    /// Whether the table is still in the state in which the last block began.
    pub(crate) fn is_current(&self, edits: u64) -> bool {
        self.edits == edits
    }

    /// The fields are not the last request's any more.
    pub(crate) fn clear(&mut self) {
        self.known = None;
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.block.capacity()
    }
}
