//! What receiving has in common at both ends of a connection: frames one after the other, up to an event, and the frames of a header block.

use super::error::Failure;
use super::frame::FrameHead;

/// A header block of more frames is a flood (VU#421644), and so is one with more that are empty.
const MAX_FRAMES: u32 = 256;
const MAX_EMPTY: u32 = 8;

/// The frames of one header block: HEADERS, and CONTINUATION behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockFrames {
    all: u32,
    empty: u32,
}

/// HEADERS alone.
impl Default for BlockFrames {
    fn default() -> Self {
        Self { all: 1, empty: 0 }
    }
}

impl BlockFrames {
    /// Counts a CONTINUATION. False: that is one too many.
    pub(super) fn count(&mut self, head: FrameHead) -> bool {
        self.all += 1;
        self.empty += u32::from(head.len == 0);
        self.all <= MAX_FRAMES && self.empty <= MAX_EMPTY
    }
}

/// How far a step came: bytes that are done with, and what happened; `None` when it needs more input.
pub(super) type Step<E> = Result<Option<(usize, Option<E>)>, Failure>;

/// Takes steps until something has happened or more input is needed: how much of the input is done with, and what happened.
#[inline]
pub(super) fn until_event<'i, E>(input: &'i [u8], mut step: impl FnMut(&'i [u8]) -> Step<E>) -> Result<(usize, Option<E>), Failure> {
    let mut used = 0;
    loop {
        match step(input.get(used..).unwrap_or(&[]))? {
            None => return Ok((used, None)),
            Some((len, event)) => {
                used += len;
                if event.is_some() {
                    return Ok((used, event));
                }
            }
        }
    }
}
