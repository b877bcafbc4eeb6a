//! A table in shared memory: process ids of a generation's workers and how many connections each has.

use std::sync::atomic::Ordering;

use sys::shared::SharedMemory;

/// Bytes of one entry: the process id, the number of open connections, and how many were taken so far.
const ENTRY: usize = 16;

/// Where the number of open connections stands in an entry.
const OPEN: usize = 4;

/// Where the number of those taken stands.
const TAKEN: usize = 8;

/// In its place: takes none.
const CLOSED: u32 = u32::MAX;

/// Bytes of what outlives a generation.
const LASTING: usize = 24;

/// Where the number of its workers' successors stands in it.
const RESPAWNED: usize = 0;

/// Where the number of generations stands.
const GENERATIONS: usize = 8;

/// Where the number of the newest connection stands.
const CONNECTIONS: usize = 16;

/// The process ids of the workers by their numbers. A clone is the same board.
#[derive(Debug, Clone, Default)]
pub struct WorkerTable {
    entries: Option<SharedMemory>,
    lasting: Option<SharedMemory>,
}

impl WorkerTable {
    /// A board for so many workers. Without memory, it stays empty.
    #[must_use]
    pub(crate) fn new(count: usize) -> Self {
        Self { entries: SharedMemory::new(count.max(1) * ENTRY).ok(), lasting: None }
    }

    /// The board of the next generation, which has so many workers.
    #[must_use]
    pub(crate) fn successor(&self, count: usize) -> Self {
        let lasting = self.lasting.clone().or_else(|| SharedMemory::new(LASTING).ok());
        let next = Self { lasting, ..Self::new(count) };
        next.add(GENERATIONS);
        next
    }

    /// A worker that has died gets a successor.
    pub(crate) fn note_respawn(&self) {
        self.add(RESPAWNED);
    }

    fn add(&self, at: usize) {
        if let Some(word) = self.lasting.as_ref().and_then(|memory| memory.atomic_u64(at)) {
            word.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lifetime(&self, at: usize) -> u64 {
        self.lasting.as_ref().and_then(|memory| memory.atomic_u64(at)).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// How many workers have died and got successors, since the master started.
    #[must_use]
    pub fn respawned(&self) -> u64 {
        self.lifetime(RESPAWNED)
    }

    /// How many generations of workers there were, this one included.
    #[must_use]
    pub fn generations(&self) -> u64 {
        self.lifetime(GENERATIONS)
    }

    /// A number for the next connection, unique among all processes since the master started; none without memory.
    #[must_use]
    pub fn next_connection(&self) -> Option<u64> {
        let word = self.lasting.as_ref()?.atomic_u64(CONNECTIONS)?;
        Some(word.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Enters a worker.
    pub(crate) fn set(&self, number: usize, pid: i32) {
        if let Some(entry) = self.entries.as_ref().and_then(|memory| memory.atomic_u32(number * ENTRY)) {
            entry.store(pid.unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// The worker takes no connections: it has not begun to, or has ended.
    pub fn close(&self, number: usize) {
        self.store_open(number, CLOSED);
    }

    /// A worker says how many connections it has open.
    pub fn report_open(&self, number: usize, open: usize) {
        self.store_open(number, u32::try_from(open).unwrap_or(CLOSED));
    }

    fn store_open(&self, number: usize, open: u32) {
        if let Some(entry) = self.entries.as_ref().and_then(|memory| memory.atomic_u32(number * ENTRY + OPEN)) {
            entry.store(open, Ordering::Relaxed);
        }
    }

    /// A worker says how many connections it has taken so far.
    pub fn report_taken(&self, number: usize, taken: u64) {
        if let Some(entry) = self.entries.as_ref().and_then(|memory| memory.atomic_u64(number * ENTRY + TAKEN)) {
            entry.store(taken, Ordering::Relaxed);
        }
    }

    /// The smallest number of connections taken by a worker other than `number` that takes any.
    #[must_use]
    pub fn least_taken_beside(&self, number: usize) -> Option<u64> {
        let memory = self.entries.as_ref()?;
        let others = (0..memory.len() / ENTRY).filter(|other| *other != number);
        let open = others.filter(|other| memory.atomic_u32(other * ENTRY + OPEN).is_some_and(|o| o.load(Ordering::Relaxed) != CLOSED));
        open.filter_map(|other| memory.atomic_u64(other * ENTRY + TAKEN)).map(|taken| taken.load(Ordering::Relaxed)).min()
    }

    /// How many connections the workers other than `number` have taken together.
    #[must_use]
    pub fn taken_beside(&self, number: usize) -> u64 {
        let Some(memory) = &self.entries else { return 0 };
        let others = (0..memory.len() / ENTRY).filter(|other| *other != number);
        let taken = others.filter_map(|other| memory.atomic_u64(other * ENTRY + TAKEN)).map(|taken| taken.load(Ordering::Relaxed));
        taken.fold(0, u64::wrapping_add)
    }

    /// Whether a worker other than `number` takes connections and has fewer than `limit`.
    #[must_use]
    pub fn has_room_beside(&self, number: usize, limit: usize) -> bool {
        let Some(memory) = &self.entries else { return false };
        let limit = u32::try_from(limit).unwrap_or(CLOSED);
        let others = (0..memory.len() / ENTRY).filter(|other| *other != number);
        others.filter_map(|other| memory.atomic_u32(other * ENTRY + OPEN)).any(|open| open.load(Ordering::Relaxed) < limit)
    }

    /// The process ids of the workers that have been started.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let Some(memory) = &self.entries else { return Vec::new() };
        let entries = (0..memory.len() / ENTRY).filter_map(|number| memory.atomic_u32(number * ENTRY));
        entries.map(|entry| entry.load(Ordering::Relaxed)).filter(|pid| *pid != 0).filter_map(|pid| i32::try_from(pid).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_see_an_entry() {
        let board = WorkerTable::new(3);
        let clone = board.clone();
        board.set(2, 7);
        board.set(0, 5);
        board.set(9, 1);
        assert_eq!(clone.pids(), [5, 7]);
        (0..3).for_each(|number| board.close(number));
        assert!(!clone.has_room_beside(0, 10));
        board.report_open(0, 3);
        board.report_open(2, 10);
        assert!(!clone.has_room_beside(0, 10) && clone.has_room_beside(1, 10));
        board.report_taken(0, 70);
        board.report_taken(2, 60);
        assert_eq!((clone.least_taken_beside(1), clone.least_taken_beside(2)), (Some(60), Some(70)));
        assert_eq!((clone.taken_beside(1), clone.taken_beside(0)), (130, 60));
        assert!(WorkerTable::default().pids().is_empty());
        let next = clone.successor(1).successor(2);
        assert_eq!((board.next_connection(), next.next_connection()), (None, Some(1)));
        assert_eq!((next.clone().next_connection(), next.successor(1).next_connection()), (Some(2), Some(3)));
        let next = clone.successor(1).successor(2);
        next.note_respawn();
        assert_eq!((next.clone().respawned(), next.generations(), next.pids().len()), (1, 2, 0));
    }
}
