//! Datagrams of many peers on one socket: who sent one and to which of our addresses, recvmsg(2), sendmsg(2), ip(7), ipv6(7).

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, UnixAddr, recvmsg, sendmsg, setsockopt, sockopt};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

/// Who sent a datagram.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A client over UDP.
    Internet(SocketAddr),
    /// A client in the unix domain; without a name it cannot be answered.
    Unix(Option<PathBuf>),
}

/// A datagram that was received.
#[derive(Debug)]
pub struct Received {
    /// Its length.
    pub len: usize,
    /// Who sent it.
    pub sender: Sender,
    /// To which of our addresses, if the socket tells.
    pub local: Option<IpAddr>,
}

/// Makes a socket on all addresses tell to which of them a datagram came.
///
/// # Errors
/// What setsockopt(2) reports.
pub fn receive_destination(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?
    }
    Ok(())
}

/// Receives one datagram, which must fit into `buffer`. Never waits.
///
/// # Errors
/// `WouldBlock` when nothing is there, `InvalidData` for one that does not fit, otherwise what recvmsg(2) reports.
pub fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let mut pieces = [IoSliceMut::new(buffer)];
    let descriptor = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(descriptor, &mut pieces, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let local = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)).into()),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
            _ => None,
        })
    });
    Ok(Received { len: message.bytes, sender: sender(message.address.as_ref()), local })
}

fn sender(address: Option<&SockaddrStorage>) -> Sender {
    let internet = address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    });
    match internet {
        Some(address) => Sender::Internet(address),
        None => Sender::Unix(address.and_then(|address| address.as_unix_addr()?.path().map(PathBuf::from))),
    }
}

/// Sends one datagram, from the address `local` if one is given. Never waits.
///
/// # Errors
/// `WouldBlock` when the socket takes nothing, `NotConnected` for a client without a name, otherwise what sendmsg(2) reports.
pub fn send(socket: &impl AsFd, datagram: &[u8], to: &Sender, local: Option<IpAddr>) -> io::Result<usize> {
    let descriptor = socket.as_fd().as_raw_fd();
    let (pieces, flags) = ([IoSlice::new(datagram)], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    let to = match to {
        Sender::Internet(address) => SockaddrStorage::from(*address),
        Sender::Unix(Some(path)) => return Ok(sendmsg(descriptor, &pieces, &[], flags, Some(&UnixAddr::new(path)?))?),
        Sender::Unix(None) => return Err(io::ErrorKind::NotConnected.into()),
    };
    let sent = match local {
        Some(IpAddr::V4(ip)) => {
            let source = libc::in_addr { s_addr: ip.to_bits().to_be() };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
            sendmsg(descriptor, &pieces, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
        }
        Some(IpAddr::V6(ip)) => {
            let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
            sendmsg(descriptor, &pieces, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
        }
        None => sendmsg(descriptor, &pieces, &[], flags, Some(&to)),
    };
    Ok(sent?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_datagram_tells_its_ends_and_the_answer_comes_from_there() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        receive_destination(&server, false).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        client.send_to(b"ask", ("127.0.0.2", port)).unwrap();
        let mut buffer = [0; 16];
        let received = receive(&server, &mut buffer).unwrap();
        assert_eq!((&buffer[..received.len], received.local), (&b"ask"[..], Some([127, 0, 0, 2].into())));
        assert_eq!(received.sender, Sender::Internet(client.local_addr().unwrap()));
        assert_eq!(send(&server, b"", &received.sender, received.local).unwrap(), 0);
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from), (0, SocketAddr::from(([127, 0, 0, 2], port))));
        assert_eq!(receive(&server, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
