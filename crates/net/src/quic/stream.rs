//! Streams: numbers, and results of reads and writes.

use quinn_proto::{Side, VarInt};
use std::fmt;

/// Whether data goes both ways on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dir {
    /// Both ways.
    Bi,
    /// From who opened it only.
    Uni,
}

/// The number of a stream (RFC 9000, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// Whether data goes both ways.
    #[must_use]
    pub fn dir(self) -> Dir {
        if self.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
    }

    /// Whether the client opened it.
    #[must_use]
    pub fn is_clients(self) -> bool {
        self.0 & 1 == 0
    }

    pub(super) fn inner(self) -> quinn_proto::StreamId {
        let side = if self.is_clients() { Side::Client } else { Side::Server };
        quinn_proto::StreamId::new(side, self.dir().into(), self.0 >> 2)
    }
}

impl From<quinn_proto::StreamId> for StreamId {
    fn from(id: quinn_proto::StreamId) -> Self {
        Self(id.into())
    }
}

impl From<Dir> for quinn_proto::Dir {
    fn from(dir: Dir) -> Self {
        match dir {
            Dir::Bi => quinn_proto::Dir::Bi,
            Dir::Uni => quinn_proto::Dir::Uni,
        }
    }
}

impl From<quinn_proto::Dir> for Dir {
    fn from(dir: quinn_proto::Dir) -> Self {
        match dir {
            quinn_proto::Dir::Bi => Dir::Bi,
            quinn_proto::Dir::Uni => Dir::Uni,
        }
    }
}

/// What reading from a stream gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes; the stream goes on.
    Data(usize),
    /// So many bytes, the last ones.
    End(usize),
    /// Nothing is there yet; [`super::Event::Readable`] tells when there is.
    Blocked,
}

/// Nothing will be read from a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The client gave it up, with a code.
    Reset(u64),
    /// It has been read to its end, stopped, or never was; or the connection is closed.
    Gone,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Reset(code) => write!(f, "stream reset by peer, code {code:#x}"),
            ReadError::Gone => f.write_str("stream is closed"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Nothing can be written to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The client does not want it, with a code.
    Stopped(u64),
    /// It has been finished, reset, or never was; or the connection is closed.
    Gone,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Stopped(code) => write!(f, "stream stopped by peer, code {code:#x}"),
            WriteError::Gone => f.write_str("stream is closed"),
        }
    }
}

impl std::error::Error for WriteError {}

/// A code as it goes over the wire; one that is too large becomes the largest.
pub(super) fn code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}
