//! The client's side of a request: its connection, and the wire.

use crate::chain::Chain;
use crate::headers::Headers;
use crate::location::Server;
use crate::request::Request;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

pub use session::address::{Address, Proxied};

/// What is known of a client's connection.
pub type Connection = session::connection::Connection<Server>;

/// Why a request body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client went away.
    Closed,
    /// No byte for `client_body_timeout`.
    TimedOut,
    /// Broken chunk framing.
    Invalid,
    /// A body of a stream that is not what its head announces; already logged.
    Malformed,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::Closed => "client prematurely closed connection",
            BodyError::TimedOut => "client timed out",
            BodyError::Invalid => "client sent invalid chunked body",
            BodyError::Malformed => "client sent a body that is not as long as announced",
        })
    }
}

impl std::error::Error for BodyError {}

/// Progress of reading a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRead {
    /// This many bytes were appended.
    Data(usize),
    /// The whole body has been delivered.
    End,
}

/// The wire below a request: HTTP/1, HTTP/2, HTTP/3, or the collector of a subrequest.
///
/// Framing is the implementor's affair: it decided at the head between length, chunks and close.
pub trait Downstream {
    /// Sends the head; the response's filters have run.
    fn write_head(&self, request: &Request);

    /// Appends body bytes; short ones are gathered.
    fn write(&self, request: &Request, data: &[u8]);

    /// Appends body bytes that lie in several places.
    fn write_pieces(&self, request: &Request, pieces: &[IoSlice<'_>]) {
        pieces.iter().for_each(|piece| self.write(request, piece));
    }

    /// Appends body data, with marks.
    fn write_chain(&self, request: &Request, chain: Chain);

    /// Sends an informational response such as 100 or 103 before the head.
    /// Nothing, where no client waits.
    fn write_interim(&self, request: &Request, status: u16, headers: &Headers) {
        let _ = (request, status, headers);
    }

    /// Bytes that are waiting to be sent; none, where the response stays in memory.
    fn queued(&self) -> u64 {
        0
    }

    /// Bytes that were queued and never leave, since the client is gone.
    fn unsent(&self) -> u64 {
        0
    }

    /// Whether the client lets nothing more be sent now, so that what waits may wait for long.
    fn is_blocked(&self) -> bool {
        false
    }

    /// Sends until at most `below` bytes wait.
    ///
    /// # Errors
    /// The client is gone, or `send_timeout` passed.
    fn poll_drain(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        let _ = (cx, below);
        Poll::Ready(Ok(()))
    }

    /// Appends decoded request body bytes to `out`, at most about `limit`. A subrequest has no body of its own.
    fn poll_body(&self, cx: &mut Context<'_>, request: &Request, out: &mut Vec<u8>, limit: usize) -> Poll<Result<BodyRead, BodyError>> {
        let _ = (cx, request, out, limit);
        Poll::Ready(Ok(BodyRead::End))
    }

    /// How many bytes of a body of known length have been received and not taken.
    fn body_at_hand(&self) -> u64 {
        0
    }

    /// How many bytes of a chunk the client has announced and are not taken; `None` where a body does not come in chunks.
    fn body_announced(&self) -> Option<u64> {
        None
    }

    /// Whether the received and unconsumed part of the request's body is malformed.
    fn has_bad_body(&self) -> bool {
        false
    }

    /// Whether this is the wire of a subrequest, which passes on whether the client has gone and may be asked by several tasks.
    fn is_collected(&self) -> bool {
        false
    }

    /// Ready once the client has closed its connection or stream.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Raw access to the connection after a 101 or 2xx to CONNECT; `None` where the protocol has no such thing.
    fn tunnel(self: Rc<Self>, request: &Request) -> Option<Rc<dyn crate::tunnel::Tunnel>> {
        let _ = request;
        None
    }

    /// Whether writing has failed: nothing that is sent now arrives.
    fn is_broken(&self) -> bool {
        false
    }

    /// Runs `f` on the connection's descriptor; not where many requests share one.
    fn with_descriptor(&self, f: &mut dyn FnMut(BorrowedFd<'_>)) {
        let _ = f;
    }
}

/// The client's side of a request: what its protocol implements to send the response.
pub type Transport = Rc<dyn Downstream>;
