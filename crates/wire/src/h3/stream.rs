//! The state of streams, and what may follow on them.

use super::event::BodyFault;
use super::frame::{FrameHead, HeadReader};
use crate::h2::priority::Priority;

/// What may come next on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The request's field section.
    Head,
    /// Content or trailers.
    Body,
    /// Content of an extended CONNECT.
    Tunnel,
    /// Nothing but frames that mean nothing.
    Trailed,
    /// The stream has ended.
    Ended,
}

/// Where the reading of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// In front of a frame, or in its head.
    Head,
    /// In content, of which so much is left.
    Data(u64),
    /// In a field section.
    Section(u64),
    /// In a frame that means nothing.
    Skip(u64),
}

/// A stream of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) phase: Phase,
    pub(super) reading: Reading,
    pub(super) head: HeadReader,
    /// The received part of a field section that is incomplete or waits for the table.
    pub(super) section: Vec<u8>,
    pub(super) waits: bool,
    /// Bytes of the stream up to its body.
    pub(super) size: usize,
    /// What `Content-Length` says is still to come, and what it said.
    pub(super) expected: Option<u64>,
    pub(super) declared: u64,
    /// Content is dropped: the request is malformed, or its body is.
    pub(super) deaf: bool,
    pub(super) priority: Option<Priority>,
}

impl Request {
    pub(super) fn new(id: u64, priority: Option<Priority>) -> Self {
        Self {
            id,
            phase: Phase::Head,
            reading: Reading::Head,
            head: HeadReader::default(),
            section: Vec::new(),
            waits: false,
            size: 0,
            expected: None,
            declared: 0,
            deaf: false,
            priority,
        }
    }

    /// All of it was received.
    pub(super) fn is_whole(&self) -> bool {
        self.phase == Phase::Ended
    }

    pub(super) fn memory(&self) -> usize {
        self.section.capacity()
    }

    /// The body has ended: whether it is as long as was said.
    pub(super) fn missing(&self) -> Option<BodyFault> {
        let rest = self.expected.filter(|rest| *rest > 0 && !self.deaf)?;
        Some(BodyFault::TooShort { received: self.declared - rest, declared: self.declared })
    }
}

/// Where the reading of the control stream is.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) head: HeadReader,
    /// The frame that is being read, and how much of it is left.
    pub(super) frame: Option<FrameHead>,
    pub(super) remaining: u64,
    /// Its received bytes, where they matter.
    pub(super) payload: Vec<u8>,
    /// Settings were received.
    pub(super) settings_received: bool,
}

/// What a stream is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Its type has not come, of which these are the first bytes.
    Unclear([u8; 8], usize),
    Control(Control),
    Encoder,
    Decoder,
    Unknown,
}

/// A stream in one direction.
#[derive(Debug)]
pub(super) struct UniStream {
    pub(super) id: u64,
    pub(super) purpose: Purpose,
}
