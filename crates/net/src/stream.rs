//! A connected byte stream over TCP or a unix-domain socket.
//!
//! Reads and writes keep the event loop's short-cut: a read that does not fill the buffer marks the socket as not
//! ready, which saves the system call that would only say so.

mod fresh;
mod receive;
mod traits;
mod transport;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::{Parked, TlsStream};
pub use fresh::Fresh;
use receive::poll_receive;
pub use transport::Transport;

/// How many free bytes a read makes sure of.
const ROOM: usize = 1024;

/// More bytes follow, send(2); Linux has one number for all processors.
const MSG_MORE: i32 = 0x8000;

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Of either kind, not known to the event loop yet: that begins when somebody has to wait for it. One whose request is
    /// there when it is accepted, and that closes behind the response, is served without.
    Fresh(Fresh),
    /// TCP.
    Tcp(TcpStream),
    /// Unix-domain.
    Unix(UnixStream),
    /// TLS on one of them, see [`crate::tls`]. A write that would block has to be repeated with the same bytes.
    Tls(Box<TlsStream<Stream>>),
}

impl Stream {
    /// As [`Stream::from_fd`] for a socket of ours whose peer waits for our words: reading first is in vain.
    #[must_use]
    pub fn connected(socket: OwnedFd, transport: Transport) -> Self {
        Stream::Fresh(Fresh::unread(socket, transport))
    }

    /// A connected, non-blocking socket, registered with the current event loop at the first wait.
    #[must_use]
    pub fn from_fd(socket: OwnedFd, transport: Transport) -> Self {
        Stream::Fresh(Fresh::new(socket, transport))
    }

    /// Has the event loop report on the socket.
    fn register(&mut self) -> io::Result<()> {
        if let Stream::Fresh(fresh) = self {
            *self = fresh.register()?;
        }
        Ok(())
    }

