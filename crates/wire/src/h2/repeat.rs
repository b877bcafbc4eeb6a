//! A header block that comes again: a client that asks for the same sends the same few bytes, and as long as the table of its fields has
//! not changed they mean the same.

use super::request::RequestHead;

/// A longer block is not remembered: what repeats itself is mostly indices.
const LONGEST: usize = 128;

/// The last request's block, and what it said. The codec's fields are still its own.
#[derive(Debug, Default)]
pub(super) struct LastHead {
    block: Vec<u8>,
    end: bool,
    /// The table's state before the block.
    edits: u64,
    /// Known once the block was read, and read without changing the table.
    head: Option<RequestHead>,
}

impl LastHead {
    /// What `block` says if it is the last one again.
    pub(super) fn find(&self, block: &[u8], end: bool, edits: u64) -> Option<RequestHead> {
        self.head.filter(|_| self.edits == edits && self.end == end && self.block == block)
    }

    /// Another block begins: the fields will be its own. An empty one stands for what is not remembered.
    pub(super) fn begin(&mut self, block: &[u8], end: bool, edits: u64) {
        self.head = None;
        self.block.clear();
        if block.len() <= LONGEST {
            self.block.extend_from_slice(block);
        }
        (self.end, self.edits) = (end, edits);
    }

    /// What the block has said that began last.
    pub(super) fn learn(&mut self, head: &RequestHead, edits: u64) {
        if !self.block.is_empty() && self.edits == edits && head.fault.is_none() {
            self.head = Some(*head);
        }
    }

    /// How many bytes of memory it holds.
    pub(super) fn held(&self) -> usize {
        self.block.capacity()
    }
}
