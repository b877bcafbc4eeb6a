//! Many datagrams of many peers per system call: recvmmsg(2), sendmmsg(2), udp(7) with `UDP_GRO` and `UDP_SEGMENT`, and the bits
//! of ECN (RFC 3168).

mod send;

pub use send::{MOST, Sender, Transmit};

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use nix::sys::socket::{setsockopt, sockopt};

/// Room for the control messages of a datagram.
const CONTROL: usize = 128;

/// The bits of ECN in the field of an IP header.
const ECN: u8 = 3;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// The size of a `T` as system calls take it.
const fn size<T>() -> libc::socklen_t {
    const { assert!(mem::size_of::<T>() <= u16::MAX as usize) };
    #[expect(clippy::cast_possible_truncation, reason = "checked above, when the program is compiled")]
    let size = mem::size_of::<T>() as libc::socklen_t;
    size
}

/// A constant of the C library in the type of the field for which it is meant.
const fn narrow(constant: u32) -> u16 {
    assert!(constant <= u16::MAX as u32);
    #[expect(clippy::cast_possible_truncation, reason = "checked above, when the program is compiled")]
    let narrow = constant as u16;
    narrow
}

/// Room for datagrams that are received together.
pub struct ReceiveBatch {
    size: usize,
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    pieces: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// How many of them the kernel has written to and that have to be prepared anew.
    used: usize,
    received: usize,
}

/// What was received from one client: a datagram, or several that were put together.
#[derive(Debug)]
pub struct ReceivedDatagrams<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The length of each datagram but the last one.
    pub segment: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// To which of our addresses, if the socket tells.
    pub local: Option<IpAddr>,
    /// The bits of ECN.
    pub ecn: u8,
}

/// What a socket shall tell and do; what the kernel does not know is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct UdpOptions {
    /// Datagrams of one client may be put together (`UDP_GRO`).
    pub gathers: bool,
    /// Datagrams are never cut into pieces on their way.
    pub complete: bool,
}

/// Prepares a socket of UDP: it tells the bits of ECN, and what `wishes` say. Answers whether datagrams stay whole.
pub fn prepare(socket: &impl AsFd, v6: bool, wishes: UdpOptions) -> bool {
    let set = |level, option, value: libc::c_int| set_option(socket, level, option, value).is_ok();
    let mut whole = wishes.complete;
    // A socket for both families also serves IPv4.
    set(libc::IPPROTO_IP, libc::IP_RECVTOS, 1);
    if wishes.complete {
        let v4 = set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE);
        let v6 = v6 && set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE);
        whole = v4 || v6;
    }
    if v6 {
        set(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1);
    }
    if wishes.gathers {
        set(libc::SOL_UDP, libc::UDP_GRO, 1);
    }
    whole
}

