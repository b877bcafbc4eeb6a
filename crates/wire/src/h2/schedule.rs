//! The order in which streams may send.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::priority::Priority;
use super::tree::TreePosition;

/// What decides, in this order: RFC 9218's urgency, RFC 7540's tree, whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SendPriority {
    /// The peer's or the server's word; without one, streams of the same place take turns, as in nginx.
    pub priority: Option<Priority>,
    /// Where the stream stands in the tree.
    pub position: TreePosition,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    rank: SendPriority,
    sequence: u64,
    stream: u32,
}

impl Entry {
    fn urgency(&self) -> u8 {
        self.rank.priority.unwrap_or_default().urgency
    }
}

impl Ord for Entry {
    /// The greatest goes first.
    fn cmp(&self, other: &Self) -> Ordering {
        let urgency = other.urgency().cmp(&self.urgency());
        let rank = other.rank.position.rank.cmp(&self.rank.position.rank);
        let share = self.rank.position.share.total_cmp(&other.rank.position.share);
        urgency.then(rank).then(share).then(other.sequence.cmp(&self.sequence)).then(other.stream.cmp(&self.stream))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// The streams that have something to send.
#[derive(Debug, Default)]
pub struct Schedule {
    ready: BinaryHeap<Entry>,
    sequence: u64,
}

impl Schedule {
    /// Lets a stream wait for its turn; each stream at most once. One that is not incremental keeps the turn that its identifier gives
    /// it, so that it is sent whole; others stand behind all that wait.
    pub fn push(&mut self, stream: u32, rank: SendPriority) {
        self.sequence += 1;
        let whole = rank.priority.is_some_and(|priority| !priority.incremental);
        let turn = if whole { u64::from(stream) } else { self.sequence + (1 << 32) };
        self.ready.push(Entry { rank, sequence: turn, stream });
    }

    /// Takes the stream out whose turn it is.
    pub fn pop(&mut self) -> Option<u32> {
        self.ready.pop().map(|entry| entry.stream)
    }

    /// No stream waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.ready.capacity() * size_of::<Entry>()
    }

    /// A stream is over.
    pub fn remove(&mut self, stream: u32) {
        self.ready.retain(|entry| entry.stream != stream);
    }

    /// Priorities changed.
    pub(crate) fn rerank(&mut self, rank: impl Fn(u32) -> SendPriority) {
        let mut all = std::mem::take(&mut self.ready).into_vec();
        for entry in &mut all {
            entry.rank = rank(entry.stream);
        }
        self.ready = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(streams: &[(u32, Option<Priority>)], rounds: usize) -> Vec<u32> {
        let rank = |priority| SendPriority { priority, position: TreePosition::default() };
        let mut schedule = Schedule::default();
        for &(stream, priority) in streams {
            schedule.push(stream, rank(priority));
        }
        let mut order = vec![];
        for _ in 0..rounds {
            let Some(stream) = schedule.pop() else { break };
            order.push(stream);
            let priority = streams.iter().find(|entry| entry.0 == stream).and_then(|entry| entry.1);
            schedule.push(stream, rank(priority));
        }
        order
    }

    #[test]
    fn urgent_first_incremental_in_turns() {
        let p = |urgency, incremental| Some(Priority { urgency, incremental });
        assert_eq!(order(&[(1, None), (3, None), (5, None)], 6), [1, 3, 5, 1, 3, 5]);
        assert_eq!(order(&[(1, p(3, false)), (3, p(3, false))], 3), [1, 1, 1]);
        assert_eq!(order(&[(1, p(5, true)), (3, p(2, true)), (5, p(2, true))], 4), [3, 5, 3, 5]);
        assert_eq!(order(&[(1, p(3, true)), (3, p(3, false))], 2), [3, 3]);
    }

    #[test]
    fn the_tree_decides_among_equals() {
        let mut schedule = Schedule::default();
        let rank = |rank, share| SendPriority { priority: None, position: TreePosition { rank, share } };
        for (stream, at) in [(1, rank(2, 1.0)), (3, rank(1, 0.1)), (5, rank(1, 0.5))] {
            schedule.push(stream, at);
        }
        schedule.remove(3);
        assert_eq!([schedule.pop(), schedule.pop(), schedule.pop()], [Some(5), Some(1), None]);
    }
}
