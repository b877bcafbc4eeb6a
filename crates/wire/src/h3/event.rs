//! Events of request streams.

use crate::h2::request::{Malformed, RequestHead};

pub use crate::h2::BodyFault;

/// What nginx logs of a body that is not as long as was said, at the level info.
#[must_use]
pub fn body_message(fault: BodyFault) -> String {
    match fault {
        BodyFault::TooShort { received, declared } => {
            format!("client sent less body data than expected: {received} out of {declared} bytes of request body received")
        }
        BodyFault::TooLong => fault.to_string(),
    }
}

/// What [`super::Codec::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll<'i> {
    /// How many bytes of the input are done with.
    pub used: usize,
    /// What happened; `None` when more input is needed.
    pub event: Option<Event<'i>>,
}

/// Something that concerns the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A request. Its fields are in [`super::Codec::fields`] until the next call. When [`RequestHead::fault`] is there, answer with its
    /// status.
    Request {
        /// What the fields say.
        head: RequestHead,
        /// There is no body: the stream has ended.
        end: bool,
        /// Bytes of the stream so far, for `$request_length`.
        size: usize,
        /// All fields are those of the connection's last request.
        again: bool,
    },
    /// Content.
    Data {
        /// The piece.
        data: &'i [u8],
        /// There is more than was declared; nothing of the stream follows.
        fault: Option<BodyFault>,
    },
    /// Trailers, in [`super::Codec::fields`]: the body is complete.
    Trailers {
        /// They are not what trailers may be.
        fault: Option<Malformed>,
        /// The body is shorter than declared.
        body: Option<BodyFault>,
    },
    /// The stream has ended, and with it the body.
    End {
        /// The body is shorter than declared.
        fault: Option<BodyFault>,
    },
    /// The stream has ended before there was a request: to be reset with REQUEST_INCOMPLETE.
    Incomplete,
    /// A field section needs insertions into the table. What follows on the stream must be handed in once [`super::Codec::next_unblocked`]
    /// names the stream.
    Blocked,
}
