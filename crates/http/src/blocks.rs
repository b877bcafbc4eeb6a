//! Blocks within a location that are locations of their own without a name: `if`.
//!
//! A row that reads such a block puts its frame here and remembers the index; the engine builds a location for
//! each, found again in [`crate::Location::blocks`] under the same index.

use conf::scope::{Config, Frame};

/// Frames of the nameless blocks of one location, in order.
#[derive(Default)]
pub struct Blocks {
    /// The frames.
    pub list: Vec<Frame>,
}

impl Config for Blocks {
    // Blocks belong to the location that they stand in.
    fn inherit(&mut self, _: &Self) {}
}

impl Blocks {
    /// Adds a block; returns its index.
    pub fn push(&mut self, frame: Frame) -> usize {
        self.list.push(frame);
        self.list.len() - 1
    }
}
