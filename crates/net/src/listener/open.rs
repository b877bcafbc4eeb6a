//! Making listening sockets and setting their options, socket(7), tcp(7).

use super::{Kind, ListenSpec, OpenFailed, OpenSocket, Purpose, Report, unlink};
use crate::address::SocketAddress;
use base::errno::describe;
use base::log::Level;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::time::Duration;

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const EADDRINUSE: i32 = 98;

/// A socket that has to be opened.
pub(super) struct Missing<'a> {
    /// Of its specification.
    pub(super) index: usize,
    pub(super) spec: &'a ListenSpec,
    /// There is one of another protocol at its address.
    pub(super) joins: bool,
}

/// Whether a socket speaks Multipath TCP.
pub(super) fn is_multipath(socket: &Socket) -> bool {
    matches!(socket.protocol(), Ok(Some(Protocol::MPTCP)))
}

pub(super) fn open_all(missing: &[Missing<'_>], purpose: Purpose, report: Report<'_>) -> Result<Vec<OpenSocket>, OpenFailed> {
    let mut opened: Vec<Option<OpenSocket>> = missing.iter().map(|_| None).collect();
    for _ in 0..TRIES {
        let mut busy = false;
        for (Missing { index, spec, joins }, place) in missing.iter().zip(&mut opened) {
            if place.is_some() {
                continue;
            }
            match open_one(spec, *joins, purpose, report)? {
                Some(socket) => {
                    *place = Some(OpenSocket { spec: Some(*index), address: spec.address.clone(), kind: spec.kind, socket, ours: true });
                }
                None => busy |= purpose == Purpose::Serve,
            }
        }
        if !busy {
            return Ok(opened.into_iter().flatten().collect());
        }
        report(Level::Notice, "try again to bind() after 500ms");
        std::thread::sleep(PAUSE);
    }
    report(Level::Emerg, "still could not bind()");
    for held in opened.iter().flatten() {
        unlink(held, report);
    }
    Err(OpenFailed)
}

/// Binds one socket; `None` when the address is in use.
fn open_one(spec: &ListenSpec, joins: bool, purpose: Purpose, report: Report<'_>) -> Result<Option<Socket>, OpenFailed> {
    let address = &spec.address;
    let mut fail = |what: &str, error: io::Error| {
        report(Level::Emerg, &format!("{what} failed {}", describe(&error)));
        OpenFailed
    };
    let kind = if spec.kind == Kind::Datagram { Type::DGRAM } else { Type::STREAM };
    let protocol = spec.multipath.then_some(Protocol::MPTCP);
    let socket = Socket::new(address.domain(), kind.cloexec().nonblocking(), protocol)
        .map_err(|error| fail(&format!("socket() {address}"), error))?;
    let name = address.to_socket().map_err(|error| fail(&format!("bind() to {address}"), error))?;
    if spec.kind == Kind::Stream || purpose == Purpose::Serve {
        socket.set_reuse_address(true).map_err(|error| fail(&format!("setsockopt(SO_REUSEADDR) {address}"), error))?;
    }
    if (spec.reuseport || joins) && purpose == Purpose::Serve && address.domain() != Domain::UNIX {
        socket.set_reuse_port(true).map_err(|error| fail(&format!("setsockopt(SO_REUSEPORT) {address}"), error))?;
    }
    if address.domain() == Domain::IPV6
        && let Err(error) = socket.set_only_v6(spec.ipv6only)
    {
        fail(&format!("setsockopt(IPV6_V6ONLY) {address}"), error);
    }
    if let Err(error) = socket.bind(&name) {
        let busy = error.raw_os_error() == Some(EADDRINUSE);
        if !busy || purpose == Purpose::Serve {
            fail(&format!("bind() to {address}"), error);
        }
        return if busy { Ok(None) } else { Err(OpenFailed) };
    }
    if let SocketAddress::Unix(path) = address {
        open_to_all(path, purpose, &mut fail);
    }
    if purpose == Purpose::Serve
        && spec.kind == Kind::Stream
        && let Err(error) = socket.listen(spec.backlog)
    {
        let busy = error.raw_os_error() == Some(EADDRINUSE);
        fail(&format!("listen() to {address}, backlog {}", spec.backlog), error);
        return if busy { Ok(None) } else { Err(OpenFailed) };
    }
    Ok(Some(socket))
}

/// nginx lets every user connect to its unix-domain sockets; under `-t` the file must not stay.
fn open_to_all(path: &std::path::Path, purpose: Purpose, fail: &mut impl FnMut(&str, io::Error) -> OpenFailed) {
    use std::os::unix::fs::PermissionsExt;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)) {
        fail(&format!("chmod() \"{}\"", path.display()), error);
    }
    if purpose == Purpose::Test
        && let Err(error) = std::fs::remove_file(path)
    {
        fail(&format!("unlink() {}", path.display()), error);
    }
}

pub(super) fn ignore_failure(result: io::Result<()>, option: &str, spec: &ListenSpec, report: Report<'_>) {
    if let Err(error) = result {
        report(Level::Alert, &format!("setsockopt({option}) {} failed, ignored {}", spec.address, describe(&error)));
    }
}

/// Sets the options that may differ from generation to generation.
pub(super) fn configure(socket: &Socket, spec: &ListenSpec, report: Report<'_>) {
    let reference = SockRef::from(socket);
    if let Some(size) = spec.rcvbuf {
        ignore_failure(reference.set_recv_buffer_size(size), &format!("SO_RCVBUF, {size}"), spec, report);
    }
    if let Some(size) = spec.sndbuf {
        ignore_failure(reference.set_send_buffer_size(size), &format!("SO_SNDBUF, {size}"), spec, report);
    }
    if let Some(keepalive) = spec.keepalive {
        ignore_failure(reference.set_keepalive(keepalive.on), &format!("SO_KEEPALIVE, {}", i32::from(keepalive.on)), spec, report);
        if keepalive.on {
            let mut times = TcpKeepalive::new();
            times = keepalive.idle.map_or(times.clone(), |s| times.with_time(Duration::from_secs(s.into())));
            times = keepalive.interval.map_or(times.clone(), |s| times.with_interval(Duration::from_secs(s.into())));
            times = keepalive.count.map_or(times.clone(), |count| times.with_retries(count));
            ignore_failure(reference.set_tcp_keepalive(&times), "TCP_KEEPIDLE", spec, report);
        }
    }
    if spec.kind != Kind::Stream {
        // Who answers must do it from the address that was asked.
        if let SocketAddress::Internet(address) = &spec.address
            && address.ip().is_unspecified()
        {
            let option = if address.is_ipv4() { "IP_PKTINFO" } else { "IPV6_RECVPKTINFO" };
            ignore_failure(sys::datagram::receive_destination(socket, address.is_ipv6()), option, spec, report);
        }
        return;
    }
    if let Some(queue) = spec.fastopen {
        ignore_failure(sys::socket::set_fast_open(socket, queue), &format!("TCP_FASTOPEN, {queue}"), spec, report);
    }
    // A kept socket may bring the option from an older generation, so it is also switched off.
    if spec.address.domain() != Domain::UNIX {
        ignore_failure(sys::socket::set_defer_accept(socket, i32::from(spec.deferred)), "TCP_DEFER_ACCEPT", spec, report);
    }
    if let Err(error) = socket.listen(spec.backlog) {
        let text = format!("listen() to {}, backlog {} failed, ignored {}", spec.address, spec.backlog, describe(&error));
        report(Level::Alert, &text);
    }
}
