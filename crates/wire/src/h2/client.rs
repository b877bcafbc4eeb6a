//! The client's side of a connection that carries one request at a time, as connections to upstream servers do.
//!
//! Like [`super::Codec`] it is fed with what was read and appends what is to be sent. Its windows are as large as they can be: what holds
//! a server back is that the caller stops reading. It keeps no table for the server's header blocks, so that a kept connection costs little.
//!
//! ```
//! use wire::h2::client::{Client, Event};
//! use wire::h2::frame;
//!
//! let mut out = Vec::new();
//! let mut client = Client::new(&mut out);
//! client.begin(4096);
//! client.head([(&b":method"[..], &b"GET"[..]), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")], true, &mut out);
//!
//! let mut input = Vec::new();
//! frame::settings(&[], &mut input);
//! input.extend_from_slice(b"\0\0\x01\x01\x05\0\0\0\x01\x88");
//! let mut used = 0;
//! loop {
//!     let poll = client.poll(&input[used..], &mut out).expect("a well-behaved server");
//!     used += poll.used;
//!     match poll.event {
//!         Some(event) => assert_eq!(event, Event::Head { status: 200, end: true }),
//!         None => break,
//!     }
//! }
//! assert!(client.is_reusable());
//! ```

mod block;
#[cfg(any(test, feature = "check"))]
pub mod check;
mod receive;
#[cfg(test)]
mod tests;

use super::budget::{Budget, Class, Flood};
use super::error::{ErrorCode, Failure};
use super::frame::{self, FrameHead, PREFACE, flag, kind};
use super::settings::{DEFAULT_WINDOW, FIRST_UPDATE, LARGEST, MAX_WINDOW, id};
use super::step::BlockFrames;
use crate::hpack::{Decoder, Encoder, Fields, Limits};

/// So many SETTINGS and PINGs may be answered while the server takes no response.
const MAX_OWED: u32 = 1000;
/// Most fields of one header block.
const MAX_FIELDS: usize = 1000;

/// What [`Client::poll`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll<'i> {
    /// How many bytes of the input are done with.
    pub used: usize,
    /// What happened; `None` when more input is needed.
    pub event: Option<Event<'i>>,
}

