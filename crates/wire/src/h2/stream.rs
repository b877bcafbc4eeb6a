//! Streams: their states (RFC 9113, 5.1) and windows.

use std::collections::VecDeque;

use super::priority::Priority;

/// One stream that the caller has not closed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// Its identifier.
    pub(super) id: u32,
    /// What the peer lets us send.
    pub(super) send_window: i64,
    /// What the peer may still send.
    pub(super) recv_window: i64,
    /// What the peer may send before the caller is done with any of it.
    pub(super) window: i64,
    /// Content that the caller is done with and that the peer was not told of yet.
    pub(super) released: u32,
    /// What `Content-Length` says is still to come.
    pub(super) expected: Option<u64>,
    /// What `Content-Length` said.
    pub(super) declared: u64,
    /// The peer's half.
    pub(super) incoming: Incoming,
    /// Our half.
    pub(super) outgoing: Outgoing,
    /// Who sent RST_STREAM.
    pub(super) reset: Option<End>,
    /// Whether it has something to send.
    pub(super) waiting: Waiting,
    /// The `priority` field or PRIORITY_UPDATE.
    pub(super) priority: Option<Priority>,
}

/// The peer's half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// More may come.
    Open,
    /// What still comes of the body is dropped.
    Discarded,
    /// The peer sent END_STREAM, or the stream was reset.
    Closed,
}

impl Incoming {
    /// What follows a part of the message: END_STREAM closes the half, a fault makes the rest unwanted.
    pub(super) fn after(end: bool, fault: bool) -> Self {
        match (end, fault) {
            (true, _) => Self::Closed,
            (false, true) => Self::Discarded,
            (false, false) => Self::Open,
        }
    }
}

/// Our half of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// The head comes first; informational ones do not count.
    Head,
    /// Content or trailers may follow.
    Content,
    /// We sent END_STREAM, or the stream was reset.
    Closed,
}

/// What a stream waits for in order to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing: it has nothing to send.
    #[default]
    Nothing,
    /// Its turn in the schedule.
    Turn,
    /// A window.
    Window,
}

/// How a stream ended that is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides sent END_STREAM.
    Whole,
    /// The peer sent RST_STREAM.
    ByPeer,
    /// We sent RST_STREAM: frames may still be on their way.
    ByUs,
}

const ENDS: usize = 128;

/// The streams of a connection, in the order of their identifiers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: VecDeque<Stream>,
    /// The last ones that ended.
    ends: VecDeque<(u32, End)>,
}

impl Streams {
    /// How many are open.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// None is open.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn position(&self, id: u32) -> Option<usize> {
        // Mostly it is the newest, or the only one.
        let newest = self.open.len().checked_sub(1)?;
        if self.open.get(newest).is_some_and(|stream| stream.id == id) {
            return Some(newest);
        }
        self.open.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    /// The stream.
    #[must_use]
    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.open.get(self.position(id)?)
    }

    /// The stream, to be changed.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.position(id)?;
        self.open.get_mut(at)
    }

    /// Adds a stream, whose identifier is above all others.
    pub(super) fn push(&mut self, stream: Stream) {
        self.open.push_back(stream);
    }

    /// All open streams.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.iter_mut()
    }

    /// All open streams' identifiers.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.open.iter().map(|stream| stream.id)
    }

    /// Takes a stream out.
    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let at = self.position(id)?;
        self.open.remove(at)
    }

    /// Remembers how a stream ended.
    pub(super) fn ended(&mut self, id: u32, end: End) {
        if self.ends.len() >= ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back((id, end));
    }

    /// How a stream ended, when that is not too long ago.
    #[must_use]
    pub(super) fn end_of(&self, id: u32) -> Option<End> {
        self.ends.iter().rev().find(|entry| entry.0 == id).map(|entry| entry.1)
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Stream>() + self.ends.capacity() * size_of::<(u32, End)>()
    }

    /// Gives memory back while nothing is open.
    pub(super) fn shrink(&mut self) {
        self.open.shrink_to(8);
    }
}
