//! A socket with its connections.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionHandle, EndpointConfig, ServerConfig, ValidationTokenConfig};
use socket2::SockRef;
use sys::udp::{Wishes, can_segment, prepare};
use tls::quic::HostKey;
use tokio::io::unix::AsyncFd;

use super::connection::State;
use super::crypto::{Crypto, VERSION};
use super::drive::Driver;
use super::ids::Ids;
use super::newcomer::{Held, Newcomer};
use super::outbox::{Outbox, Trouble};

/// Clients at the same time that are not accepted yet.
const NEWCOMERS: usize = 512;

/// Bytes that are held of one of them, and of all, behind their first datagrams.
const HELD: u64 = 32 * 1024;
const HELD_BY_ALL: u64 = 8 * 1024 * 1024;

/// The longest datagram.
const LONGEST: u16 = 65_527;

/// Datagrams that the kernel makes of one transmission, at most: so many fit into what it takes.
const SEGMENTS: usize = 32;

/// How long the token of a Retry packet is good: as nginx's.
const RETRY_LIFETIME: Duration = Duration::from_secs(3);

/// Turns of the event loop in which last words leave.
const FLUSHES: usize = 16;

/// What an endpoint needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The secrets that all processes of a listener share.
    pub key: HostKey,
    /// Which socket of its group it is.
    pub socket: u8,
    /// The number of the process.
    pub process: u32,
    /// The kernel may cut what is sent into datagrams.
    pub segments: bool,
}

/// What an endpoint's task, its connections and its newcomers share.
pub(super) struct Shared {
    pub(super) socket: AsyncFd<OwnedFd>,
    pub(super) quic: RefCell<quinn_proto::Endpoint>,
    pub(super) key: HostKey,
    pub(super) segments: Cell<usize>,
    /// By the number that the state machine gives them.
    connections: RefCell<Vec<Option<Rc<State>>>>,
    /// Those that may have something to send.
    pub(super) dirty: RefCell<VecDeque<Rc<State>>>,
    /// When timers of connections may be due.
    pub(super) timers: RefCell<BTreeSet<(Instant, usize)>>,
    pub(super) outbox: RefCell<Outbox>,
    /// Newcomers whose ClientHello is not whole, by the connection ID that they chose.
    pub(super) held: RefCell<HashMap<Box<[u8]>, Weak<Held>>>,
    pub(super) waker: RefCell<Option<Waker>>,
}

impl Shared {
    /// What comes before a handshake is the same for all clients.
    pub(super) fn server_config(key: &HostKey, crypto: Crypto) -> ServerConfig {
        let mut config = ServerConfig::new(Arc::new(crypto), key.token());
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0);
        config
            .max_incoming(NEWCOMERS)
            .incoming_buffer_size(HELD)
            .incoming_buffer_size_total(HELD_BY_ALL)
            .retry_token_lifetime(RETRY_LIFETIME)
            .validation_token_config(tokens);
        config
    }

    /// Takes a connection into the table.
    pub(super) fn enter(&self, state: &Rc<State>) {
        let mut connections = self.connections.borrow_mut();
        let place = state.handle.0;
        if connections.len() <= place {
            connections.resize(place + 1, None);
        }
        if let Some(entry) = connections.get_mut(place) {
            *entry = Some(state.clone());
        }
    }

    /// The connection with a number.
    pub(super) fn connection(&self, handle: ConnectionHandle) -> Option<Rc<State>> {
        self.connections.borrow().get(handle.0)?.clone()
    }

    /// Forgets a connection that has drained.
    fn leave(&self, state: &State) {
        if let Some(at) = state.timer.take() {
            self.timers.borrow_mut().remove(&(at, state.handle.0));
        }
        if let Some(entry) = self.connections.borrow_mut().get_mut(state.handle.0) {
            *entry = None;
        }
    }

    /// A connection may have something to send.
    pub(super) fn queue(&self, state: &Rc<State>) {
        if !state.queued.replace(true) {
            self.dirty.borrow_mut().push_back(state.clone());
        }
    }

    /// As [`Shared::queue`], and the endpoint's task is woken for it.
    pub(super) fn kick(&self, state: &Rc<State>) {
        self.queue(state);
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Exchanges what the endpoint and a connection have to tell each other, passes its events on and looks at its timers.
    pub(super) fn attend(&self, state: &Rc<State>) {
        loop {
            let event = state.quic.borrow_mut().poll_endpoint_events();
            let Some(event) = event else { break };
            let drained = event.is_drained();
            let answer = self.quic.borrow_mut().handle_event(state.handle, event);
            if drained {
                state.collect();
                return self.leave(state);
            }
            if let Some(answer) = answer {
                state.quic.borrow_mut().handle_event(answer);
                self.kick(state);
            }
        }
        state.collect();
        self.schedule(state);
    }

    /// Sees to it that the connection's timers are looked at in time. Most are put off before they are due, so that an earlier entry
    /// just stays.
    pub(super) fn schedule(&self, state: &State) {
        let Some(wanted) = state.quic.borrow_mut().poll_timeout() else { return };
        if state.timer.get().is_some_and(|at| at <= wanted) {
            return;
        }
        let mut timers = self.timers.borrow_mut();
        if let Some(at) = state.timer.replace(Some(wanted)) {
            timers.remove(&(at, state.handle.0));
        }
        timers.insert((wanted, state.handle.0));
    }

    /// Sees to it that one more transmission can be queued. False: the socket takes nothing now.
    pub(super) fn has_room(&self) -> bool {
        let full = self.outbox.borrow().is_full();
        !full || self.send()
    }

    /// Sends what waits. False: the socket takes nothing now.
    pub(super) fn send(&self) -> bool {
        loop {
            let sent = self.outbox.borrow_mut().send(self.socket.get_ref());
            match sent {
                Ok(()) => return true,
                Err(Trouble::Full) => return false,
                // A probe for the path's size is meant to fail, and what is lost otherwise comes again.
                Err(Trouble::Lost(error)) => self.doubt(&error),
            }
        }
    }

    /// A device may refuse to cut for us: then each datagram goes by itself.
    fn doubt(&self, error: &io::Error) {
        const EIO: i32 = 5;
        if error.raw_os_error() == Some(EIO) {
            self.segments.set(1);
        }
    }

    /// How many connections there are.
    fn open(&self) -> usize {
        self.quic.borrow().open_connections()
    }
}

