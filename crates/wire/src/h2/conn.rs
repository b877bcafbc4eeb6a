//! The state of a connection, and its interface for the caller.

use super::budget::{Budget, Class};
use super::error::{ErrorCode, Failure};
use super::event::{Event, Refusal, StreamError};
use super::frame::{self, PREFACE};
use super::priority::Priority;
use super::request::RequestHead;
use super::schedule::{Schedule, SendPriority};
use super::settings::{DEFAULT_WINDOW, FIRST_UPDATE, MAX_WINDOW, PeerSettings, id};
use super::step::BlockFrames;
use super::stream::{End, Incoming, Outgoing, Stream, Streams, Waiting};
use super::tree::Tree;
use crate::hpack::{Decoder, Encoder, Fields, Limits};
use crate::repeat::LastHead;

/// A longer header block is not remembered: repeated ones consist mostly of indices.
const LONGEST_REPEATED: usize = 128;

/// What a server allows its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// `http2_max_concurrent_streams`.
    pub max_streams: usize,
    /// `http2_body_preread_size`: each stream's first window, bytes.
    pub window: u32,
    /// The sizes of header blocks: `large_client_header_buffers`, `max_headers`.
    pub headers: Limits,
    /// Extended CONNECT is offered (RFC 8441).
    pub connect_protocol: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_streams: 128, window: 65_536, headers: Limits::default(), connect_protocol: false }
    }
}

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    Preface,
    Head,
    /// The content of DATA; `deliver` is false when it is discarded.
    Data {
        stream: u32,
        left: usize,
        pad: usize,
        end: bool,
        deliver: bool,
    },
    /// A part of a header block.
    Block {
        left: usize,
        pad: usize,
        last: bool,
    },
    Skip {
        left: usize,
    },
}

/// Whose a header block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Request,
    Trailers,
    /// Only the table needs it; what to tell the caller then.
    Dropped(Option<Refusal>),
}

/// A header block that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end: bool,
    pub(super) purpose: Purpose,
    /// Bytes so far.
    pub(super) size: usize,
    pub(super) frames: BlockFrames,
}

/// What is sent after GOAWAY to learn that the client has seen it.
pub(super) const DRAIN_PING: [u8; 8] = *b"draining";

/// The server's side of a connection.
#[derive(Debug)]
pub struct Codec {
    pub(super) config: Config,
    pub(super) reading: Reading,
    pub(super) block: Option<Block>,
    /// The beginning of a field whose end has not come.
    pub(super) partial: Vec<u8>,
    pub(super) fields: Fields,
    pub(super) last_head: LastHead<RequestHead, LONGEST_REPEATED>,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) streams: Streams,
    pub(super) tree: Tree,
    pub(super) schedule: Schedule,
    /// What PRIORITY_UPDATE said of streams that are not open yet.
    pub(super) early: Vec<(u32, Priority)>,
    pub(super) budget: Budget,
    pub(super) peer: PeerSettings,
    /// What may be sent on the connection, and what the peer may send.
    pub(super) send_window: i64,
    pub(super) recv_window: i64,
    /// By how much the windows of open streams are larger than at first.
    pub(super) grown: i64,
    /// The last stream that was taken, and the last that the peer opened.
    pub(super) last: u32,
    pub(super) last_stream_id: u32,
    /// Streams of this turn.
    pub(super) opened_this_turn: usize,
    /// Above this no stream is taken any more.
    pub(super) closing_at: Option<u32>,
    pub(super) draining: bool,
    pub(super) failed: bool,
    /// Errors of streams that could not be told of yet.
    pub(super) errors: Vec<(u32, StreamError)>,
}

impl Codec {
    /// The longest input that a poll may need to get on: a caller's buffer must hold as much.
    pub const INPUT: usize = frame::HEAD + frame::DEFAULT_SIZE;

    /// A new connection; what must be sent first is appended to `out`.
    pub fn new(config: Config, out: &mut Vec<u8>) -> Self {
        let streams = u32::try_from(config.max_streams).unwrap_or(u32::MAX);
        let all = [
            (id::MAX_CONCURRENT_STREAMS, streams),
            (id::INITIAL_WINDOW_SIZE, config.window),
            (id::MAX_FRAME_SIZE, u32::try_from(frame::TAKEN_SIZE).unwrap_or(u32::MAX)),
            (id::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let used = if config.connect_protocol { all.len() } else { all.len() - 1 };
        frame::settings(all.get(..used).unwrap_or(&all), out);
        frame::window_update(0, FIRST_UPDATE, out);
        Self {
            config,
            reading: Reading::Preface,
            block: None,
            partial: Vec::new(),
            fields: Fields::default(),
            last_head: LastHead::default(),
            decoder: Decoder::new(4096),
            encoder: Encoder::default(),
            streams: Streams::default(),
            tree: Tree::default(),
            schedule: Schedule::default(),
            early: Vec::new(),
            budget: Budget::new(config.max_streams),
            peer: PeerSettings::default(),
            send_window: DEFAULT_WINDOW,
            recv_window: MAX_WINDOW,
            grown: 0,
            last: 0,
            last_stream_id: 0,
            opened_this_turn: 0,
            closing_at: None,
            draining: false,
            failed: false,
            errors: Vec::new(),
        }
    }

    /// Whether `input` begins as HTTP/2 with prior knowledge does: `None` when that cannot be said yet.
    #[must_use]
    pub fn recognize(input: &[u8]) -> Option<bool> {
        match PREFACE.get(..input.len()) {
            Some(beginning) if beginning != input => Some(false),
            Some(_) if input.len() < PREFACE.len() => None,
            _ => Some(input.starts_with(PREFACE)),
        }
    }

    /// The caller has read from the socket; `seconds` is any clock that only goes forward.
    pub fn begin_turn(&mut self, seconds: u64) {
        self.opened_this_turn = 0;
        self.budget.tick(seconds);
    }

    /// The fields of the last [`Event::Request`] or [`Event::Trailers`].
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// [`Codec::fields`] have been read: gives memory back that only few heads need.
    pub fn fields_read(&mut self) {
        if self.fields.read() {
            self.last_head = LastHead::default();
        }
    }

    /// How many streams the caller has not closed.
    #[must_use]
    pub fn open(&self) -> usize {
        self.streams.len()
    }

    /// Nothing is open and no new stream will be taken: close the connection when all is sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failed || (self.streams.is_empty() && self.closing_at.is_some() && !self.draining)
    }

    /// Whether GOAWAY was sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing_at.is_some()
    }

