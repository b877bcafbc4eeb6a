//! Who is who: the process ids of a generation's workers, in memory that they share.

use std::sync::atomic::Ordering;

use sys::shared::SharedMemory;

/// Bytes of one entry.
const ENTRY: usize = 4;

/// The process ids of the workers by their numbers. A clone is the same board.
#[derive(Debug, Clone, Default)]
pub struct Board(Option<SharedMemory>);

impl Board {
    /// A board for so many workers. Without memory for it, nobody is on it.
    #[must_use]
    pub(crate) fn new(count: usize) -> Self {
        Self(SharedMemory::new(count.max(1) * ENTRY).ok())
    }

    /// Enters a worker.
    pub(crate) fn set(&self, number: usize, pid: i32) {
        if let Some(entry) = self.0.as_ref().and_then(|memory| memory.atomic_u32(number * ENTRY)) {
            entry.store(pid.unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// The process ids of the workers that have been started.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let Some(memory) = &self.0 else { return Vec::new() };
        let entries = (0..memory.len() / ENTRY).filter_map(|number| memory.atomic_u32(number * ENTRY));
        entries.map(|entry| entry.load(Ordering::Relaxed)).filter(|pid| *pid != 0).filter_map(|pid| i32::try_from(pid).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_see_an_entry() {
        let board = Board::new(3);
        let clone = board.clone();
        board.set(2, 7);
        board.set(0, 5);
        board.set(9, 1);
        assert_eq!(clone.pids(), [5, 7]);
        assert!(Board::default().pids().is_empty());
    }
}
