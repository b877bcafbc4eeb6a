//! Opening listening sockets in the master, keeping them over a reload and handing them to a new binary.
//!
//! Behaviour and messages are nginx's (`ngx_open_listening_sockets`): an address in use is tried five times, half a
//! second apart; a socket that an earlier generation or an older binary holds is kept with its queue.

mod open;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use base::errno::describe;
use base::log::Level;
use open::{Missing, configure, ignore_failure, is_multipath, open_all};
use socket2::{Socket, Type};

use crate::address::SocketAddress;

/// Length of the accept queue when the configuration does not say (`NGX_LISTEN_BACKLOG` on Linux).
pub const DEFAULT_BACKLOG: i32 = 511;

/// A port from which nobody sends.
const DISCARD: u16 = 9;

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
    /// Its datagrams belong to connections that outlive a reload.
    pub quic: bool,
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
            quic: false,
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
        self.replace(specs, old, opened, purpose, report);
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
    fn replace(
        &mut self,
        specs: &[ListenSpec],
        specs_of_old: Vec<Option<usize>>,
        opened: Vec<OpenSocket>,
        purpose: Purpose,
        report: Report<'_>,
    ) {
        let mut next = Vec::with_capacity(opened.len() + specs_of_old.len());
        for (mut held, spec) in std::mem::take(&mut self.sockets).into_iter().zip(specs_of_old) {
            held.spec = spec;
            if spec.is_some() || purpose == Purpose::Test {
                next.push(held);
            } else {
                let others = |spec: &ListenSpec| spec.kind == Kind::Datagram && !spec.quic && spec.address == held.address;
                if held.kind == Kind::Datagram
                    && specs.iter().any(others)
                    && let Err(error) = leave_group(&held.socket)
                {
                    report(Level::Alert, &format!("connect() of {} failed, ignored {}", held.address, describe(&error)));
                }
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

/// Takes a socket of datagrams out of its `reuseport` group, which it would stay in for as long as its worker has sessions: the kernel
/// passes over connected ones. Answers can still be sent.
fn leave_group(socket: &Socket) -> io::Result<()> {
    let Some(own) = socket.local_addr()?.as_socket() else { return Ok(()) };
    let ip = match own.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    socket.connect(&SocketAddr::new(ip, DISCARD).into())
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

#[cfg(test)]
mod tests;
