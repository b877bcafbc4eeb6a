//! Opening listening sockets in the master, keeping them over a reload and handing them to a new binary.
//!
//! Behaviour and messages are nginx's (`ngx_open_listening_sockets`): an address in use is tried five times, half a
//! second apart; a socket that an earlier generation or an older binary holds is kept with its queue.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use base::errno::describe;
use base::log::Level;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::address::SocketAddress;

/// Length of the accept queue when the configuration does not say (`NGX_LISTEN_BACKLOG` on Linux).
pub const DEFAULT_BACKLOG: i32 = 511;

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const EADDRINUSE: i32 = 98;

/// What travels over a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Connections: TCP or unix stream.
    Stream,
    /// Datagrams, for `udp` and `quic`.
    Datagram,
}

/// `so_keepalive=` of a listener, tcp(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Whether probes are sent at all.
    pub on: bool,
    /// Seconds of silence before the first probe (`TCP_KEEPIDLE`); `None` leaves the system's.
    pub idle: Option<u32>,
    /// Seconds between probes (`TCP_KEEPINTVL`).
    pub interval: Option<u32>,
    /// Unanswered probes before the connection is dropped (`TCP_KEEPCNT`).
    pub count: Option<u32>,
}

/// One `listen` address with its socket options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    /// Where to listen.
    pub address: SocketAddress,
    /// Connections or datagrams.
    pub kind: Kind,
    /// Length of the accept queue, listen(2).
    pub backlog: i32,
    /// `SO_RCVBUF` in bytes.
    pub rcvbuf: Option<usize>,
    /// `SO_SNDBUF` in bytes.
    pub sndbuf: Option<usize>,
    /// `IPV6_V6ONLY`, only for IPv6 addresses; nginx's default is on.
    pub ipv6only: bool,
    /// One socket per worker (`SO_REUSEPORT`), so that the kernel spreads connections.
    pub reuseport: bool,
    /// Multipath TCP (RFC 8684) for clients that offer it.
    pub multipath: bool,
    /// `TCP_DEFER_ACCEPT`.
    pub deferred: bool,
    /// Queue length of `TCP_FASTOPEN`.
    pub fastopen: Option<i32>,
    /// `so_keepalive`.
    pub keepalive: Option<KeepAlive>,
}

impl ListenSpec {
    /// A stream listener at `address` with nginx's defaults.
    #[must_use]
    pub fn new(address: SocketAddress) -> Self {
        Self {
            address,
            kind: Kind::Stream,
            backlog: DEFAULT_BACKLOG,
            rcvbuf: None,
            sndbuf: None,
            ipv6only: true,
            reuseport: false,
            multipath: false,
            deferred: false,
            fastopen: None,
            keepalive: None,
        }
    }
}

/// What the sockets are opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `-t`: bind only, and an address in use is no fault (most likely the running server has it).
    Test,
    /// Bind and listen.
    Serve,
}

/// Receives messages while sockets are opened; texts are nginx's.
pub type Report<'a> = &'a mut dyn FnMut(Level, &str);

/// The sockets could not be opened; every reason has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFailed;

impl fmt::Display for OpenFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("listening sockets could not be opened")
    }
}

impl std::error::Error for OpenFailed {}

#[derive(Debug)]
struct OpenSocket {
    /// Index of the specification; `None` for one that no specification wants.
    spec: Option<usize>,
    address: SocketAddress,
    kind: Kind,
    socket: Socket,
    /// Whether the socket's file must go when a unix socket is closed for good.
    ours: bool,
}

/// The open listening sockets of one generation.
#[derive(Debug, Default)]
pub struct Listeners {
    sockets: Vec<OpenSocket>,
    inherited: bool,
}

impl Listeners {
    /// No sockets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the sockets that the older binary names in the variable `NGINX` (`"6;7;"`). They carry no
    /// specification until [`Listeners::open`] matches them.
    pub fn inherit(variable: &str, report: Report<'_>) -> Self {
        report(Level::Notice, &format!("using inherited sockets from \"{variable}\""));
        let mut held = Vec::new();
        let mut rest = variable;
        while let Some(end) = rest.find([':', ';']) {
            let (text, after) = rest.split_at(end);
            let Ok(number) = text.parse::<RawFd>() else {
                report(
                    Level::Emerg,
                    &format!("invalid socket number \"{rest}\" in NGINX environment variable, ignoring the rest of the variable"),
                );
                return Self { sockets: held, inherited: true };
            };
            rest = after.get(1..).unwrap_or_default();
            match inherited(number) {
                Ok(one) => held.push(one),
                Err(error) => {
                    report(Level::Crit, &format!("getsockname() of the inherited socket #{number} failed {}", describe(&error)));
                }
            }
        }
        if !rest.is_empty() {
            report(Level::Emerg, &format!("invalid socket number \"{rest}\" in NGINX environment variable, ignoring"));
        }
        Self { sockets: held, inherited: true }
    }

    /// Whether the sockets came from an older binary.
    #[must_use]
    pub fn inherited(&self) -> bool {
        self.inherited
    }

