//! A request's field section that comes again: a client that asks for the same sends the same bytes, and as long as what they refer to has
//! not changed they mean the same.

use crate::h2::request::RequestHead;

/// A longer section is not remembered.
const LONGEST: usize = 512;

/// What is known of a section that has come again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) head: RequestHead,
    /// How many insertions it needs.
    pub(super) required: u64,
    /// Bytes of its names and values.
    pub(super) useful: usize,
}

/// The last request's section, and what it said. The codec's fields are still its own.
#[derive(Debug, Default)]
pub(super) struct LastHead {
    section: Vec<u8>,
    end: bool,
    /// The state of the table that it refers to.
    edits: u64,
    /// There once the section was read.
    known: Option<Known>,
}

impl LastHead {
    /// What `section` says if it is the last one again.
    pub(super) fn find(&self, section: &[u8], end: bool, edits: u64) -> Option<Known> {
        self.known.filter(|_| self.edits == edits && self.end == end && self.section == section)
    }

    /// Another section begins: the fields will be its own. An empty one stands for what is not remembered.
    pub(super) fn begin(&mut self, section: &[u8], end: bool, edits: u64) {
        self.known = None;
        self.section.clear();
        if section.len() <= LONGEST {
            self.section.extend_from_slice(section);
        }
        (self.end, self.edits) = (end, edits);
    }

    /// What the section has said that began last.
    pub(super) fn learn(&mut self, known: Known) {
        if !self.section.is_empty() && known.head.fault.is_none() {
            self.known = Some(known);
        }
    }

    /// The fields are not the last request's any more.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// How many bytes of memory it holds.
    pub(super) fn held(&self) -> usize {
        self.section.capacity()
    }
}
