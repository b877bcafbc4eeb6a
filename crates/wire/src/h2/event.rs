//! Events of a connection.

use super::error::ErrorCode;
use super::request::{Malformed, RequestHead};
use std::fmt;

/// What [`super::Codec::poll`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll<'i> {
    /// How many bytes of the input are done with.
    pub used: usize,
    /// What happened; `None` when more input is needed.
    pub event: Option<Event<'i>>,
}

/// A body that does not have the length that `content-length` declared: to be answered with 400, unless the response has begun, and
/// reset with PROTOCOL_ERROR (RFC 9113, 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// More came.
    TooLong,
    /// The stream ended after `received` of `declared` bytes.
    TooShort {
        /// What came.
        received: u64,
        /// What was expected.
        declared: u64,
    },
}

/// What nginx logs, at the level info.
impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("client intended to send body data larger than declared"),
            Self::TooShort { received, declared } => {
                write!(f, "client prematurely closed stream: only {received} out of {declared} bytes of request body received")
            }
        }
    }
}

impl std::error::Error for BodyFault {}

/// Something that concerns the caller.
///
/// For every stream of a [`Event::Request`] the caller must call [`super::Codec::close`] once, when it is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A request. Its fields are in [`super::Codec::fields`] until the next poll. When [`RequestHead::fault`] is there, answer with its
    /// status, and then reset the stream with PROTOCOL_ERROR.
    Request {
        /// The stream.
        stream: u32,
        /// What the fields say.
        head: RequestHead,
        /// There is no body.
        end: bool,
        /// Bytes of the header block, for `$request_length`.
        size: usize,
        /// Head and fields are those of the last request, to the byte.
        again: bool,
    },
    /// Content; pieces of frames come as they arrive. The stream's window stays smaller until the caller releases them.
    Data {
        /// The stream.
        stream: u32,
        /// The piece, which may be empty at the end.
        data: &'i [u8],
        /// The body is complete.
        end: bool,
        /// The body's length is not what was declared; nothing of the stream follows.
        fault: Option<BodyFault>,
    },
    /// Trailers, in [`super::Codec::fields`]: the body is complete.
    Trailers {
        /// The stream.
        stream: u32,
        /// They are not what trailers may be: the stream is to be reset.
        fault: Option<Malformed>,
        /// The body is shorter than declared.
        body: Option<BodyFault>,
    },
    /// The peer ended the stream by force ([`reset_message`] is what nginx logs).
    Reset {
        /// The stream.
        stream: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The peer broke the protocol within one stream, which was reset.
    StreamError {
        /// The stream.
        stream: u32,
        /// What RST_STREAM said.
        code: ErrorCode,
        /// What happened.
        error: StreamError,
    },
    /// A stream was refused; nothing is kept of it.
    Refused {
        /// The stream.
        stream: u32,
        /// Why.
        reason: Refusal,
    },
    /// The peer sent GOAWAY: it takes no streams of ours. It may still open its own (RFC 9113 section 6.8).
    GoAway {
        /// Why.
        code: ErrorCode,
    },
    /// The client has answered [`super::Codec::drain`], and the last GOAWAY is written: no new stream is taken.
    Drained,
    /// A frame of a type that is not known was skipped.
    Unknown {
        /// The type.
        kind: u8,
    },
}

/// An error of one stream, which is reset (RFC 9113, 5.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// DATA beyond the window.
    Window {
        /// The frame's payload.
        len: usize,
        /// What there was.
        window: i64,
    },
    /// A WINDOW_UPDATE that makes the window larger than can be.
    Overflow {
        /// The increment.
        increment: u32,
        /// What there was.
        window: i64,
    },
    /// SETTINGS that do.
    Settings,
    /// DATA behind the end.
    HalfClosed,
    /// HEADERS behind the end.
    HeadersHalfClosed,
    /// Trailers without END_STREAM.
    Trailers,
}

impl StreamError {
    /// What nginx logs, at the level info.
    #[must_use]
    pub fn message(self, stream: u32) -> String {
        match self {
            Self::Window { len, window } => {
                format!("client violated flow control for stream {stream}: received DATA frame length {len}, available window {window}")
            }
            Self::Overflow { increment, window } => format!(
                "client violated flow control for stream {stream}: received WINDOW_UPDATE frame with window increment {increment} not \
                 allowed for window {window}"
            ),
            Self::Settings => format!("client violated flow control for stream {stream}: SETTINGS frame overflows its window"),
            Self::HalfClosed => format!("client sent DATA frame for half-closed stream {stream}"),
            Self::HeadersHalfClosed => format!("client sent HEADERS frame for half-closed stream {stream}"),
            Self::Trailers => format!("client sent trailers without END_STREAM flag for stream {stream}"),
        }
    }
}

/// Why a stream was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// So many are open already.
    Concurrent(usize),
    /// So many came in one turn.
    AtOnce,
    /// A body would come before the client knows how small the window is.
    Unacknowledged,
}

/// What nginx logs, at the level info.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Concurrent(open) => write!(f, "concurrent streams exceeded {open}"),
            Self::AtOnce => f.write_str("client sent too many streams at once"),
            Self::Unacknowledged => f.write_str("client sent stream with data before settings were acknowledged"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What nginx logs of a stream that the client reset, at the level info.
#[must_use]
pub fn reset_message(stream: u32, code: ErrorCode) -> String {
    match code {
        ErrorCode::CANCEL => format!("client canceled stream {stream}"),
        ErrorCode::INTERNAL_ERROR => format!("client terminated stream {stream} due to internal error"),
        ErrorCode(code) => format!("client terminated stream {stream} with status {code}"),
    }
}
