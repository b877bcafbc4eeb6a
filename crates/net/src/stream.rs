//! A connected byte stream over TCP or a unix-domain socket.
//!
//! Reads and writes keep the event loop's short-cut: a read that does not fill the buffer marks the socket as not
//! ready, which saves the system call that would only say so.

mod close;
mod fresh;
mod read;
mod traits;
mod transport;
mod write;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::net::{TcpStream, UnixStream};

use crate::tls::{Parked, TlsStream};
pub use fresh::Fresh;
pub use transport::Transport;

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
}

#[cfg(test)]
mod tests;
