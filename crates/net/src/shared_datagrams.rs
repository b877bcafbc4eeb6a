//! A socket for the datagrams of many peers: a listener of UDP, or of datagrams in the unix domain.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

pub use sys::datagram::{Received, Sender};
use tokio::io::unix::AsyncFd;

/// Such a socket, registered with the worker's event loop.
#[derive(Debug)]
pub struct SharedDatagrams {
    io: AsyncFd<OwnedFd>,
}

impl SharedDatagrams {
    /// Registers a non-blocking socket.
    ///
    /// # Errors
    /// What epoll_ctl(2) reports.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { io: sys::watch::readable_and_writable(socket)? })
    }

    /// Waits for the next datagram, which must fit into `buffer`. Can be dropped without loss.
    ///
    /// # Errors
    /// What recvmsg(2) reports; call again afterwards.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let mut ready = self.io.readable().await?;
            match sys::datagram::receive(self.io.get_ref(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends one datagram, from the address `local` if one is given.
    ///
    /// # Errors
    /// What sendmsg(2) reports.
    pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: &Sender, local: Option<IpAddr>) -> Poll<io::Result<usize>> {
        loop {
            match sys::datagram::send(self.io.get_ref(), datagram, to, local) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.io.poll_write_ready(cx))?.clear_ready(),
                result => return Poll::Ready(result),
            }
        }
    }
}
