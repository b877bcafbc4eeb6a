//! A connection's state, and the list of connections that may have data to send.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{ConnectionEvent, ConnectionHandle, StreamEvent};
use tls::quic::Failed;

use super::event::{Event, Reason};
use super::parameters::FIRST_WINDOW;
use super::stream::{self, StreamId};

/// The most bytes of a connection that wait to be sent or to be acknowledged.
const MOST_WINDOW: u64 = 16 * 1024 * 1024;

/// Connections that may have something to send, for the endpoint's task.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) dirty: RefCell<VecDeque<Rc<State>>>,
    waker: RefCell<Option<Waker>>,
}

impl Queue {
    /// A connection may have something to send.
    pub(super) fn push(&self, state: &Rc<State>) {
        if !state.queued.replace(true) {
            self.dirty.borrow_mut().push_back(state.clone());
        }
    }

    /// As [`Queue::push`], and the endpoint's task is woken for it.
    pub(super) fn kick(&self, state: &Rc<State>) {
        self.push(state);
        self.wake();
    }

    /// The connection whose turn it is.
    pub(super) fn pop(&self) -> Option<Rc<State>> {
        let state = self.dirty.borrow_mut().pop_front()?;
        state.queued.set(false);
        Some(state)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.dirty.borrow().len()
    }

    /// Wakes the endpoint's task.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The endpoint's task is the one that polls.
    pub(super) fn register_waker(&self, cx: &Context<'_>) {
        store_waker(&self.waker, cx);
    }
}

fn store_waker(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut waker = place.borrow_mut();
    if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

/// A connection's state and what its endpoint keeps with it.
pub(super) struct State {
    pub(super) quic: RefCell<quinn_proto::Connection>,
    pub(super) handle: ConnectionHandle,
    pub(super) queue: Rc<Queue>,
    pub(super) events: RefCell<VecDeque<Event>>,
    waker: RefCell<Option<Waker>>,
    /// It stands in the endpoint's list of those that may have something to send.
    pub(super) queued: Cell<bool>,
    /// When the endpoint looks at its timers.
    pub(super) timer: Cell<Option<Instant>>,
    closed: Cell<bool>,
    /// Streams that took less than was written.
    pub(super) full: RefCell<BTreeSet<StreamId>>,
    window: Cell<u64>,
    /// How many streams the client may have open when it needs more than at first.
    pub(super) streams: Cell<Option<u64>>,
    /// The client's address.
    pub(super) peer: Cell<SocketAddr>,
    /// The address that it moves to, and how many answers to challenges had come before it did.
    moves: Cell<Option<(SocketAddr, u64)>>,
    pub(super) failed: Arc<OnceLock<Failed>>,
}

impl State {
    pub(super) fn new(
        quic: quinn_proto::Connection,
        handle: ConnectionHandle,
        queue: Rc<Queue>,
        failed: Arc<OnceLock<Failed>>,
        streams: Option<u64>,
    ) -> Self {
        Self {
            peer: Cell::new(quic.remote_address()),
            moves: Cell::new(None),
            quic: RefCell::new(quic),
            handle,
            queue,
            events: RefCell::default(),
            waker: RefCell::default(),
            queued: Cell::new(false),
            timer: Cell::new(None),
            closed: Cell::new(false),
            full: RefCell::default(),
            window: Cell::new(FIRST_WINDOW),
            streams: Cell::new(streams),
            failed,
        }
    }

    /// Delivers events and wakes their waiters.
    pub(super) fn collect(&self) {
        let mut quic = self.quic.borrow_mut();
        let mut events = self.events.borrow_mut();
        let before = events.len();
        while let Some(event) = quic.poll() {
            if self.closed.get() {
                continue;
            }
            let event = match event {
                quinn_proto::Event::Connected => Event::Handshaken,
                quinn_proto::Event::ConnectionLost { reason } => {
                    self.closed.set(true);
                    Event::Closed(reason.into())
                }
                quinn_proto::Event::Stream(event) => match event {
                    StreamEvent::Opened { dir } => Event::Opened(dir.into()),
                    StreamEvent::Readable { id } => Event::Readable(id.into()),
                    StreamEvent::Writable { id } => {
                        self.full.borrow_mut().remove(&id.into());
                        Event::Writable(id.into())
                    }
                    StreamEvent::Stopped { id, error_code } => {
                        self.full.borrow_mut().remove(&id.into());
                        Event::Stopped(id.into(), error_code.into_inner())
                    }
                    StreamEvent::Finished { id } => Event::Finished(id.into()),
                    StreamEvent::Available { dir } => Event::Available(dir.into()),
                },
                _ => continue,
            };
            // One that waits says the same, and a client may cause any number of them.
            if !events.contains(&event) {
                events.push_back(event);
            }
        }
        // What may wait follows from what the path takes.
        let window = quic.congestion_state().window().saturating_mul(2).clamp(FIRST_WINDOW, MOST_WINDOW);
        if window != self.window.replace(window) {
            quic.set_send_window(window);
        }
        if events.len() > before {
            self.wake();
        }
    }

    /// Takes what came for it in a datagram from this address.
    pub(super) fn take(&self, event: ConnectionEvent, from: SocketAddr) {
        let mut quic = self.quic.borrow_mut();
        quic.handle_event(event);
        self.follow(&quic, from);
    }

    /// Follows a client to another address, once it has answered a challenge from there (RFC 9000, 9.3): before that anybody may have
    /// written the address.
    fn follow(&self, quic: &quinn_proto::Connection, from: SocketAddr) {
        let now = quic.remote_address();
        if now == self.peer.get() {
            return self.moves.set(None);
        }
        let answers = quic.stats().frame_rx.path_response;
        match self.moves.get().filter(|(to, _)| *to == now) {
            Some((_, before)) if answers > before && from == now => {
                self.peer.set(now);
                self.moves.set(None);
            }
            _ => self.moves.set(Some((now, answers))),
        }
    }

    /// The wakers of events.
    pub(super) fn register_waker(&self, cx: &Context<'_>) {
        store_waker(&self.waker, cx);
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn close(&self, code: u64, reason: &[u8]) {
        if self.closed.replace(true) {
            return;
        }
        self.quic.borrow_mut().close(Instant::now(), stream::code(code), Bytes::copy_from_slice(reason));
        self.events.borrow_mut().push_back(Event::Closed(Reason::Local));
        self.wake();
    }
}