/// A socket that serves QUIC.
#[derive(Clone)]
pub struct Endpoint {
    shared: Rc<Shared>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("open", &self.shared.open()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint on a bound, non-blocking socket of UDP.
    ///
    /// # Errors
    /// What getsockname(2) or epoll_ctl(2) report.
    pub fn new(socket: OwnedFd, setup: Setup) -> io::Result<Self> {
        let v6 = SockRef::from(&socket).local_addr()?.as_socket().is_some_and(|address| address.is_ipv6());
        let whole = prepare(&socket, v6, Wishes { gathers: true, whole: true });
        let segments = if setup.segments && can_segment(&socket) { SEGMENTS } else { 1 };
        let mut config = EndpointConfig::new(Arc::new(setup.key.reset()));
        let ids = Ids { key: setup.key.ids(), socket: setup.socket, process: setup.process };
        config.cid_generator(move || Box::new(ids)).supported_versions(vec![VERSION]).grease_quic_bit(false);
        // Any size is received, so that this cannot fail.
        let _ = config.max_udp_payload_size(LONGEST);
        let server = Shared::server_config(&setup.key, Crypto::nobody());
        let quic = quinn_proto::Endpoint::new(Arc::new(config), Some(Arc::new(server)), whole, None);
        let shared = Shared {
            socket: sys::watch::readable_and_writable(socket)?,
            quic: RefCell::new(quic),
            key: setup.key,
            segments: Cell::new(segments),
            connections: RefCell::default(),
            dirty: RefCell::default(),
            timers: RefCell::default(),
            outbox: RefCell::default(),
            held: RefCell::default(),
            waker: RefCell::default(),
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    /// The socket's address.
    ///
    /// # Errors
    /// What getsockname(2) reports.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(self.shared.socket.get_ref()).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// How many connections there are, those included that are closed and wait for late packets.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open()
    }

    /// Lets the task send what connections have said last. It only waits for the task's turn, not for the network.
    pub async fn flush(&self) {
        for _ in 0..FLUSHES {
            if self.shared.dirty.borrow().is_empty() {
                return;
            }
            self.shared.wake();
            tokio::task::yield_now().await;
        }
    }

    /// Serves the socket: the task that all connections need. New clients go to `came`.
    ///
    /// # Errors
    /// The event loop is gone, or what recvmmsg(2) reports; call again to go on.
    pub async fn run(&self, came: impl Fn(Newcomer)) -> io::Result<()> {
        Driver::new(self.shared.clone(), came).run().await
    }
}