    /// Whether a frame has been received in part.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        !matches!(self.reading, Reading::Head) || self.block.is_some()
    }

    /// Bytes to come of a DATA frame that is partly read.
    #[must_use]
    pub fn left_of_frame(&self) -> usize {
        match self.reading {
            Reading::Data { left, pad, .. } => left + pad,
            Reading::Preface | Reading::Head | Reading::Block { .. } | Reading::Skip { .. } => 0,
        }
    }

    /// A header block is partly read: `client_header_timeout` runs.
    #[must_use]
    pub fn is_inside_head(&self) -> bool {
        self.block.is_some()
    }

    /// Gives memory back while the connection is idle.
    pub fn shrink(&mut self) {
        if self.block.is_none() {
            self.fields.shrink();
            self.last_head = LastHead::default();
            self.encoder.shrink();
            self.partial = Vec::new();
        }
        self.streams.shrink();
    }

    /// The approximate heap memory of the connection, bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let lists = self.partial.capacity() + self.errors.capacity() * size_of::<(u32, StreamError)>();
        lists
            + self.fields.memory()
            + self.last_head.memory()
            + self.decoder.memory()
            + self.encoder.memory()
            + self.streams.memory()
            + self.tree.memory()
            + self.schedule.memory()
    }

    pub(super) fn rank(&self, stream: u32) -> SendPriority {
        let priority = self.streams.get(stream).and_then(|stream| stream.priority);
        SendPriority { priority, position: self.tree.place(stream) }
    }

    /// Waiting streams stand where their priorities put them now.
    pub(super) fn rerank(&mut self) {
        let mut schedule = std::mem::take(&mut self.schedule);
        schedule.rerank(|stream| self.rank(stream));
        self.schedule = schedule;
    }

    /// The stream's priority, when the peer or the caller said one.
    #[must_use]
    pub fn priority(&self, stream: u32) -> Option<Priority> {
        self.streams.get(stream)?.priority
    }

    /// The server's word counts more than the client's (RFC 9218, 8).
    pub fn set_priority(&mut self, stream: u32, priority: Priority) {
        if let Some(entry) = self.streams.get_mut(stream) {
            entry.priority = Some(priority);
            self.rerank();
        }
    }

    pub(super) fn stream_error(
        &mut self,
        id: u32,
        code: ErrorCode,
        error: StreamError,
        out: &mut Vec<u8>,
    ) -> Result<Event<'static>, Failure> {
        self.budget.charge(Class::Reset, 1)?;
        self.end_by_us(id, code, out);
        Ok(Event::StreamError { stream: id, code, error })
    }

    pub(super) fn end_by_us(&mut self, id: u32, code: ErrorCode, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.reset.is_none() {
            frame::rst_stream(id, code, out);
        }
        self.close_stream(id, End::ByUs);
    }

    /// Nothing more is taken from or sent on the stream.
    pub(super) fn close_stream(&mut self, id: u32, by: End) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.reset = stream.reset.or(Some(by));
        (stream.incoming, stream.outgoing) = (Incoming::Closed, Outgoing::Closed);
        if std::mem::take(&mut stream.waiting) == Waiting::Turn {
            self.schedule.remove(id);
        }
    }

    /// The caller is done with the stream. What is not complete is reset, as nginx does: INTERNAL_ERROR when the response is not,
    /// NO_ERROR when only the request is not.
    pub fn close(&mut self, id: u32, out: &mut Vec<u8>) {
        let Some(&Stream { incoming, outgoing, reset, .. }) = self.streams.get(id) else { return };
        let response_is_whole = outgoing == Outgoing::Closed;
        let end = match reset {
            Some(end) => end,
            None if incoming == Incoming::Closed && response_is_whole => End::Whole,
            None => End::ByUs,
        };
        if reset.is_none() && response_is_whole {
            self.budget.refund_stream();
        }
        if end == End::ByUs {
            self.end_by_us(id, if response_is_whole { ErrorCode::NO_ERROR } else { ErrorCode::INTERNAL_ERROR }, out);
        }
        if let Some(stream) = self.streams.remove(id) {
            self.grown -= stream.window - i64::from(self.config.window);
            if stream.waiting == Waiting::Turn {
                self.schedule.remove(id);
            }
        }
        self.streams.ended(id, end);
        self.tree.close(id);
    }
}
