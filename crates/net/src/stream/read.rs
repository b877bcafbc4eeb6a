//! Reading from a stream.

use super::Stream;
use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;

/// How many free bytes a read makes sure of.
pub(super) const ROOM: usize = 1024;

/// Receives from a registered socket, within the task's share of its turn. `$make_room` runs when something may be there, before a look.
///
/// A read that gets less than it has room for has taken all there was. The loop is told so, which saves the call that would only say it: what
/// comes later is reported as new.
macro_rules! poll_receive {
    ($stream:expr, $cx:expr, $into:expr, $most:expr, $make_room:expr) => {{
        loop {
            ready!($stream.poll_read_ready($cx))?;
            $make_room($into);
            let room = ($into.capacity() - $into.len()).min($most);
            let mut received = None;
            let all_taken = $stream.try_io(Interest::READABLE, || match sys::descriptor::receive_at_most($stream.as_fd(), $into, room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                result => {
                    let is_all = matches!(result, Ok(count) if count > 0 && count < room);
                    received = Some(result);
                    if is_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
                }
            });
            // What it says is known.
            drop(all_taken);
            if let Some(result) = received {
                break Poll::Ready(result);
            }
        }
    }};
}

impl Stream {
    /// Appends what has arrived to `into`, growing it when less than 1 KiB is free. Returns the number of bytes; 0 is
    /// the end of the stream. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, otherwise what recv(2) reports.
    pub fn try_read(&self, into: &mut Vec<u8>) -> io::Result<usize> {
        make_room(into);
        let receive = |socket: BorrowedFd<'_>, into: &mut Vec<u8>| sys::descriptor::receive(socket, into);
        match self {
            Stream::Fresh(fresh) => fresh.read(into, usize::MAX),
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, || receive(stream.as_fd(), into)),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, || receive(stream.as_fd(), into)),
            Stream::Tls(stream) => stream.try_read(into),
        }
    }

    /// As [`Stream::try_read`], but arranges a wake-up when nothing is there.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, into, usize::MAX, make_room)
    }

    /// As [`Stream::poll_read`]; `prepare` gives `into` its buffer as soon as something may be there, so that who waits needs none.
    #[inline]
    pub fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        mut prepare: impl FnMut(&mut Vec<u8>),
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, into, usize::MAX, |into: &mut Vec<u8>| {
            prepare(into);
            make_room(into);
        })
    }

    /// As [`Stream::poll_read`], but takes no more than `most` bytes from a socket and needs no more room than for them; what TLS has
    /// opened comes whole.
    pub fn poll_read_at_most(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>, most: usize) -> Poll<io::Result<usize>> {
        self.poll_receive(cx, into, most, |into: &mut Vec<u8>| into.reserve(most))
    }

    #[inline]
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        most: usize,
        mut prepare: impl FnMut(&mut Vec<u8>),
    ) -> Poll<io::Result<usize>> {
        if let Stream::Fresh(fresh) = self {
            if fresh.may_hold_bytes() {
                prepare(into);
                match fresh.read(into, most) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            }
            self.register()?;
        }
        match self {
            // It has just been registered.
            Stream::Fresh(_) => Poll::Pending,
            Stream::Tcp(stream) => poll_receive!(stream, cx, into, most, prepare),
            Stream::Unix(stream) => poll_receive!(stream, cx, into, most, prepare),
            Stream::Tls(stream) => {
                prepare(into);
                stream.poll_read(cx, into)
            }
        }
    }

    /// Waits for bytes and appends them to `into`; 0 is the end of the stream. Can be dropped without loss.
    ///
    /// # Errors
    /// What recv(2) reports.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, into)).await
    }

    /// Ready when a read would not wait: bytes, the end, or an error are there. May be spurious.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.register()?;
        match self {
            Stream::Fresh(_) => Poll::Ready(Ok(())),
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            Stream::Tls(stream) if stream.has_plaintext() => Poll::Ready(Ok(())),
            Stream::Tls(stream) => stream.socket_mut().poll_read_ready(cx),
        }
    }

    /// Waits until a read would not wait.
    ///
    /// # Errors
    /// When the event loop is shutting down.
    pub async fn readable(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_read_ready(cx)).await
    }

    /// Whether the event loop has reported nothing since a read had to wait, so that the task which waited then still does: one that was
    /// woken for something else need not ask again. `false` means that only a read can tell.
    #[must_use]
    pub fn still_waits(&self) -> bool {
        let reported = match self {
            // TLS may wait for the socket in either direction, and have bytes without it.
            Stream::Fresh(_) | Stream::Tls(_) => return false,
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, || Ok(())),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, || Ok(())),
        };
        reported.is_err()
    }

    /// Whether the peer is silent and present: no byte, no end of stream, no error has arrived as far as the event loop
    /// knows. Costs no system call while nothing has arrived.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let mut peek = |socket: BorrowedFd<'_>| SockRef::from(&socket).peek(&mut byte);
        let result = match self {
            Stream::Fresh(fresh) => fresh.descriptor().and_then(peek),
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, || peek(stream.as_fd())),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, || peek(stream.as_fd())),
            Stream::Tls(stream) => return stream.is_quiet(),
        };
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn make_room(into: &mut Vec<u8>) {
    if into.capacity() - into.len() < ROOM {
        into.reserve(ROOM);
    }
}
