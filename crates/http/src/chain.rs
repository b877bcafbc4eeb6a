//! Response data on its way through the body filters.

use bytes::Bytes;
use std::fs::File;
use std::rc::Rc;

/// A range of an open file, sent without copying where the connection allows.
#[derive(Clone, Debug)]
pub struct FilePiece {
    /// The file.
    pub file: Rc<File>,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// A contiguous part of a body: bytes in memory, or a range of a file.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(FilePiece),
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::File(file) => file.end - file.start,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Data with its marks: what filters receive and pass on.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The data.
    pub pieces: Vec<Piece>,
    /// Send at once what is there.
    pub flush: bool,
    /// Nothing follows (`last_buf`, or `last_in_chain` of a subrequest).
    pub last: bool,
}

impl Chain {
    /// One run of bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Chain {
        Chain { pieces: vec![Piece::Bytes(bytes.into())], flush: false, last: false }
    }

    /// Only the mark that nothing follows.
    pub fn end() -> Chain {
        Chain { pieces: Vec::new(), flush: false, last: true }
    }

    /// The same, marked as the last.
    pub fn and_last(mut self) -> Chain {
        self.last = true;
        self
    }

    /// Total length in bytes.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Whether there is no data (there may be marks).
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Piece::is_empty)
    }
}
