//! The protocols of a worker's connections, and the table of those that listeners may speak.
//!
//! A protocol is registered with a value of [`Protocol`] in its own file and one line in the binary's list; no code before it knows it by
//! name. `listen … NAME` enables a protocol that has a parameter; the others are available on every listener.

use crate::active::{Active, Entry};
use crate::compact::Compact;
use crate::input::Input;
use crate::quic::endpoints::Endpoints;
use crate::share::Share;
use base::errno;
use base::log::{ErrorLog, Level};
use http::Http;
use http::connection::Address;
use http::root::Endpoint;
use http::{Connection, Server, Worker};
use net::park::ParkingLot;
use net::stream::{Stream, Transport};
use socket2::SockRef;
use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

/// No SIGPIPE, send(2); Linux has one number for all processors.
const MSG_NOSIGNAL: i32 = 0x4000;

/// Whether the first bytes of a connection are a protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// They are.
    Mine,
    /// They are not.
    Foreign,
    /// More must come before that can be said.
    Unclear,
}

/// A protocol of connections.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// Its name in messages.
    pub name: &'static str,
    /// The parameter of `listen` that asks for it; `None`: it is spoken wherever nothing else was asked for.
    pub parameter: Option<&'static str>,
    /// With its parameter, nothing else is spoken on the listener.
    pub alone: bool,
    /// The directive that should be used in the parameter's place.
    pub instead: Option<&'static str>,
    /// Its names in ALPN (RFC 7301), best first.
    pub alpn: &'static [&'static [u8]],
    /// Looks at the first bytes in clear text.
    pub begins: fn(&[u8]) -> Detection,
    /// Serves a connection in a task of its own, until it ends or is parked. It notices by its [`Entry`] when it must make
    /// room, and by `Worker::exiting` when it must come to an end; both wake it.
    pub start: fn(&Rc<Front>, Accepted),
    /// Appends what is sent to a parked client before its connection is closed (GOAWAY, for instance).
    pub close_parked: fn(&mut Parked, &mut Vec<u8>),
}

/// A connection whose protocol is known: everything that came before its first request.
pub struct Accepted {
    /// The bytes both ways.
    pub stream: Stream,
    /// What has been read and belongs to the protocol.
    pub input: Input,
    /// What is known of the client.
    pub info: Rc<Connection>,
    /// Place among the active connections.
    pub watch: Entry,
    /// Where it came in.
    pub listener: Listener,
    /// `TCP_NODELAY` has been set.
    pub no_delay: bool,
    /// When the first request must be there (`client_header_timeout`); monotonic milliseconds.
    pub request_by: u64,
    /// The connection comes out of the parking lot.
    pub resumed: bool,
    /// What its protocol left there.
    pub state: Option<Box<dyn Any>>,
}

impl Accepted {
    /// Reads what has arrived; `Ok(0)` is the end of the stream. The watch wakes the task when time is up.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = self.input.poll_fill(&mut self.stream, cx);
        if read.is_pending() {
            self.watch.wake_on_expiry(cx.waker());
        }
        read
    }
}

/// A protocol over QUIC.
#[derive(Clone, Copy)]
pub struct QuicProtocol {
    /// Its name in messages.
    pub name: &'static str,
    /// Its names in ALPN (RFC 7301), best first.
    pub alpn: &'static [&'static [u8]],
    /// Whether a server speaks it.
    pub speaks: fn(&Server) -> bool,
    /// Serves a connection in a task of its own until that ends. It notices by its [`Entry`] when it must make room, and by
    /// `Worker::exiting` when it must come to an end; both wake it.
    pub start: fn(&Rc<Front>, AcceptedQuic),
}

/// A connection over QUIC whose protocol is known. With early data its handshake may still be under way
/// ([`net::quic::Connection::is_early`]).
pub struct AcceptedQuic {
    /// Its streams.
    pub connection: net::quic::Connection,
    /// What is known of the client; TLS included.
    pub info: Rc<Connection>,
    /// Place among the active connections.
    pub watch: Entry,
    /// Where it came in, with the server that SNI chose.
    pub listener: Listener,
}

/// Where a connection came in: what responses there.
#[derive(Clone)]
pub struct Listener {
    /// The configuration.
    pub http: Rc<Http>,
    /// Index of the listening socket.
    pub index: u32,
    /// The servers behind the address.
    pub endpoint: Rc<Endpoint>,
    /// The server that answers where no name was given.
    pub server: Rc<Server>,
}

impl Listener {
    /// The listening socket's address.
    pub fn address(&self) -> Option<&Address> {
        self.http.listens.get(self.index as usize).map(|listen| &listen.address)
    }
}

/// What is kept of a parked connection.
pub struct Parked {
    /// Index of its listener.
    pub listen: u32,
    /// Index of its protocol in the table.
    pub protocol: u8,
    /// What was known of the client.
    pub info: Compact,
    /// `TCP_NODELAY` has been set.
    pub no_delay: bool,
    /// What its protocol needs when it wakes; nothing where its next request begins anew.
    pub state: Option<Box<dyn Any>>,
    /// Its TLS.
    pub session: Option<net::tls::Parked>,
}

/// What may be spoken, best first.
pub struct Table {
    /// On connections, in the order of [`http::protocols::Protocols`].
    pub connections: Vec<Protocol>,
    /// Over QUIC.
    pub quic: Vec<QuicProtocol>,
}

