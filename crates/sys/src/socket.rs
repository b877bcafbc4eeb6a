//! Socket calls and options that socket2 lacks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Who connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A client over TCP.
    Internet(SocketAddr),
    /// A client over a unix-domain socket; its name is almost always empty.
    Local,
}

/// Takes one connection from a listening socket; the new socket is non-blocking and closed by exec, accept4(2).
///
/// # Errors
/// `WouldBlock` when none waits, `ECONNABORTED` when the client is gone already, `EMFILE`/`ENFILE` without descriptors.
pub fn accept(listener: impl AsFd) -> io::Result<(OwnedFd, Peer)> {
    // SAFETY: all zero bytes are a valid sockaddr_storage.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: address and len are live and len tells the room there is.
    let number = unsafe {
        libc::accept4(listener.as_fd().as_raw_fd(), (&raw mut address).cast(), &raw mut len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
    };
    if number == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    Ok((socket, peer_of(&address)))
}

fn peer_of(address: &libc::sockaddr_storage) -> Peer {
    match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is large and aligned enough, holds a sockaddr_in.
            let v4 = unsafe { &*std::ptr::from_ref(address).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Peer::Internet(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage, which is large and aligned enough, holds a sockaddr_in6.
            let v6 = unsafe { &*std::ptr::from_ref(address).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Peer::Internet(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
        }
        _ => Peer::Local,
    }
}

fn set_option(socket: impl AsFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(0);
    // SAFETY: the value is a live integer of the length given.
    let result = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const value).cast(), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes the acceptor only when data was received, tcp(7) `TCP_DEFER_ACCEPT`; `seconds` 0 switches it off.
pub fn set_defer_accept(socket: impl AsFd, seconds: i32) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// Length of the queue of TCP Fast Open connections, tcp(7) `TCP_FASTOPEN`.
pub fn set_fast_open(socket: impl AsFd, queue: i32) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, queue)
}

/// Sends acknowledgements at once for now, tcp(7) `TCP_QUICKACK`.
pub fn set_quick_ack(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_QUICKACK, i32::from(on))
}

/// Holds back partial segments, tcp(7) `TCP_CORK`.
pub fn set_cork(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_CORK, i32::from(on))
}

/// Sends small segments at once, tcp(7) `TCP_NODELAY`.
pub fn set_no_delay(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, i32::from(on))
}

/// Stays silent on the port choice until connect, ip(7) `IP_BIND_ADDRESS_NO_PORT`, so that many outgoing connections
/// may share one local address.
pub fn set_bind_address_no_port(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Marks the socket as one for addresses that are not this machine's, ip(7) `IP_TRANSPARENT`. Needs `CAP_NET_RAW`.
pub fn set_transparent(socket: impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1)
    }
}

/// Whether a connection that was begun stands now, poll(2). One that failed does not: its error is still to be had.
pub fn is_connected(socket: impl AsFd) -> bool {
    let mut watched = libc::pollfd { fd: socket.as_fd().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one live record, as the count says.
    let count = unsafe { libc::poll(&raw mut watched, 1, 0) };
    count == 1 && watched.revents == libc::POLLOUT
}

/// Sets `SO_LINGER`, socket(7). With `Some(0)` a close sends RST instead of FIN and drops unsent bytes.
pub fn set_linger(socket: impl AsFd, seconds: Option<i32>) -> io::Result<()> {
    let value = libc::linger { l_onoff: i32::from(seconds.is_some()), l_linger: seconds.unwrap_or(0) };
    let len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the value is a live linger structure of the length given.
    let result = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const value).cast(), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn accept_tells_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = accept(&listener).unwrap();
        assert_eq!(peer, Peer::Internet(client.local_addr().unwrap()));
        set_cork(&socket, true).unwrap();
        set_no_delay(&socket, true).unwrap();
        set_quick_ack(&socket, true).unwrap();
        set_linger(&socket, Some(0)).unwrap();
        drop(socket);
        let error = std::io::Read::read(&mut &client, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
