//! The queues of an index, and the manager's traversal of its records.

use crate::cells::{LockedCells, Queue, at, flag, own};
use base::saturated::Saturated;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

impl LockedCells<'_> {
    fn queue_of(&self, id: usize) -> usize {
        ((self.flags(id) & flag::QUEUE) >> 2) as usize
    }

    fn ends(&self, queue: usize) -> (&AtomicU32, &AtomicU32) {
        let word = own::QUEUES + queue.saturating_sub(1);
        (self.cells.half(0, word, 0), self.cells.half(0, word, 1))
    }

    /// Puts a record at the end of a queue.
    pub(crate) fn push(&self, id: usize, queue: Queue) {
        let number = queue as usize;
        let (first, last) = self.ends(number);
        let link = u32::saturated(id);
        let old = last.load(Relaxed);
        self.cells.half(id, at::QUEUE, 0).store(old, Relaxed);
        self.cells.half(id, at::QUEUE, 1).store(0, Relaxed);
        match old {
            0 => first.store(link, Relaxed),
            old => self.cells.half(old as usize, at::QUEUE, 1).store(link, Relaxed),
        }
        last.store(link, Relaxed);
        self.set_flags(id, (self.flags(id) & !flag::QUEUE) | ((queue as u32) << 2));
        self.blocks_of(number).fetch_add(self.size(id), Relaxed);
    }

    /// Takes a record out of its queue.
    pub(crate) fn unlink(&self, id: usize) {
        let queue = self.queue_of(id);
        if queue == 0 {
            return;
        }
        let (first, last) = self.ends(queue);
        let before = self.cells.half(id, at::QUEUE, 0).load(Relaxed);
        let behind = self.cells.half(id, at::QUEUE, 1).load(Relaxed);
        match before {
            0 => first.store(behind, Relaxed),
            other => self.cells.half(other as usize, at::QUEUE, 1).store(behind, Relaxed),
        }
        match behind {
            0 => last.store(before, Relaxed),
            other => self.cells.half(other as usize, at::QUEUE, 0).store(before, Relaxed),
        }
        self.set_flags(id, self.flags(id) & !flag::QUEUE);
        let blocks = self.blocks_of(queue);
        blocks.store(blocks.load(Relaxed).saturating_sub(self.size(id)), Relaxed);
    }

    /// The record that is longest in a queue.
    pub(crate) fn oldest(&self, queue: Queue) -> Option<usize> {
        let id = self.ends(queue as usize).0.load(Relaxed) as usize;
        (id != 0).then_some(id)
    }

    fn blocks_of(&self, queue: usize) -> &AtomicU64 {
        self.cells.word(0, own::BLOCKS + queue.saturating_sub(1))
    }

    /// Blocks of a queue's files.
    pub(crate) fn queue_blocks(&self, queue: Queue) -> u64 {
        self.blocks_of(queue as usize).load(Relaxed)
    }

    /// Blocks of all files.
    pub(crate) fn blocks(&self) -> u64 {
        self.queue_blocks(Queue::Small).saturating_add(self.queue_blocks(Queue::Main))
    }

    /// The records that have been used at least once end here.
    pub(crate) fn mark(&self) -> usize {
        (self.cells.half(0, own::FREE, 1).load(Relaxed) as usize).min(self.cells.capacity)
    }

    /// The next records that the manager looks at, and remembers that he has.
    pub(crate) fn advance(&self, count: usize) -> (usize, usize) {
        let cursor = self.cells.word(0, own::CURSOR);
        let start = usize::saturated(cursor.load(Relaxed)).max(1);
        let end = start.saturating_add(count).min(self.mark());
        cursor.store(if end >= self.mark() { 1 } else { end as u64 }, Relaxed);
        (start, end.max(start))
    }
}
