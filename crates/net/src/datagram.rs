//! A datagram socket with one peer, over UDP or in the unix domain.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use socket2::{SockAddr, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::{UdpSocket, UnixDatagram};

use crate::address::Address;

/// A connected datagram socket registered with the worker's event loop.
#[derive(Debug)]
pub enum Datagram {
    /// UDP.
    Udp(UdpSocket),
    /// Unix-domain.
    Unix(UnixDatagram),
}

impl Datagram {
    /// A socket that sends to and receives from `peer` alone, from the address `local` if one is given. A unix-domain
    /// socket gets a name that the kernel picks, so that its peer can answer.
    ///
    /// # Errors
    /// What socket(2), bind(2) or connect(2) report.
    pub fn connect(peer: &Address, local: Option<SocketAddr>) -> io::Result<Datagram> {
        let socket = Socket::new(peer.domain(), Type::DGRAM.cloexec().nonblocking(), None)?;
        match peer {
            // A name of no bytes asks the kernel for one, unix(7) "Autobind feature".
            Address::Unix(_) => socket.bind(&SockAddr::unix("")?)?,
            Address::Internet(_) => local.map_or(Ok(()), |local| socket.bind(&local.into()))?,
        }
        socket.connect(&peer.to_socket()?)?;
        Ok(match peer {
            Address::Internet(_) => Datagram::Udp(UdpSocket::from_std(socket.into())?),
            Address::Unix(_) => Datagram::Unix(UnixDatagram::from_std(socket.into())?),
        })
    }

    /// Sends one datagram; answers how much of it went. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what send(2) reports.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        // The event loop is not asked first: it may not have heard yet that a new socket can be written to.
        socket2::SockRef::from(self).send(bytes)
    }

    /// Receives one datagram into `buffer`, whose end cuts off what does not fit. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, otherwise what recv(2) reports.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Datagram::Udp(socket) => socket.try_recv(buffer),
            Datagram::Unix(socket) => socket.try_recv(buffer),
        }
    }

    /// As [`Datagram::try_receive`], but arranges a wake-up when nothing is there.
    pub fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filling = ReadBuf::new(buffer);
        ready!(match self {
            Datagram::Udp(socket) => socket.poll_recv(cx, &mut filling),
            Datagram::Unix(socket) => socket.poll_recv(cx, &mut filling),
        })?;
        Poll::Ready(Ok(filling.filled().len()))
    }

    /// Waits for one datagram.
    ///
    /// # Errors
    /// What recv(2) reports.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_receive(cx, buffer)).await
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Datagram::Udp(socket) => socket.as_fd(),
            Datagram::Unix(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_keep_their_ends() {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = "127.0.0.1:0".parse().unwrap();
        let socket = Datagram::connect(&peer.local_addr().unwrap().into(), Some(local)).unwrap();
        assert_eq!(socket.try_send(b"abc").unwrap(), 3);
        let mut buffer = [0; 10];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"abc");
        assert_eq!(socket.try_receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        peer.send_to(b"12", from).unwrap();
        peer.send_to(b"3456", from).unwrap();
        assert_eq!(socket.receive(&mut buffer).await.unwrap(), 2);
        assert_eq!(socket.receive(&mut buffer[..3]).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_unix_peer_can_answer() {
        let path = std::env::temp_dir().join(format!("lunette-datagram-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let peer = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let socket = Datagram::connect(&Address::Unix(path.clone()), None).unwrap();
        std::fs::remove_file(&path).unwrap();
        socket.try_send(b"abc").unwrap();
        let mut buffer = [0; 10];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(length, 3);
        peer.send_to_addr(b"ok", &from).unwrap();
        assert_eq!(socket.receive(&mut buffer).await.unwrap(), 2);
    }
}
