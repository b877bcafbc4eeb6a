//! A datagram socket with one peer, over UDP or in the unix domain.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

use crate::address::SocketAddress;
use crate::connect::{ConnectFailure, Options, prepare};

/// A refusal is no datagram to epoll(7), only an error.
const NEWS: Interest = Interest::READABLE.add(Interest::ERROR);

/// A connected datagram socket registered with the worker's event loop.
#[derive(Debug)]
pub enum Datagram {
    /// UDP.
    Udp(UdpSocket),
    /// Unix-domain.
    Unix(UnixDatagram),
}

impl Datagram {
    /// A socket that sends to and receives from `peer` alone; there is nothing to wait for, so that the options' timeout has no
    /// meaning. A unix-domain socket gets a name that the kernel picks, so that its peer can answer.
    ///
    /// # Errors
    /// What socket(2), bind(2) or connect(2) report.
    pub fn connect(peer: &SocketAddress, options: Options) -> Result<Datagram, ConnectFailure> {
        let bind = options.bind.filter(|_| matches!(peer, SocketAddress::Internet(_)));
        let socket = prepare(peer, Options { bind, ..options }, Type::DGRAM)?;
        Datagram::from_socket(socket, peer).map_err(ConnectFailure::Peer)
    }

    fn from_socket(socket: Socket, peer: &SocketAddress) -> io::Result<Datagram> {
        if let SocketAddress::Unix(_) = peer {
            // A name of no bytes asks the kernel for one, unix(7) "Autobind feature".
            socket.bind(&SockAddr::unix("")?)?;
        }
        socket.connect(&peer.to_socket()?)?;
        Ok(match peer {
            SocketAddress::Internet(_) => Datagram::Udp(UdpSocket::from_std(socket.into())?),
            SocketAddress::Unix(_) => Datagram::Unix(UnixDatagram::from_std(socket.into())?),
        })
    }

    /// Sends one datagram; returns how much of it went. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what send(2) reports.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        // The event loop is not asked first: it may not have heard yet that a new socket can be written to.
        SockRef::from(self).send(bytes)
    }

    /// Receives one datagram into `buffer`, whose end cuts off what does not fit. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, otherwise what recv(2) reports.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // The kernel is asked even if the event loop has heard of nothing: it may hold a refusal.
        io::Read::read(&mut &*SockRef::from(self), buffer)
    }

    /// Waits until something can be received or an error is there. May be spurious.
    ///
    /// # Errors
    /// The event loop is gone.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Datagram::Udp(socket) => socket.ready(NEWS).await?,
            Datagram::Unix(socket) => socket.ready(NEWS).await?,
        };
        Ok(())
    }

    /// As [`Datagram::try_receive`], after [`Datagram::readable`].
    ///
    /// # Errors
    /// As [`Datagram::try_receive`].
    pub fn receive_ready(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.try_receive(buffer);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            // The event loop is told for each kind of news on its own that there is none.
            for news in [Interest::READABLE, Interest::ERROR] {
                let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                let _ = match self {
                    Datagram::Udp(socket) => socket.try_io(news, nothing),
                    Datagram::Unix(socket) => socket.try_io(news, nothing),
                };
            }
        }
        result
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
        let socket = Datagram::connect(&peer.local_addr().unwrap().into(), Options { bind: Some(local), ..Options::default() }).unwrap();
        assert_eq!(socket.try_send(b"abc").unwrap(), 3);
        let mut buffer = [0; 10];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"abc");
        assert_eq!(socket.try_receive(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        peer.send_to(b"12", from).unwrap();
        peer.send_to(b"3456", from).unwrap();
        socket.readable().await.unwrap();
        assert_eq!(socket.receive_ready(&mut buffer).unwrap(), 2);
        assert_eq!(socket.receive_ready(&mut buffer[..3]).unwrap(), 3);
    }

    #[tokio::test]
    async fn a_refusal_is_seen() {
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = Datagram::connect(&nobody.into(), Options::default()).unwrap();
        socket.try_send(b"abc").unwrap();
        socket.readable().await.unwrap();
        let error = socket.receive_ready(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_unix_peer_can_answer() {
        let path = std::env::temp_dir().join(format!("lunette-datagram-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let peer = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let socket = Datagram::connect(&SocketAddress::Unix(path.clone()), Options::default()).unwrap();
        std::fs::remove_file(&path).unwrap();
        socket.try_send(b"abc").unwrap();
        let mut buffer = [0; 10];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(length, 3);
        peer.send_to_addr(b"ok", &from).unwrap();
        socket.readable().await.unwrap();
        assert_eq!(socket.receive_ready(&mut buffer).unwrap(), 2);
    }
}