    /// Takes the socket out of the event loop, for parking or passing on.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports; `InvalidInput` for TLS, which is more than its socket ([`Stream::into_parts`]).
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Stream::Fresh(fresh) => fresh.into_fd()?,
            Stream::Tcp(stream) => stream.into_std()?.into(),
            Stream::Unix(stream) => stream.into_std()?.into(),
            Stream::Tls(_) => return Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    /// As [`Stream::into_fd`], with the session that stands on the socket; only when [`Stream::can_park`] says so is
    /// nothing lost.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn into_parts(self) -> io::Result<(OwnedFd, Option<Parked>)> {
        match self {
            Stream::Tls(stream) => {
                let (socket, parked) = stream.park();
                Ok((socket.into_fd()?, Some(parked)))
            }
            plain => Ok((plain.into_fd()?, None)),
        }
    }

    /// Undoes [`Stream::into_parts`].
    #[must_use]
    pub fn from_parts(socket: OwnedFd, transport: Transport, parked: Option<Parked>) -> Self {
        let socket = Self::from_fd(socket, transport);
        match parked {
            Some(parked) => Stream::Tls(Box::new(TlsStream::unpark(socket, parked))),
            None => socket,
        }
    }

    /// Whether nothing of the connection waits in a buffer of this process.
    #[must_use]
    pub fn can_park(&self) -> bool {
        match self {
            Stream::Tls(stream) => stream.can_park(),
            _ => true,
        }
    }

    /// The TLS on this socket, if there is any.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsStream<Stream>> {
        match self {
            Stream::Tls(stream) => Some(stream),
            _ => None,
        }
    }

    /// What the handshake of a server's TLS found.
    #[must_use]
    pub fn established(&self) -> Option<tls::session::Established> {
        Some(self.tls()?.server()?.established())
    }

    /// Which kind of socket this is.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Stream::Fresh(fresh) => fresh.transport(),
            Stream::Tcp(_) => Transport::Tcp,
            Stream::Unix(_) => Transport::Unix,
            Stream::Tls(stream) => stream.socket().transport(),
        }
    }

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

    /// Waits until a read would not wait.
    ///
    /// # Errors
    /// When the event loop is shutting down.
    pub async fn readable(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_read_ready(cx)).await
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

    /// The socket's descriptor.
    ///
    /// # Errors
    /// `NotConnected` when the event loop did not take the socket, which is closed then.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Stream::Fresh(fresh) => fresh.descriptor(),
            Stream::Tcp(stream) => Ok(stream.as_fd()),
            Stream::Unix(stream) => Ok(stream.as_fd()),
            Stream::Tls(stream) => stream.socket().descriptor(),
        }
    }

    /// Sends small segments at once (`tcp_nodelay`); nothing to do on a unix-domain socket.
    ///
    /// # Errors
    /// What setsockopt(2) reports.
    pub fn set_no_delay(&self, on: bool) -> io::Result<()> {
        self.on_tcp(|socket| sys::socket::set_no_delay(socket, on))
    }

    /// Holds back partial segments (`tcp_nopush`); nothing to do on a unix-domain socket.
    ///
    /// # Errors
    /// What setsockopt(2) reports.
    pub fn set_cork(&self, on: bool) -> io::Result<()> {
        self.on_tcp(|socket| sys::socket::set_cork(socket, on))
    }

    /// Acknowledges at once for now; nothing to do on a unix-domain socket.
    ///
    /// # Errors
    /// What setsockopt(2) reports.
    pub fn set_quick_ack(&self, on: bool) -> io::Result<()> {
        self.on_tcp(|socket| sys::socket::set_quick_ack(socket, on))
    }

    fn on_tcp(&self, set: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        if self.transport() == Transport::Tcp { set(self.descriptor()?) } else { Ok(()) }
    }

    /// Tells the peer that no more bytes come, shutdown(2) `SHUT_WR`; TLS says close_notify first.
    ///
    /// # Errors
    /// What shutdown(2) reports, such as `NotConnected` when the peer has reset the connection; `WouldBlock` when
    /// close_notify has to wait for the socket ([`Stream::shutdown`] does).
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.close_notify()?;
        SockRef::from(&self.descriptor()?).shutdown(std::net::Shutdown::Write)
    }

    /// As [`Stream::shutdown_write`], but waits for the socket where it has to.
    ///
    /// # Errors
    /// What send(2) and shutdown(2) report.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        loop {
            match self.shutdown_write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::future::poll_fn(|cx| self.poll_write_ready(cx)).await?;
                }
                result => return result,
            }
        }
    }

    /// Says close_notify on TLS.
    ///
    /// # Errors
    /// What send(2) reports; `WouldBlock` when the socket takes nothing.
    pub fn close_notify(&self) -> io::Result<()> {
        self.tls().map_or(Ok(()), TlsStream::close)
    }

    /// Makes the close, whenever it comes, a reset.
    ///
    /// # Errors
    /// What setsockopt(2) reports.
    pub fn set_linger_reset(&self) -> io::Result<()> {
        sys::socket::set_linger(self.descriptor()?, Some(0))
    }

    /// Closes with a reset, so that the kernel keeps neither unsent bytes nor a dying socket
    /// (`reset_timedout_connection`).
    ///
    /// # Errors
    /// What setsockopt(2) reports; the socket is closed in any case.
    pub fn reset(self) -> io::Result<()> {
        sys::socket::set_linger(self.descriptor()?, Some(0))
    }
}

/// What a write at once has said, unless it has to wait: mostly a socket takes all, and the way to a wait costs as much as the rest.
fn or_wait(at_once: io::Result<usize>, wait: impl FnOnce() -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match at_once {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(),
        result => Poll::Ready(result),
    }
}

fn make_room(into: &mut Vec<u8>) {
    if into.capacity() - into.len() < ROOM {
        into.reserve(ROOM);
    }
}

#[cfg(test)]
mod tests;