/// The shared state of a worker's front.
pub struct Front {
    /// The worker.
    pub worker: Rc<Worker>,
    /// Connections with a task.
    pub active: Rc<Active>,
    protocols: Vec<Protocol>,
    /// What is spoken over QUIC.
    pub(crate) over_quic: Vec<QuicProtocol>,
    /// The endpoints of QUIC.
    pub(crate) endpoints: Endpoints,
    /// How this worker shares connections with the others.
    pub share: Share,
    parking_lot: ParkingLot<Parked>,
    limit: usize,
}

impl Front {
    /// The front of `worker`, for at most `limit` connections that speak `protocols`.
    ///
    /// # Errors
    /// What epoll_create1(2) or epoll_ctl(2) report.
    pub fn new(worker: Rc<Worker>, protocols: Table, share: Share, limit: usize) -> io::Result<Front> {
        Ok(Front {
            worker,
            active: Rc::default(),
            protocols: protocols.connections,
            over_quic: protocols.quic,
            endpoints: Endpoints::default(),
            share,
            parking_lot: ParkingLot::new()?,
            limit: limit.max(1),
        })
    }

    /// The protocols that may be spoken behind `endpoint`, best first, each with its index.
    pub(crate) fn protocols_of(&self, endpoint: &Endpoint) -> impl Iterator<Item = (u8, &Protocol)> + use<'_> {
        self.protocols_in(endpoint.protocols).filter_map(|index| Some((index, self.protocol(index)?)))
    }

    /// Sets of protocols have 32 bits.
    fn protocol_count(&self) -> u8 {
        u8::try_from(self.protocols.len()).unwrap_or(u8::MAX)
    }

    /// The indices of a set of protocols, best first.
    pub(crate) fn protocols_in(&self, set: u32) -> impl Iterator<Item = u8> + use<'_> {
        (0..self.protocol_count()).filter(move |index| set & 1 << index != 0)
    }

    /// The protocol at an index of the table.
    pub fn protocol(&self, index: u8) -> Option<&Protocol> {
        self.protocols.get(usize::from(index))
    }

    /// The protocol that takes what no other one recognises: the last of the table.
    pub(crate) fn last_resort(&self) -> u8 {
        self.protocol_count().saturating_sub(1)
    }

    /// The index of a protocol in the table, by its name.
    pub(crate) fn index_of(&self, name: &str) -> u8 {
        (0..).zip(&self.protocols).find_map(|(index, protocol)| (protocol.name == name).then_some(index)).unwrap_or_default()
    }

    /// The parking lot.
    pub fn parking_lot(&self) -> &ParkingLot<Parked> {
        &self.parking_lot
    }

    /// A number for the next connection, unique in the server.
    pub fn next_id(&self) -> u64 {
        self.worker.next_connection()
    }

    /// Moves an idle connection to the parking lot.
    pub fn park(&self, stream: Stream, parked: Parked, seconds: u32) {
        let Ok((fd, session)) = stream.into_parts() else { return };
        if let Err((error, fd, parked)) = self.parking_lot.park(fd, Parked { session, ..parked }, seconds) {
            base::log!(self.worker.log, Level::Alert, 0, "epoll_ctl() failed {}", errno::describe(&error));
            self.close_parked(fd, parked);
        }
    }

    /// Closes a parked connection; its client is notified if its protocol can do so.
    pub(crate) fn close_parked(&self, fd: OwnedFd, mut parked: Parked) {
        let mut words = Vec::new();
        if let Some(protocol) = self.protocol(parked.protocol) {
            (protocol.close_parked)(&mut parked, &mut words);
        }
        // Who does not take it now will see the connection closed.
        match parked.session {
            Some(session) => {
                let stream = Stream::from_parts(fd, Transport::Tcp, Some(session));
                let _ = stream.try_write(&words).and_then(|_| stream.close_notify());
            }
            None if words.is_empty() => {}
            None => drop(SockRef::from(&fd).send_with_flags(&words, MSG_NOSIGNAL)),
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.active.len() + self.parking_lot.len()
    }

    /// Room for one more connection, made by closing one that can be spared if need be.
    pub fn has_room(&self) -> bool {
        if self.open() < self.limit {
            return true;
        }
        let found = self.spare_one();
        if !found {
            base::log!(self.worker.log, Level::Alert, 0, "{} worker_connections are not enough", self.limit);
        }
        found
    }

    /// Closes a connection that can be spared; false: there is none.
    pub fn spare_one(&self) -> bool {
        match self.parking_lot.evict() {
            Some((fd, parked)) => {
                self.close_parked(fd, parked);
                true
            }
            None => self.active.evict(),
        }
    }

    /// The log of what happens on a connection apart from its requests.
    pub(crate) fn error_log<'a>(&'a self, listener: &'a Listener) -> &'a ErrorLog {
        listener.server.own.core.error_log.as_ref().unwrap_or(&self.worker.log)
    }

    /// Whether debug lines about a connection are written.
    pub fn is_wordy(&self, listener: &Listener) -> bool {
        self.error_log(listener).enabled(Level::Debug)
    }

    /// A line of the error log about a connection without a request: with its client and the listening address.
    pub fn log(&self, listener: &Listener, info: &Connection, level: Level, message: &str) {
        let log = self.error_log(listener);
        if !log.enabled(level) {
            return;
        }
        let mut line = message.as_bytes().to_vec();
        line.extend_from_slice(b", client: ");
        info.peer.push_host(&mut line);
        if let Some(address) = listener.address() {
            line.extend_from_slice(b", server: ");
            address.push_whole(&mut line);
        }
        log.write(level, info.id, &line);
    }
}