    /// How many sockets are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether no socket is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Turns these sockets into those that `specs` ask for: keeps what matches (address and kind), opens what is
    /// missing, and closes the rest. With `reuseport` there is one per worker.
    ///
    /// # Errors
    /// [`OpenFailed`] after every fault went to `report`; `self` is then as before.
    pub fn open(&mut self, specs: &[ListenSpec], workers: usize, purpose: Purpose, report: Report<'_>) -> Result<(), OpenFailed> {
        let wanted: Vec<(usize, &ListenSpec)> = specs
            .iter()
            .enumerate()
            .flat_map(|item| std::iter::repeat_n(item, if item.1.reuseport { workers.max(1) } else { 1 }))
            .collect();
        let mut old: Vec<Option<usize>> = vec![None; self.sockets.len()];
        let mut missing = Vec::new();
        for (index, spec) in wanted {
            let free = self
                .sockets
                .iter()
                .zip(&mut old)
                .find(|(held, use_of)| use_of.is_none() && held.kind == spec.kind && held.address == spec.address);
            let other_protocol = free.as_ref().is_some_and(|(held, _)| is_multipath(&held.socket) != spec.multipath);
            let free = if other_protocol {
                // The old socket stays until the new one is open beside it.
                if let (Some((held, _)), Purpose::Serve) = (&free, purpose) {
                    ignore_failure(held.socket.set_reuse_port(true), "SO_REUSEPORT", spec, report);
                }
                None
            } else {
                free
            };
            match free {
                Some((held, use_of)) => {
                    *use_of = Some(index);
                    if spec.reuseport && purpose == Purpose::Serve {
                        // Further sockets can only join one that allows it.
                        ignore_failure(held.socket.set_reuse_port(true), "SO_REUSEPORT", spec, report);
                    }
                }
                None => missing.push(Missing { index, spec, joins: other_protocol }),
            }
        }
        let opened = open_all(&missing, purpose, report)?;
        self.replace(old, opened, purpose, report);
        if purpose == Purpose::Serve {
            for socket in &self.sockets {
                if let Some(spec) = socket.spec.and_then(|index| specs.get(index)) {
                    configure(&socket.socket, spec, report);
                }
            }
        }
        Ok(())
    }

    /// Keeps the old sockets that have a specification, by the order of `specs_of_old`, closes the others, and adds the new ones.
    fn replace(&mut self, specs_of_old: Vec<Option<usize>>, opened: Vec<OpenSocket>, purpose: Purpose, report: Report<'_>) {
        let mut next = Vec::with_capacity(opened.len() + specs_of_old.len());
        for (mut held, spec) in std::mem::take(&mut self.sockets).into_iter().zip(specs_of_old) {
            held.spec = spec;
            if spec.is_some() || purpose == Purpose::Test {
                next.push(held);
            } else {
                unlink(&held, report);
            }
        }
        next.extend(opened);
        next.sort_by_key(|held| held.spec);
        self.sockets = next;
    }

    /// The value of the variable `NGINX` for a new binary, and the same sockets made to survive exec. Called in the child
    /// that becomes the new binary, so that the sockets of this process stay private.
    ///
    /// # Errors
    /// What fcntl(2) reports.
    pub fn hand_over(&self) -> io::Result<String> {
        let mut value = String::new();
        for held in &self.sockets {
            sys::descriptor::set_inheritable(&held.socket, true)?;
            value.push_str(&held.socket.as_raw_fd().to_string());
            value.push(';');
        }
        Ok(value)
    }

    /// The sockets for the worker numbered `worker` (from 0), with the index of their specification: every shared one, and of
    /// each `reuseport` group the one at the worker's place. The others are closed in this process.
    #[must_use]
    pub fn into_worker(self, specs: &[ListenSpec], worker: usize) -> Vec<(usize, OwnedFd)> {
        let mut seen = vec![0_usize; specs.len()];
        let mut mine = Vec::new();
        for held in self.sockets {
            let Some(index) = held.spec else { continue };
            let (Some(spec), Some(place)) = (specs.get(index), seen.get_mut(index)) else { continue };
            if !spec.reuseport || *place == worker {
                mine.push((index, held.socket.into()));
            }
            *place += 1;
        }
        mine
    }

    /// Closes all sockets. `unlink_files` also removes the files of unix-domain sockets: right for the last owner only.
    pub fn close(&mut self, unlink_files: bool, report: Report<'_>) {
        for held in self.sockets.drain(..) {
            if unlink_files {
                unlink(&held, report);
            }
        }
    }
}

fn unlink(held: &OpenSocket, report: Report<'_>) {
    if let (SocketAddress::Unix(path), true) = (&held.address, held.ours)
        && let Err(error) = std::fs::remove_file(path)
    {
        report(Level::Emerg, &format!("unlink() \"{}\" failed {}", path.display(), describe(&error)));
    }
}

fn inherited(number: RawFd) -> io::Result<OpenSocket> {
    let socket = Socket::from(sys::descriptor::adopt(number)?);
    socket.set_cloexec(true)?;
    let address = SocketAddress::from_socket(&socket.local_addr()?).ok_or(io::ErrorKind::Unsupported)?;
    let kind = if socket.r#type()? == Type::DGRAM { Kind::Datagram } else { Kind::Stream };
    Ok(OpenSocket { spec: None, address, kind, socket, ours: true })
}

/// A socket that has to be opened.
struct Missing<'a> {
    /// Of its specification.
    index: usize,
    spec: &'a ListenSpec,
    /// There is one of another protocol at its address.
    joins: bool,
}

/// Whether a socket speaks Multipath TCP.
fn is_multipath(socket: &Socket) -> bool {
    matches!(socket.protocol(), Ok(Some(Protocol::MPTCP)))
}

fn open_all(missing: &[Missing<'_>], purpose: Purpose, report: Report<'_>) -> Result<Vec<OpenSocket>, OpenFailed> {
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

fn ignore_failure(result: io::Result<()>, option: &str, spec: &ListenSpec, report: Report<'_>) {
    if let Err(error) = result {
        report(Level::Alert, &format!("setsockopt({option}) {} failed, ignored {}", spec.address, describe(&error)));
    }
}

/// Sets the options that may differ from generation to generation.
fn configure(socket: &Socket, spec: &ListenSpec, report: Report<'_>) {
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

#[cfg(test)]
mod tests;
