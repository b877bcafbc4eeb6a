//! Services behind listening sockets: each socket belongs to HTTP or to `stream`.

use crate::input::Input;
use crate::prologue;
use crate::protocol::{Accepted, Front};
use crate::quic;
use http::{Connection, Worker};
use net::accept::Peer;
use net::listener::Kind;
use net::stream::{Stream, Transport};
use session::address::Address;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use stream::pass::PassedConnection;

/// A protocol family behind listening sockets.
pub trait Service {
    /// A connection came to its socket number `listen`.
    fn accepted(&self, front: &Rc<Front>, fd: OwnedFd, peer: Peer, listen: u32);

    /// The worker has begun to listen: what is behind all its sockets.
    fn started(&self, front: &Rc<Front>, all: &Rc<[Listening]>) {
        let _ = (front, all);
    }

    /// A connection of another listener shall be served as if it had come to socket number `listen`.
    fn passed(&self, front: &Rc<Front>, passed: PassedConnection, listen: u32);

    /// Takes over its socket number `listen`, which is for datagrams; `shared` says that other workers wait on the same.
    fn receive(self: Rc<Self>, front: &Rc<Front>, fd: OwnedFd, listen: u32, shared: bool) {
        let _ = (front, fd, listen, shared);
    }
}

/// What the front must know of a listening socket.
pub struct Listening {
    /// One socket per worker.
    pub own_socket: bool,
    /// Connections or datagrams.
    pub kind: Kind,
    /// Whose it is.
    pub service: Rc<dyn Service>,
    /// Its number among those of the service.
    pub index: u32,
    /// Its address.
    pub address: Address,
}

impl Listening {
    /// How a socket in the unix domain is called: `unix:/path`.
    pub(crate) fn unix_name(&self) -> Option<String> {
        match &self.address {
            Address::Unix(Some(path)) => Some(format!("unix:{}", path.display())),
            _ => None,
        }
    }

    /// Whether the worker's code has left it to other workers.
    pub(crate) fn is_left(&self, worker: &Worker) -> bool {
        self.unix_name().is_some_and(|name| worker.has_left(&name))
    }
}

/// HTTP, in all its versions.
pub struct HttpService;

impl Service for HttpService {
    fn accepted(&self, front: &Rc<Front>, fd: OwnedFd, peer: Peer, listen: u32) {
        let http = front.worker.http();
        let own = http.listens.get(listen as usize).map(|listen| &listen.address);
        let Some(admitted) = front.admit(fd, peer, own) else { return };
        if let Some(opened) = front.open_new(admitted, listen) {
            prologue::enter(front, opened);
        }
        front.share.note_open(front.open());
    }

    fn passed(&self, front: &Rc<Front>, passed: PassedConnection, listen: u32) {
        let info = Connection {
            id: passed.id,
            peer: passed.client,
            local: passed.to,
            requests: Cell::new(0),
            started_ms: passed.started_ms,
            tls: RefCell::default(),
            proxy_protocol: RefCell::new(passed.proxied),
        };
        let Some(opened) = front.opened(passed.stream, info, listen) else { return };
        let input = Input { buffer: passed.early, ..Input::default() };
        prologue::enter(front, Accepted { input, ..opened });
    }

    fn receive(self: Rc<Self>, front: &Rc<Front>, fd: OwnedFd, listen: u32, _: bool) {
        quic::receive(front, fd, listen);
    }
}

/// A connection that found a place.
pub struct Admission {
    /// The bytes both ways.
    pub stream: Stream,
    /// The client.
    pub peer: Address,
    /// Our end.
    pub local: Address,
}

impl Front {
    /// Counts a new connection and makes room for it. `listening` is the address of its listener.
    pub fn admit(&self, fd: OwnedFd, peer: Peer, listening: Option<&Address>) -> Option<Admission> {
        self.worker.observers.connection_came();
        if !self.has_room() {
            return None;
        }
        let peer = match peer {
            Peer::Internet(address) => Address::Ip(address),
            Peer::Local => Address::Unix(None),
        };
        let local = local(&fd, listening);
        let stream = Stream::from_fd(fd, transport(&local));
        self.worker.observers.connection_began();
        Some(Admission { stream, peer, local })
    }
}

/// The address that a connection came to. Only a listener on all addresses has to ask for it.
pub(crate) fn local(fd: &OwnedFd, listening: Option<&Address>) -> Address {
    match listening {
        Some(Address::Ip(SocketAddr::V4(own))) if !own.ip().is_unspecified() => Address::Ip((*own).into()),
        _ => address(SockRef::from(fd).local_addr()),
    }
}

pub(crate) fn address(found: std::io::Result<socket2::SockAddr>) -> Address {
    match found.ok().and_then(|found| net::address::SocketAddress::from_socket(&found)) {
        Some(net::address::SocketAddress::Internet(address)) => Address::Ip(address),
        Some(net::address::SocketAddress::Unix(path)) => Address::Unix(Some(path)),
        None => Address::Unix(None),
    }
}

pub(crate) fn transport(local: &Address) -> Transport {
    match local {
        Address::Ip(_) => Transport::Tcp,
        Address::Unix(_) => Transport::Unix,
    }
}
