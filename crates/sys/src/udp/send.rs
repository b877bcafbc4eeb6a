//! Sending: sendmmsg(2), `UDP_SEGMENT`.

use super::{CONTROL, Control, narrow, size};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// How many datagrams are sent at once, at most.
pub const MOST: usize = 16;

/// A datagram to send, or several of one length.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The length of each datagram but the last one, if there are several (`UDP_SEGMENT`).
    pub segment: Option<u16>,
    /// Where to.
    pub to: SocketAddr,
    /// From which of our addresses.
    pub local: Option<IpAddr>,
    /// The bits of ECN.
    pub ecn: u8,
}

/// What describes datagrams to the kernel; made once and used again.
pub struct Sender {
    names: [libc::sockaddr_storage; MOST],
    pieces: [libc::iovec; MOST],
    headers: [libc::mmsghdr; MOST],
    controls: [Control; MOST],
}

impl Default for Sender {
    fn default() -> Self {
        // SAFETY: all are plain structures of the C library, for which zeroes are a value.
        let (names, pieces, headers) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self { names, pieces, headers, controls: [Control([0; CONTROL]); MOST] }
    }
}

impl Sender {
    /// Sends packets in their order, at most [`MOST`]. Answers how many went: fewer than all if one cannot be sent now, or ever. Never
    /// waits.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing, otherwise what sendmmsg(2) reports of the first.
    pub fn send<'a>(&mut self, socket: &impl AsFd, packets: impl IntoIterator<Item = Transmit<'a>>) -> io::Result<usize> {
        let places = self.names.iter_mut().zip(&mut self.pieces).zip(&mut self.headers).zip(&mut self.controls);
        let mut count = 0;
        let mut packets = packets.into_iter();
        for (((name, piece), header), control) in places {
            let Some(packet) = packets.next() else { break };
            *piece = libc::iovec { iov_base: packet.bytes.as_ptr().cast_mut().cast(), iov_len: packet.bytes.len() };
            let header = &mut header.msg_hdr;
            header.msg_namelen = write_address(name, packet.to);
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_iov = piece;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            let used = write_control(header, &packet);
            header.msg_controllen = used as _;
            if used == 0 {
                header.msg_control = ptr::null_mut();
            }
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: each of the first `count` headers points to a name, a piece and control messages of this value, and to bytes that `'a`
        // keeps, with their lengths; the kernel only reads them.
        let sent = unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), self.headers.as_mut_ptr(), count, flags as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

fn write_address(name: &mut libc::sockaddr_storage, to: SocketAddr) -> libc::socklen_t {
    let place: *mut libc::sockaddr_storage = name;
    match to {
        SocketAddr::V4(to) => {
            // SAFETY: the storage is large and aligned enough for each family.
            let v4 = unsafe { &mut *place.cast::<libc::sockaddr_in>() };
            v4.sin_family = const { narrow(libc::AF_INET.cast_unsigned()) };
            v4.sin_port = to.port().to_be();
            v4.sin_addr.s_addr = to.ip().to_bits().to_be();
            size::<libc::sockaddr_in>()
        }
        SocketAddr::V6(to) => {
            // SAFETY: as above.
            let v6 = unsafe { &mut *place.cast::<libc::sockaddr_in6>() };
            v6.sin6_family = const { narrow(libc::AF_INET6.cast_unsigned()) };
            v6.sin6_port = to.port().to_be();
            v6.sin6_addr.s6_addr = to.ip().octets();
            (v6.sin6_flowinfo, v6.sin6_scope_id) = (to.flowinfo(), to.scope_id());
            size::<libc::sockaddr_in6>()
        }
    }
}

/// Writes the control messages of a packet into the room of `header`; returns how much of it they take.
fn write_control(header: &libc::msghdr, packet: &Transmit<'_>) -> usize {
    let mut writer = Writer { header, used: 0 };
    let mapped = matches!(packet.to, SocketAddr::V6(to) if to.ip().to_ipv4_mapped().is_some());
    if packet.ecn != 0 {
        if packet.to.is_ipv4() || mapped {
            writer.push(libc::IPPROTO_IP, libc::IP_TOS, libc::c_int::from(packet.ecn));
        } else {
            writer.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::c_int::from(packet.ecn));
        }
    }
    match packet.local {
        Some(IpAddr::V4(ip)) => {
            let source = libc::in_addr { s_addr: ip.to_bits().to_be() };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: libc::in_addr { s_addr: 0 } };
            writer.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(IpAddr::V6(ip)) => {
            let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
            writer.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    if let Some(segment) = packet.segment {
        writer.push(libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    }
    writer.used
}

struct Writer<'a> {
    header: &'a libc::msghdr,
    used: usize,
}

impl Writer<'_> {
    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        // SAFETY: this only computes.
        let (space, length) = unsafe { (libc::CMSG_SPACE(size::<T>()) as usize, libc::CMSG_LEN(size::<T>())) };
        if self.used + space > CONTROL {
            return;
        }
        // SAFETY: the header's control room has `CONTROL` bytes, is aligned for control headers, and all that was written so far takes a
        // multiple of their alignment.
        unsafe {
            let control = self.header.msg_control.cast::<u8>().add(self.used).cast::<libc::cmsghdr>();
            (*control).cmsg_level = level;
            (*control).cmsg_type = kind;
            (*control).cmsg_len = length as _;
            ptr::write_unaligned(libc::CMSG_DATA(control).cast(), value);
        }
        self.used += space;
    }
}
