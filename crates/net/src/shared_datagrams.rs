//! A datagram socket with many peers: a listener over UDP or in the unix domain.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use crate::accept::{Exclusive, make_exclusive};
pub use sys::datagram::{Received, Sender};
use sys::epoll::{EPOLLET, EPOLLEXCLUSIVE, EPOLLIN};
use tokio::io::unix::AsyncFd;

/// Such a socket, registered with the worker's event loop.
#[derive(Debug)]
pub struct SharedDatagrams {
    io: AsyncFd<OwnedFd>,
    exclusive: Option<Exclusive>,
    /// The same socket, once it has been full: registered separately, because every sent datagram would wake those that wait for room.
    full: OnceCell<AsyncFd<OwnedFd>>,
}

impl SharedDatagrams {
    /// Registers a non-blocking socket. `shared` says that other workers wait on the same: a datagram then wakes one of them, which takes
    /// all there are.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn new(socket: OwnedFd, shared: bool) -> io::Result<Self> {
        let io = sys::watch::readable(socket)?;
        let exclusive = if shared { make_exclusive(&io, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE)? } else { None };
        Ok(Self { io, exclusive, full: OnceCell::new() })
    }

    /// Leaves datagrams to others for good: none wakes this worker any more. Answers can still be sent. Those that it was woken for are still to
    /// be taken with [`SharedDatagrams::try_receive`], since nobody else was.
    pub fn retire(&self) {
        if let Some(exclusive) = &self.exclusive {
            // What stays registered only wakes for nothing until the descriptor is closed.
            let _ = exclusive.deregister(&self.io);
        }
    }

    /// Waits for the next datagram, which must fit into `buffer`. Can be dropped without loss.
    ///
    /// # Errors
    /// What recvmsg(2) reports; call again afterwards.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            // Only one task waits here, which costs less than a place among many (`readable`).
            let mut ready = poll_fn(|cx| self.io.poll_read_ready(cx)).await?;
            match sys::datagram::receive(self.io.get_ref(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The next datagram, if one is there.
    ///
    /// # Errors
    /// As [`SharedDatagrams::receive`]; `WouldBlock` when none is there.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        sys::datagram::receive(self.io.get_ref(), buffer)
    }

    /// Sends one datagram, from the address `local` if one is given.
    ///
    /// # Errors
    /// What sendmsg(2) reports.
    pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: &Sender, local: Option<IpAddr>) -> Poll<io::Result<usize>> {
        loop {
            match sys::datagram::send(self.io.get_ref(), datagram, to, local) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.writable()?.poll_write_ready(cx))?.clear_ready(),
                result => return Poll::Ready(result),
            }
        }
    }

    /// What tells that there is room for a datagram again.
    fn writable(&self) -> io::Result<&AsyncFd<OwnedFd>> {
        if self.full.get().is_none() {
            let _ = self.full.set(sys::watch::writable(self.io.get_ref().try_clone()?)?);
        }
        self.full.get().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
