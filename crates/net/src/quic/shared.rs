//! State shared by an endpoint's task, its connections and its incoming clients.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{ConnectionHandle, ServerConfig, ValidationTokenConfig};
use tokio::io::unix::AsyncFd;

use super::counters::{CountFn, QuicEvent};
use super::crypto::Crypto;
use super::forward::Forwarder;
use super::ids::Ids;
use super::initial::InitialReader;
use super::outbox::{TransmitError, TransmitQueue};
use super::state::{Queue, State};
use super::tokens::{self, TokenKey, UsedTokens};

/// Clients at the same time that are not accepted yet.
const NEWCOMERS: usize = 512;

/// How many of them may wait for the rest of a ClientHello.
const WAITING: usize = 256;

/// Bytes that are held of one of them, and of all, behind their first datagrams.
const HELD: u64 = 32 * 1024;
const HELD_BY_ALL: u64 = 8 * 1024 * 1024;

/// What an endpoint's task, its connections and its newcomers share.
pub(super) struct Shared {
    pub(super) socket: AsyncFd<OwnedFd>,
    pub(super) quic: RefCell<quinn_proto::Endpoint>,
    pub(super) tokens: Tokens,
    pub(super) segments: Cell<usize>,
    /// By the number that the state machine gives them.
    pub(super) connections: RefCell<Vec<Option<Rc<State>>>>,
    /// Those that may have something to send.
    pub(super) queue: Rc<Queue>,
    /// When timers of connections may be due.
    pub(super) timers: RefCell<BTreeSet<(Instant, usize)>>,
    pub(super) outbox: RefCell<TransmitQueue>,
    /// Newcomers whose ClientHello is not whole, by the connection ID that they chose.
    pub(super) initials: RefCell<HashMap<Box<[u8]>, Weak<InitialReader>>>,
    /// The same in the order in which they came.
    pub(super) order: RefCell<VecDeque<Weak<InitialReader>>>,
    pub(super) ids: Ids,
    pub(super) passing: Forwarder,
    pub(super) count: CountFn,
    /// New clients are for others.
    pub(super) leaving: Cell<bool>,
}

impl Shared {
    /// What a client is answered with.
    pub(super) fn server_config(&self, crypto: Crypto) -> ServerConfig {
        server_config(crypto, self.tokens.clone())
    }

    /// Keeps a newcomer until its ClientHello is whole. Where too many wait, the one that has waited longest goes.
    pub(super) fn hold(&self, held: &Rc<InitialReader>) {
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
        self.initials.borrow_mut().insert(held.id.clone(), Rc::downgrade(held));
    }

    /// Forgets a newcomer.
    pub(super) fn release(&self, held: &Rc<InitialReader>) {
        let mut all = self.initials.borrow_mut();
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
    fn remove(&self, state: &State) {
        if let Some(at) = state.timer.take() {
            self.timers.borrow_mut().remove(&(at, state.handle.0));
        }
        if let Some(entry) = self.connections.borrow_mut().get_mut(state.handle.0) {
            *entry = None;
        }
        let path = state.quic.borrow().stats().path;
        (self.count)(QuicEvent::Sent, path.sent_packets);
        (self.count)(QuicEvent::Lost, path.lost_packets);
    }

    /// Exchanges what the endpoint and a connection have to tell each other, passes its events on and looks at its timers.
    pub(super) fn service(&self, state: &Rc<State>) {
        if self.exchange(state) {
            state.collect();
            self.schedule(state);
        }
    }

    /// Exchanges what the endpoint and a connection have to tell each other. False: the connection is done with.
    pub(super) fn exchange(&self, state: &Rc<State>) -> bool {
        loop {
            let event = state.quic.borrow_mut().poll_endpoint_events();
            let Some(event) = event else { return true };
            let drained = event.is_drained();
            let answer = self.quic.borrow_mut().handle_event(state.handle, event);
            if drained {
                state.collect();
                self.remove(state);
                return false;
            }
            if let Some(answer) = answer {
                state.quic.borrow_mut().handle_event(answer);
                self.queue.kick(state);
            }
        }
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
                Err(TransmitError::Full) => return false,
                // A probe for the path's size is meant to fail, and what is lost otherwise comes again.
                Err(TransmitError::Lost(error)) => self.disable_segmentation(&error),
            }
        }
    }

    /// A device may refuse to cut for us: then each datagram goes by itself.
    fn disable_segmentation(&self, error: &io::Error) {
        const EIO: i32 = 5;
        if error.raw_os_error() == Some(EIO) {
            self.segments.set(1);
        }
    }

    /// How many connections there are.
    pub(super) fn open(&self) -> usize {
        self.quic.borrow().open_connections()
    }
}

/// What makes tokens and knows those that were used; `None`: clients get none for later connections.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) key: Arc<TokenKey>,
    pub(super) used: Option<Arc<UsedTokens>>,
}

pub(super) fn server_config(crypto: Crypto, tokens: Tokens) -> ServerConfig {
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