/// A part of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A head. Its fields are in [`Client::fields`] until the next poll, `:status` first. Below 200 another head follows.
    Head {
        /// `:status`
        status: u16,
        /// There is no content.
        end: bool,
    },
    /// Content; pieces of frames come as they arrive.
    Data {
        /// The piece, which may be empty at the end.
        data: &'i [u8],
        /// The content is complete.
        end: bool,
    },
    /// Trailers, which end the response. Their fields are in [`Client::fields`] until the next poll.
    Trailers,
}

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Head,
    /// The content of DATA.
    Data {
        left: usize,
        pad: usize,
        end: bool,
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

/// A header block that is being read.
#[derive(Clone, Copy, Debug)]
struct Block {
    end: bool,
    frames: BlockFrames,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ResponseState {
    /// Its head is awaited.
    Head,
    /// Content or trailers may follow.
    Body,
    /// The server sent END_STREAM.
    Complete,
    /// ... and RST_STREAM behind it.
    Reset,
}

/// The stream of the request.
#[derive(Clone, Copy, Debug)]
struct Stream {
    id: u32,
    send_window: i64,
    recv_window: i64,
    /// We sent END_STREAM.
    out_closed: bool,
    response: ResponseState,
}

impl Stream {
    /// The server sent END_STREAM.
    fn is_answered(&self) -> bool {
        self.response >= ResponseState::Complete
    }
}

/// The client's side of a connection.
#[derive(Debug)]
pub struct Client {
    reading: Reading,
    block: Option<Block>,
    /// The beginning of a field whose end has not come.
    partial: Vec<u8>,
    fields: Fields,
    limits: Limits,
    decoder: Decoder,
    encoder: Encoder,
    budget: Budget,
    /// The window of new streams.
    first_window: i64,
    /// What may be sent on the connection, and what the server may send.
    send_window: i64,
    recv_window: i64,
    stream: Stream,
    /// Answers to SETTINGS and PING that the caller has not sent.
    owed: u32,
    /// The server takes no further stream.
    leaving: bool,
    failed: bool,
    unprocessed: bool,
}

impl Client {
    /// The longest input that a poll may need to get on: a caller's buffer must hold as much.
    pub const INPUT: usize = frame::HEAD + frame::DEFAULT_SIZE;

    /// A new connection; what must be sent first is appended to `out`.
    pub fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        frame::settings(&[(id::HEADER_TABLE_SIZE, 0), (id::ENABLE_PUSH, 0), (id::INITIAL_WINDOW_SIZE, LARGEST)], out);
        frame::window_update(0, FIRST_UPDATE, out);
        Self {
            reading: Reading::Head,
            block: None,
            partial: Vec::new(),
            fields: Fields::default(),
            limits: Limits::default(),
            decoder: Decoder::lenient(0),
            encoder: Encoder::default(),
            budget: Budget::default(),
            first_window: DEFAULT_WINDOW,
            send_window: DEFAULT_WINDOW,
            recv_window: MAX_WINDOW,
            stream: Stream { id: 0, send_window: 0, recv_window: 0, out_closed: true, response: ResponseState::Complete },
            owed: 0,
            leaving: false,
            failed: false,
            unprocessed: false,
        }
    }

    /// Begins the next request; the names and values of its response's head, and those of its trailers, may have `limit` bytes.
    pub fn begin(&mut self, limit: usize) {
        self.limits = Limits { string: limit, total: limit, fields: MAX_FIELDS };
        self.stream = Stream {
            id: if self.stream.id == 0 { 1 } else { self.stream.id.saturating_add(2) },
            send_window: self.first_window,
            recv_window: MAX_WINDOW,
            out_closed: false,
            response: ResponseState::Head,
        };
        self.unprocessed = false;
    }

    /// Time has gone on; `seconds` is any clock that only goes forward.
    pub fn tick(&mut self, seconds: u64) {
        self.budget.tick(seconds);
    }

    /// All that was appended to the output has been sent.
    pub fn flushed(&mut self) {
        self.owed = 0;
    }

    /// The fields of the last [`Event::Head`] or [`Event::Trailers`].
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether another request can follow: this one was sent and answered whole, and the server stays.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        let Stream { id, out_closed, .. } = self.stream;
        let between = self.reading == Reading::Head && self.block.is_none();
        self.stream.is_answered() && out_closed && between && !self.leaving && !self.failed && i64::from(id) + 2 <= MAX_WINDOW
    }

    /// Whether the server has said of its failure that it did nothing with the request: it can be sent again in any case.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    /// Gives memory back while the connection is idle.
    pub fn shrink(&mut self) {
        self.fields.shrink();
        self.partial = Vec::new();
    }

    /// Appends the request's head: pseudo-headers first, names in lower case, nothing of HTTP/1's connections.
    pub fn head<'f>(&mut self, fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>, end: bool, out: &mut Vec<u8>) {
        if self.stream.out_closed || self.failed {
            return;
        }
        self.stream.out_closed = end;
        let start = out.len();
        out.extend_from_slice(&[0; frame::HEAD]);
        self.encoder.begin(out);
        for (name, value) in fields {
            self.encoder.field(name, value, out);
        }
        frame::seal_headers(start, self.stream.id, end, frame::DEFAULT_SIZE, out);
    }

    /// How many bytes of content may be sent now, in one frame.
    #[must_use]
    pub fn quota(&self) -> usize {
        if self.stream.out_closed || self.failed {
            return 0;
        }
        usize::try_from(self.stream.send_window.min(self.send_window)).unwrap_or(0).min(frame::DEFAULT_SIZE)
    }

    /// Appends as much of `data` as one frame and the windows allow, and returns how much that was. With `end` and all of it sent, the
    /// request is complete; no data at all and `end` need no window.
    pub fn data(&mut self, data: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let len = data.len().min(self.quota());
        let last = end && len == data.len();
        if self.stream.out_closed || self.failed || (len == 0 && !last) {
            return 0;
        }
        self.stream.send_window -= len as i64;
        self.send_window -= len as i64;
        self.stream.out_closed = last;
        self.budget.sent_data();
        FrameHead { len, kind: kind::DATA, flags: if last { flag::END_STREAM } else { 0 }, stream: self.stream.id }.write(out);
        out.extend_from_slice(data.get(..len).unwrap_or(&[]));
        len
    }

    fn charge(&mut self, class: Class, amount: i64) -> Result<(), Failure> {
        self.budget.charge(class, amount).map_err(flood)
    }

    fn count_owed(&mut self, what: &str) -> Result<(), Failure> {
        self.owed += 1;
        if self.owed > MAX_OWED { Err(Failure::protocol(format!("upstream sent too many {what} frames"))) } else { Ok(()) }
    }
}

fn flood(_: Flood) -> Failure {
    Failure::new(ErrorCode::ENHANCE_YOUR_CALM, "upstream sent too many http2 frames")
}
