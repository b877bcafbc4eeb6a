//! The kernel's data about a TCP connection, tcp(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What the kernel tells about a TCP connection (`TCP_INFO`, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round-trip time, microseconds.
    pub rtt: u32,
    /// How much it varies, microseconds.
    pub rttvar: u32,
    /// Segments that may be under way.
    pub snd_cwnd: u32,
    /// Room for what is received, bytes.
    pub rcv_space: u32,
}

/// Asks about a connected socket.
///
/// # Errors
/// It is no TCP socket.
pub fn of(socket: impl AsFd) -> io::Result<TcpInfo> {
    // SAFETY: all zero bytes are a valid tcp_info, which holds numbers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: info and length are live and length tells the room there is.
    let answer =
        unsafe { libc::getsockopt(socket.as_fd().as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length) };
    if answer == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(TcpInfo { rtt: info.tcpi_rtt, rttvar: info.tcpi_rttvar, snd_cwnd: info.tcpi_snd_cwnd, rcv_space: info.tcpi_rcv_space })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn a_connection_has_a_window() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let info = of(&stream).unwrap();
        assert!(info.snd_cwnd > 0 && info.rcv_space > 0, "{info:?}");
        assert!(of(UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
