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
use sys::udp::{Wishes, can_segment, prepare, steer};
use tls::quic::HostKey;
use tokio::io::unix::AsyncFd;

use super::connection::State;
use super::crypto::{Crypto, VERSION};
use super::drive::Driver;
use super::ids::{self, Ids};
use super::newcomer::{Held, Newcomer};
use super::outbox::{Outbox, Trouble};
use super::passing::Passing;
use super::tokens::{self, TokenKey, Used};

/// Clients at the same time that are not accepted yet.
const NEWCOMERS: usize = 512;

/// How many of them may wait for the rest of a ClientHello.
const WAITING: usize = 256;

/// Bytes that are held of one of them, and of all, behind their first datagrams.
const HELD: u64 = 32 * 1024;
const HELD_BY_ALL: u64 = 8 * 1024 * 1024;

/// The longest datagram.
const LONGEST: u16 = 65_527;

/// Datagrams that the kernel makes of one transmission, at most: so many fit into what it takes.
const SEGMENTS: usize = 32;

/// How often a process looks whether its predecessor has left.
const SUCCESSION: Duration = Duration::from_millis(50);

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
    /// Clients prove their addresses, and get tokens by which they need not do so the next time.
    pub proves: bool,
    /// Other processes have sockets of the same address, and the kernel chooses among them by connection IDs.
    pub steers: bool,
}

/// What an endpoint's task, its connections and its newcomers share.
pub(super) struct Shared {
    pub(super) socket: AsyncFd<OwnedFd>,
    pub(super) quic: RefCell<quinn_proto::Endpoint>,
    tokens: Tokens,
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
    /// The same in the order in which they came.
    order: RefCell<VecDeque<Weak<Held>>>,
    pub(super) waker: RefCell<Option<Waker>>,
    pub(super) ids: Ids,
    pub(super) passing: Passing,
    /// New clients are for others.
    pub(super) leaving: Cell<bool>,
}

impl Shared {
    /// What a client is answered with.
    pub(super) fn server_config(&self, crypto: Crypto) -> ServerConfig {
        server_config(crypto, self.tokens.clone())
    }

    /// Keeps a newcomer until its ClientHello is whole. Where too many wait, the one that has waited longest goes.
    pub(super) fn hold(&self, held: &Rc<Held>) {
        let mut order = self.order.borrow_mut();
        if order.len() >= WAITING {
            order.retain(|one| one.strong_count() > 0);
        }
        if order.len() >= WAITING
            && let Some(oldest) = order.pop_front().and_then(|one| one.upgrade())
        {
            oldest.give_up();
        }
        order.push_back(Rc::downgrade(held));
        self.held.borrow_mut().insert(held.id.clone(), Rc::downgrade(held));
    }

    /// Forgets a newcomer.
    pub(super) fn release(&self, held: &Rc<Held>) {
        let mut all = self.held.borrow_mut();
        // Another one may have chosen the same connection ID.
        if all.get(&held.id).is_some_and(|one| one.as_ptr() == Rc::as_ptr(held)) {
            all.remove(&held.id);
        }
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

/// What makes tokens and knows those that were used; `None`: clients get none for later connections.
#[derive(Clone)]
pub(super) struct Tokens {
    key: Arc<TokenKey>,
    used: Option<Arc<Used>>,
}

fn server_config(crypto: Crypto, tokens: Tokens) -> ServerConfig {
    let mut config = ServerConfig::new(Arc::new(crypto), tokens.key);
    let mut validation = ValidationTokenConfig::default();
    validation.lifetime(tokens::LIFETIME).sent(u32::from(tokens.used.is_some()));
    if let Some(used) = tokens.used {
        validation.log(used);
    }
    config
        .max_incoming(NEWCOMERS)
        .incoming_buffer_size(HELD)
        .incoming_buffer_size_total(HELD_BY_ALL)
        .retry_token_lifetime(tokens::RETRY_LIFETIME)
        .validation_token_config(validation);
    config
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
        let address = SockRef::from(&socket).local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let whole = prepare(&socket, address.is_ipv6(), Wishes { gathers: true, whole: true });
        let passing = Passing::new(&setup.key, address, setup.process, setup.socket)?;
        if setup.steers {
            // Without it datagrams come to other processes more often, which pass them on.
            let _ = steer(&socket, ids::LENGTH as u8, ids::multiplier(setup.key.ids()));
        }
        let segments = if setup.segments && can_segment(&socket) { SEGMENTS } else { 1 };
        let mut config = EndpointConfig::new(Arc::new(setup.key.reset()));
        let ids = Ids { key: setup.key.ids(), socket: setup.socket, process: setup.process };
        config.cid_generator(move || Box::new(ids)).supported_versions(vec![VERSION]).grease_quic_bit(false);
        // Any size is received, so that this cannot fail.
        let _ = config.max_udp_payload_size(LONGEST);
        let tokens = Tokens { key: Arc::new(TokenKey::new(&setup.key)), used: setup.proves.then(Arc::default) };
        let server = server_config(Crypto::nobody(), tokens.clone());
        let quic = quinn_proto::Endpoint::new(Arc::new(config), Some(Arc::new(server)), whole, None);
        let shared = Shared {
            socket: sys::watch::readable_and_writable(socket)?,
            quic: RefCell::new(quic),
            tokens,
            segments: Cell::new(segments),
            connections: RefCell::default(),
            dirty: RefCell::default(),
            timers: RefCell::default(),
            outbox: RefCell::default(),
            held: RefCell::default(),
            order: RefCell::default(),
            waker: RefCell::default(),
            ids,
            passing,
            leaving: Cell::new(false),
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

    /// Leaves new clients to a process that takes over; connections go on.
    pub fn leave(&self) {
        self.shared.leaving.set(true);
        self.shared.passing.leave_place();
    }

    /// Waits until new clients that the predecessor leaves to others come here.
    pub async fn succeed(&self) {
        while !self.shared.leaving.get() && !self.shared.passing.take_place() {
            tokio::time::sleep(SUCCESSION).await;
        }
        self.shared.wake();
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
