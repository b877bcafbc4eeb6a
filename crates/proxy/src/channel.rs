//! What carries a request's and a response's messages over a connection.
//!
//! There are two kinds. On one, bytes are sent and received as they are, and the [`Dialect`](crate::dialect::Dialect) alone knows where
//! messages begin and end: HTTP/1, FastCGI and its relatives, memcached, Redis. The other is HTTP/2, whose frames belong to the
//! connection: what comes out of [`Channel::poll_receive`] is the response itself, its head written as HTTP/1 would write it.

pub mod link;

use crate::dialect::{ChannelKind, Framing};
use link::Link;
use net::stream::Stream;
use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};
use wire::chunked::Step;

/// A connection as a carrier of messages.
#[derive(Debug)]
pub enum Channel {
    /// See [`ChannelKind::Bytes`].
    Bytes(Stream),
    /// See [`ChannelKind::Frames`].
    Frames(Box<Link>),
}

impl Channel {
    /// A channel on a new connection.
    #[must_use]
    pub fn new(stream: Stream, kind: ChannelKind) -> Channel {
        match kind {
            ChannelKind::Bytes => Channel::Bytes(stream),
            ChannelKind::Frames => Channel::Frames(Box::new(Link::new(stream))),
        }
    }

    /// Begins a request whose response's head may have `limit` bytes.
    pub fn begin(&mut self, limit: usize) {
        if let Channel::Frames(link) = self {
            link.begin(limit);
        }
    }

    /// The connection itself.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        match self {
            Channel::Bytes(stream) => stream,
            Channel::Frames(link) => link.stream(),
        }
    }

    /// The connection itself, for what is no longer messages.
    pub(crate) fn stream_mut(&mut self) -> &mut Stream {
        match self {
            Channel::Bytes(stream) => stream,
            Channel::Frames(link) => link.stream_mut(),
        }
    }

    /// Appends received bytes of the response to `input`. Ready with the number of bytes that were read; 0 is the end of the connection. What
    /// is wrong with frames is told by [`Channel::next`] and [`Channel::fault`], once earlier input was processed.
    #[inline]
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
        mut prepare: impl FnMut(&mut Vec<u8>),
    ) -> Poll<io::Result<usize>> {
        match self {
            Channel::Bytes(stream) => stream.poll_read_with(cx, input, prepare),
            Channel::Frames(link) => {
                prepare(input);
                link.poll_receive(cx, input)
            }
        }
    }

    /// The next step through the body; `input` starts where the last one ended.
    ///
    /// # Errors
    /// The line for the error log.
    #[inline]
    pub fn next(&self, framing: &mut Framing, input: &[u8]) -> Result<Step, Cow<'static, [u8]>> {
        match (self, framing) {
            (Channel::Frames(link), Framing::Frames(left)) => link.next(left, input),
            (_, framing) => framing.next(input),
        }
    }

    /// The line about frames that end the connection.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        match self {
            Channel::Bytes(_) => None,
            Channel::Frames(link) => link.fault(),
        }
    }

    /// Whether the server has said that it did nothing with the request.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        matches!(self, Channel::Frames(link) if link.is_unprocessed())
    }

    /// Whether what came may have made room for more of the request.
    #[must_use]
    pub(crate) fn is_framed(&self) -> bool {
        matches!(self, Channel::Frames(_))
    }

    /// Whether nothing of the exchange is left on the connection, as far as the channel knows: another request may follow.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        match self {
            Channel::Bytes(_) => true,
            Channel::Frames(link) => link.is_reusable(),
        }
    }

    /// Whether the channel knows that the response is complete.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Channel::Frames(link) if link.has_ended())
    }

    /// Received trailers, as lines.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        match self {
            Channel::Bytes(_) => &[],
            Channel::Frames(link) => link.trailers(),
        }
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&mut self) {
        if let Channel::Frames(link) = self {
            link.shrink();
        }
    }
}