/// Has the kernel choose among the sockets of an address by a datagram's connection ID (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)). IDs
/// have `length` bytes; the first, xored with the highest of the four behind it times `factor`, is the number of a socket, in the order
/// in which they were bound. What names no socket is spread as usual.
///
/// # Errors
/// What setsockopt(2) reports.
pub fn attach_steering(socket: &impl AsFd, length: u8, factor: u32) -> io::Result<()> {
    const LOAD_BYTE: u16 = narrow(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS);
    const LOAD_WORD: u16 = narrow(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    const IF_BITS: u16 = narrow(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
    const IF_EQUAL: u16 = narrow(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    const TIMES: u16 = narrow(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K);
    const SHIFT: u16 = narrow(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K);
    const XOR: u16 = narrow(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X);
    const KEEP: u16 = narrow(libc::BPF_MISC | libc::BPF_TAX);
    const ANSWER: u16 = narrow(libc::BPF_RET | libc::BPF_A);
    const ANSWER_NUMBER: u16 = narrow(libc::BPF_RET | libc::BPF_K);
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let by_id = |at: u32| {
        [
            step(LOAD_WORD, 0, 0, at + 1),
            step(TIMES, 0, 0, factor),
            step(SHIFT, 0, 0, 24),
            step(KEEP, 0, 0, 0),
            step(LOAD_BYTE, 0, 0, at),
            step(XOR, 0, 0, 0),
            step(ANSWER, 0, 0, 0),
        ]
    };
    // The highest bit of the first byte tells a long header, in which the length of the ID stands.
    let head = [step(LOAD_BYTE, 0, 0, 0), step(IF_BITS, 7, 0, 0x80)];
    let long = [step(LOAD_BYTE, 0, 0, 5), step(IF_EQUAL, 1, 0, u32::from(length)), step(ANSWER_NUMBER, 0, 0, u32::MAX)];
    let mut program: Vec<libc::sock_filter> = Vec::new();
    program.extend_from_slice(&head);
    program.extend_from_slice(&by_id(1));
    program.extend_from_slice(&long);
    program.extend_from_slice(&by_id(6));
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    let length = size::<libc::sock_fprog>();
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the structure points to the steps, which live through the call, and says how many there are; the kernel copies them.
    let result =
        unsafe { libc::setsockopt(descriptor, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, ptr::from_ref(&program).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the kernel cuts what is sent into datagrams (`UDP_SEGMENT`).
#[must_use]
pub fn can_segment(socket: &impl AsFd) -> bool {
    setsockopt(socket, sockopt::UdpGsoSegment, &0).is_ok()
}

fn set_option(socket: &impl AsFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size::<libc::c_int>();
    // SAFETY: the pointer is to an integer that lives through the call, and its length goes with it.
    let result = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, ptr::from_ref(&value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl ReceiveBatch {
    /// Room for `count` times `size` bytes. Only what is used takes memory.
    #[must_use]
    pub fn new(count: usize, size: usize) -> Self {
        // SAFETY: all three are plain structures of the C library, for which zeroes are a value.
        let (name, piece, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        Self {
            size,
            bytes: vec![0; count * size],
            names: vec![name; count],
            controls: vec![Control([0; CONTROL]); count],
            pieces: vec![piece; count],
            headers: vec![header; count],
            used: count,
            received: 0,
        }
    }

    /// How many receptions fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Receives what is there, as far as it fits. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, otherwise what recvmmsg(2) reports.
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        self.received = 0;
        let buffers = self.bytes.chunks_exact_mut(self.size);
        let places = buffers.zip(&mut self.names).zip(&mut self.controls).zip(&mut self.pieces).zip(&mut self.headers);
        // The kernel has left the others as they were.
        for ((((bytes, name), control), piece), header) in places.take(self.used) {
            *piece = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            header.msg_len = 0;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size::<libc::sockaddr_storage>();
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
            header.msg_hdr.msg_flags = 0;
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or(libc::c_uint::MAX);
        let descriptor = socket.as_fd().as_raw_fd();
        // SAFETY: each header points to a name, a piece with its buffer and control room of this value, all with their lengths; none
        // of them moves before the call is over.
        let got = unsafe { libc::recvmmsg(descriptor, self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
        // A call that fails may have begun with the first.
        self.used = usize::try_from(got).unwrap_or(1);
        self.received = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        Ok(self.received)
    }

    /// What was received at place `index`; `None`: nothing, or nothing of use.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<ReceivedDatagrams<'_>> {
        if index >= self.received {
            return None;
        }
        let header = self.headers.get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let length = usize::try_from(header.msg_len).ok()?;
        let bytes = self.bytes.get(index * self.size..)?.get(..length)?;
        let mut arrived = ReceivedDatagrams { bytes, segment: length, from: address(self.names.get(index)?)?, local: None, ecn: 0 };
        // SAFETY: the kernel has filled the control room that the header points to, and has set its length.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr) };
        while !next.is_null() {
            // SAFETY: the macros gave a pointer to a whole control header in the room.
            unsafe { read_control(&mut arrived, next) };
            // SAFETY: as above.
            next = unsafe { libc::CMSG_NXTHDR(&raw const header.msg_hdr, next) };
        }
        Some(arrived)
    }
}

/// # Safety
/// `control` points to a control message of a reception.
unsafe fn read_control(arrived: &mut ReceivedDatagrams<'_>, control: *const libc::cmsghdr) {
    // SAFETY: the caller says so; what stands behind the header is of the type that its level and kind tell, and it may lie unaligned.
    unsafe {
        let (level, kind, data) = ((*control).cmsg_level, (*control).cmsg_type, libc::CMSG_DATA(control));
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info: libc::in_pktinfo = ptr::read_unaligned(data.cast());
                arrived.local = Some(Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info: libc::in6_pktinfo = ptr::read_unaligned(data.cast());
                arrived.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            // One byte of IPv4, an integer of IPv6; the bits stand in the first byte of either on the processors that we build for.
            (libc::IPPROTO_IP, libc::IP_TOS) => arrived.ecn = *data & ECN,
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                let class: libc::c_int = ptr::read_unaligned(data.cast());
                arrived.ecn = class.to_le_bytes()[0] & ECN;
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let segment: libc::c_int = ptr::read_unaligned(data.cast());
                arrived.segment = usize::try_from(segment).ok().filter(|size| *size > 0).unwrap_or(arrived.bytes.len());
            }
            _ => {}
        }
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let from: *const libc::sockaddr_storage = name;
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what the storage holds, which is large and aligned enough for each.
            let v4 = unsafe { &*from.cast::<libc::sockaddr_in>() };
            Some(SocketAddrV4::new(Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*from.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    #[test]
    fn several_are_sent_and_received_at_once() {
        let (server, client) = pair();
        assert!(prepare(&server, false, UdpOptions { gathers: false, complete: true }));
        crate::datagram::receive_destination(&server, false).unwrap();
        let to = server.local_addr().unwrap();
        let packet = |bytes, ecn| Transmit { bytes, segment: None, to, local: None, ecn };
        assert_eq!(Sender::default().send(&client, [packet(b"one", 0), packet(b"second", 2), packet(b"", 1)]).unwrap(), 3);
        let mut batch = ReceiveBatch::new(8, 2048);
        assert_eq!(batch.receive(&server).unwrap(), 3);
        let got: Vec<_> = (0..4).map_while(|index| batch.get(index)).map(|one| (one.bytes.to_vec(), one.ecn)).collect();
        assert_eq!(got, [(b"one".to_vec(), 0), (b"second".to_vec(), 2), (b"".to_vec(), 1)]);
        let first = batch.get(0).unwrap();
        assert_eq!((first.from, first.local), (client.local_addr().unwrap(), Some([127, 0, 0, 1].into())));
        assert_eq!(batch.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn segments_arrive_as_datagrams() {
        let (server, client) = pair();
        if !can_segment(&client) {
            return;
        }
        let packet = Transmit {
            bytes: b"aaaabbbbcc",
            segment: Some(4),
            to: server.local_addr().unwrap(),
            local: Some([127, 0, 0, 1].into()),
            ecn: 0,
        };
        assert_eq!(Sender::default().send(&client, [packet]).unwrap(), 1);
        let mut batch = ReceiveBatch::new(4, 2048);
        let mut got = Vec::new();
        while got.len() < 3 {
            let Ok(count) = batch.receive(&server) else { continue };
            got.extend((0..count).filter_map(|index| batch.get(index)).map(|one| one.bytes.to_vec()));
        }
        assert_eq!(got, [&b"aaaa"[..], b"bbbb", b"cc"]);
    }

    #[test]
    fn the_kernel_chooses_a_socket_by_the_id() {
        use socket2::{Domain, Socket, Type};
        let bound = |address: SocketAddr| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&address.into()).unwrap();
            socket
        };
        let first = bound("127.0.0.1:0".parse().unwrap());
        let address = first.local_addr().unwrap().as_socket().unwrap();
        let sockets = [first, bound(address), bound(address)];
        let factor = 0x0123_4567;
        attach_steering(&sockets[0], 20, factor).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut batch = ReceiveBatch::new(4, 2048);
        for number in [0, 2, 1, 2, 0] {
            let random = 0xdead_beef_u32;
            let mut id = [7; 20];
            id[0] = number ^ (random.wrapping_mul(factor) >> 24) as u8;
            id[1..5].copy_from_slice(&random.to_be_bytes());
            client.send_to(&[&[0x40][..], &id, &[0; 30]].concat(), address).unwrap();
            client.send_to(&[&[0xc0, 0, 0, 0, 1, 20][..], &id, &[0; 30]].concat(), address).unwrap();
            assert_eq!(batch.receive(&sockets[usize::from(number)]).unwrap(), 2);
        }
    }

    #[test]
    fn what_does_not_fit_is_no_datagram() {
        let (server, client) = pair();
        client.send_to(&[7; 100], server.local_addr().unwrap()).unwrap();
        let mut batch = ReceiveBatch::new(1, 64);
        assert_eq!(batch.receive(&server).unwrap(), 1);
        assert!(batch.get(0).is_none());
    }
}
