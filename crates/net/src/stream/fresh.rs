//! A connected socket that the event loop does not know yet.
//!
//! A client that connects and sends at once, and does not stay, is the usual case of a new connection. Registering its socket
//! costs two system calls, one to come and one to go, and the loop would only say what a read says too.

use super::write::MSG_MORE;
use super::{Stream, Transport};
use socket2::SockRef;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::net::{TcpStream, UnixStream};

/// No SIGPIPE, send(2); Linux has one number for all processors.
const MSG_NOSIGNAL: i32 = 0x4000;

/// So many reads may fill their buffers. Then the event loop takes over, which gives others their turn: a client that sends faster
/// than its bytes are used would have the worker for itself.
const MOST_READS: u8 = 4;

/// The socket. All calls on it are made at once.
#[derive(Debug)]
pub struct Fresh {
    /// Gone once it is registered.
    socket: Option<OwnedFd>,
    transport: Transport,
    /// The last read took all there was, if there was anything.
    drained: Cell<bool>,
    /// Reads so far.
    reads: Cell<u8>,
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Fresh {
    pub(super) fn new(socket: OwnedFd, transport: Transport) -> Fresh {
        Fresh { socket: Some(socket), transport, drained: Cell::new(false), reads: Cell::new(0) }
    }

    /// A socket on which nothing can have been received yet.
    pub(super) fn unread(socket: OwnedFd, transport: Transport) -> Fresh {
        let fresh = Fresh::new(socket, transport);
        fresh.drained.set(true);
        fresh
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn into_fd(mut self) -> io::Result<OwnedFd> {
        self.socket.take().ok_or_else(closed)
    }

    /// The same socket, known to the current event loop, which reports what is there already.
    pub(super) fn register(&mut self) -> io::Result<Stream> {
        let socket = self.socket.take().ok_or_else(closed)?;
        Ok(match self.transport {
            Transport::Tcp => Stream::Tcp(TcpStream::from_std(socket.into())?),
            Transport::Unix => Stream::Unix(UnixStream::from_std(socket.into())?),
        })
    }

    pub(super) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd).ok_or_else(closed)
    }

    /// Reads what is there, no more than `most` bytes; `into` has room.
    pub(super) fn read(&self, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let room = (into.capacity() - into.len()).min(most);
        let read = sys::descriptor::receive_at_most(self.descriptor()?, into, most);
        // A read that does not fill its room got all there was; the loop reports what comes later.
        self.reads.set(self.reads.get().saturating_add(1));
        self.drained.set(match &read {
            Ok(count) => *count < room || self.reads.get() >= MOST_READS,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        read
    }

    /// Whether it is worth while to read before anything is awaited.
    pub(super) fn may_hold_bytes(&self) -> bool {
        !self.drained.get()
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&self.descriptor()?).send_with_flags(bytes, MSG_NOSIGNAL)
    }

    pub(super) fn write_vectored(&self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let flags = if more { MSG_NOSIGNAL | MSG_MORE } else { MSG_NOSIGNAL };
        SockRef::from(&self.descriptor()?).send_vectored_with_flags(pieces, flags)
    }
}
