//! Writing to a stream, bytes or parts of a file.

use super::Stream;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, Interest};

/// More bytes follow, send(2); Linux has one number for all processors.
pub(super) const MSG_MORE: i32 = 0x8000;

impl Stream {
    /// Writes what the socket takes now, write(2); cheaper than writev(2) for one piece. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what write(2) reports.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Fresh(fresh) => fresh.write(bytes),
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
            Stream::Tls(stream) => stream.try_write(&[IoSlice::new(bytes)]),
        }
    }

    /// Writes what the socket takes now of several pieces, writev(2). Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what writev(2) reports.
    pub fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Fresh(fresh) => fresh.write_vectored(pieces, false),
            Stream::Tcp(stream) => stream.try_write_vectored(pieces),
            Stream::Unix(stream) => stream.try_write_vectored(pieces),
            Stream::Tls(stream) => stream.try_write(pieces),
        }
    }

    /// As [`Stream::try_write_vectored`], but tells the kernel that more follows at once: it does not send a packet that
    /// is not full (`MSG_MORE` of send(2)).
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what sendmsg(2) reports.
    pub fn try_write_more(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let send = |socket: BorrowedFd<'_>| SockRef::from(&socket).send_vectored_with_flags(pieces, MSG_MORE);
        match self {
            Stream::Fresh(fresh) => fresh.write_vectored(pieces, true),
            Stream::Tcp(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Stream::Unix(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Stream::Tls(stream) => stream.try_write(pieces),
        }
    }

    /// As [`Stream::try_write_vectored`], but arranges a wake-up when the socket takes nothing.
    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
        // One piece: write(2) is the cheaper call.
        let only = filled.next().filter(|_| filled.next().is_none());
        if let Stream::Fresh(fresh) = self {
            // A socket that has just been made takes what is small at once.
            match only.map_or_else(|| fresh.write_vectored(pieces, false), |only| fresh.write(only)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.register()?,
                result => return Poll::Ready(result),
            }
        }
        if let Some(only) = only {
            return match self {
                Stream::Fresh(fresh) => Poll::Ready(fresh.write(only)),
                Stream::Tcp(stream) => or_wait(stream.try_write(only), || Pin::new(stream).poll_write(cx, only)),
                Stream::Unix(stream) => or_wait(stream.try_write(only), || Pin::new(stream).poll_write(cx, only)),
                Stream::Tls(stream) => stream.poll_write(cx, pieces),
            };
        }
        match self {
            Stream::Fresh(fresh) => Poll::Ready(fresh.write_vectored(pieces, false)),
            Stream::Tcp(stream) => or_wait(stream.try_write_vectored(pieces), || Pin::new(stream).poll_write_vectored(cx, pieces)),
            Stream::Unix(stream) => or_wait(stream.try_write_vectored(pieces), || Pin::new(stream).poll_write_vectored(cx, pieces)),
            Stream::Tls(stream) => stream.poll_write(cx, pieces),
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What writev(2) reports.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wrote = std::future::poll_fn(|cx| self.poll_write_vectored(cx, &[IoSlice::new(bytes)])).await?;
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(wrote..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends up to `count` bytes of a file from `offset` on, sendfile(2). Returns how many; 0 means that the file ends
    /// there. Never waits for the socket (it may wait for the disk).
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what sendfile(2) reports.
    pub fn try_send_file(&self, file: impl AsFd, offset: u64, count: usize) -> io::Result<usize> {
        let send = |socket: BorrowedFd<'_>| sys::descriptor::send_file(socket, file.as_fd(), offset, count);
        match self {
            Stream::Fresh(fresh) => send(fresh.descriptor()?),
            Stream::Tcp(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Stream::Unix(stream) => stream.try_io(Interest::WRITABLE, || send(stream.as_fd())),
            Stream::Tls(stream) => stream.try_send_file(file.as_fd(), offset, count),
        }
    }

    /// As [`Stream::try_send_file`], but arranges a wake-up when the socket takes nothing.
    pub fn poll_send_file(&mut self, cx: &mut Context<'_>, file: impl AsFd, offset: u64, count: usize) -> Poll<io::Result<usize>> {
        let file = file.as_fd();
        loop {
            ready!(self.poll_write_ready(cx))?;
            match self.try_send_file(file, offset, count) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ready when a write would not wait. May be spurious.
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.register()?;
        match self {
            Stream::Fresh(_) => Poll::Ready(Ok(())),
            Stream::Tcp(stream) => stream.poll_write_ready(cx),
            Stream::Unix(stream) => stream.poll_write_ready(cx),
            Stream::Tls(stream) => stream.socket_mut().poll_write_ready(cx),
        }
    }
}

/// What a write at once has said, unless it has to wait: mostly a socket takes all, and the way to a wait costs as much as the rest.
fn or_wait(at_once: io::Result<usize>, wait: impl FnOnce() -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match at_once {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(),
        result => Poll::Ready(result),
    }
}
