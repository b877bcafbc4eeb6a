//! A connection as its protocol sees it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{ConnectionError, ConnectionEvent, ConnectionHandle, StreamEvent};
use tls::quic::Failed;
use tls::session::Established;

use super::crypto::Report;
use super::endpoint::Shared;
use super::parameters::FIRST_WINDOW;
use super::stream::{Dir, Read, ReadError, StreamId, WriteError};

/// The most bytes of a connection that wait to be sent or to be acknowledged.
const MOST_WINDOW: u64 = 16 * 1024 * 1024;

/// What a stream is given at once.
const ROOM: usize = 64 * 1024;

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client has opened streams: [`Connection::accept`] gives them until there are no more. They may be readable at once.
    Opened(Dir),
    /// A stream has data, its end or its reset.
    Readable(StreamId),
    /// A stream that took no more takes some.
    Writable(StreamId),
    /// The client does not want what is sent on a stream; the number is its code.
    Stopped(StreamId, u64),
    /// The client has received all of a stream that was finished.
    Finished(StreamId),
    /// One more stream of this kind may be opened.
    Available(Dir),
    /// The handshake is over.
    Handshaken,
    /// The connection is over; there are no further events.
    Closed(Reason),
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It was silent for too long.
    Idle,
    /// The client closed it.
    Peer {
        /// By its protocol, and not by its transport.
        application: bool,
        /// The code.
        code: u64,
        /// The client's words.
        words: Box<[u8]>,
    },
    /// The client broke the rules of the transport or its handshake failed, and was told so.
    Broken {
        /// The code.
        code: u64,
        /// What is wrong.
        words: Box<str>,
    },
    /// The client has forgotten the connection.
    Reset,
    /// We closed it.
    Local,
}

impl From<ConnectionError> for Reason {
    fn from(error: ConnectionError) -> Self {
        let peer = |application, code, words: &[u8]| Reason::Peer { application, code, words: words.into() };
        match error {
            ConnectionError::TimedOut => Reason::Idle,
            ConnectionError::Reset => Reason::Reset,
            ConnectionError::LocallyClosed => Reason::Local,
            ConnectionError::ApplicationClosed(close) => peer(true, close.error_code.into_inner(), &close.reason),
            ConnectionError::ConnectionClosed(close) => peer(false, close.error_code.into(), &close.reason),
            ConnectionError::TransportError(error) => {
                let words = if error.reason.is_empty() { error.code.to_string() } else { error.reason };
                Reason::Broken { code: error.code.into(), words: words.into() }
            }
            ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => Reason::Broken { code: 2, words: Box::default() },
        }
    }
}

/// A connection's state and what its endpoint keeps with it.
pub(super) struct State {
    pub(super) quic: RefCell<quinn_proto::Connection>,
    pub(super) handle: ConnectionHandle,
    pub(super) endpoint: Rc<Shared>,
    events: RefCell<VecDeque<Event>>,
    waker: RefCell<Option<Waker>>,
    /// It stands in the endpoint's list of those that may have something to send.
    pub(super) queued: Cell<bool>,
    /// When the endpoint looks at its timers.
    pub(super) timer: Cell<Option<Instant>>,
    closed: Cell<bool>,
    /// Streams that took less than was written.
    full: RefCell<BTreeSet<StreamId>>,
    /// Streams whose end was found behind their last data: quinn-proto tells it once.
    ended: RefCell<BTreeSet<StreamId>>,
    window: Cell<u64>,
    /// The client's address.
    peer: Cell<SocketAddr>,
    /// The address that it moves to, and how many answers to challenges had come before it did.
    moves: Cell<Option<(SocketAddr, u64)>>,
    failed: Arc<OnceLock<Failed>>,
}

impl State {
    pub(super) fn new(
        quic: quinn_proto::Connection,
        handle: ConnectionHandle,
        endpoint: Rc<Shared>,
        failed: Arc<OnceLock<Failed>>,
    ) -> Self {
        Self {
            peer: Cell::new(quic.remote_address()),
            moves: Cell::new(None),
            quic: RefCell::new(quic),
            handle,
            endpoint,
            events: RefCell::default(),
            waker: RefCell::default(),
            queued: Cell::new(false),
            timer: Cell::new(None),
            closed: Cell::new(false),
            full: RefCell::default(),
            ended: RefCell::default(),
            window: Cell::new(FIRST_WINDOW),
            failed,
        }
    }

    /// Passes on what has happened; wakes who waits for it.
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
            events.push_back(event);
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

    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn close(&self, code: u64, reason: &[u8]) {
        if self.closed.replace(true) {
            return;
        }
        self.quic.borrow_mut().close(Instant::now(), super::stream::code(code), Bytes::copy_from_slice(reason));
        self.events.borrow_mut().push_back(Event::Closed(Reason::Local));
        self.wake();
    }
}

/// Closes the connection when its protocol has let go of it.
struct Owner {
    state: Rc<State>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.state.close(0, b"");
        self.state.endpoint.kick(&self.state);
    }
}

/// A connection. Clones are the same one; when the last is dropped, it closes.
#[derive(Clone)]
pub struct Connection {
    owner: Rc<Owner>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(state: Rc<State>) -> Self {
        Self { owner: Rc::new(Owner { state }) }
    }

    fn state(&self) -> &Rc<State> {
        &self.owner.state
    }

    /// What happened next. One task polls; [`Event::Closed`] is the last.
    pub fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Event> {
        let state = self.state();
        if let Some(event) = state.events.borrow_mut().pop_front() {
            return Poll::Ready(event);
        }
        state.remember(cx);
        Poll::Pending
    }

    /// Ready when there is something for a protocol to do: the handshake is over, streams have come as early data, or the connection is
    /// closed, with the reason. Takes no event.
    pub fn poll_begun(&self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let state = self.state();
        for event in state.events.borrow().iter() {
            match event {
                Event::Closed(reason) => return Poll::Ready(Err(reason.clone())),
                Event::Handshaken | Event::Opened(_) => return Poll::Ready(Ok(())),
                _ => {}
            }
        }
        state.remember(cx);
        Poll::Pending
    }

    /// The next stream that the client has opened.
    #[must_use]
    pub fn accept(&self, dir: Dir) -> Option<StreamId> {
        self.state().quic.borrow_mut().streams().accept(dir.into()).map(StreamId::from)
    }

    /// Opens a stream to the client; `None`: it allows no more now.
    #[must_use]
    pub fn open_uni(&self) -> Option<StreamId> {
        self.state().quic.borrow_mut().streams().open(quinn_proto::Dir::Uni).map(StreamId::from)
    }

    /// Appends at most `limit` bytes of a stream to `out`.
    ///
    /// # Errors
    /// Nothing more will come.
    pub fn read(&self, id: StreamId, limit: usize, out: &mut Vec<u8>) -> Result<Read, ReadError> {
        if self.state().ended.borrow_mut().remove(&id) {
            return Ok(Read::End);
        }
        let mut quic = self.state().quic.borrow_mut();
        let mut stream = quic.recv_stream(id.inner());
        let mut chunks = stream.read(true).map_err(|_| ReadError::Gone)?;
        let mut taken = 0;
        let found = loop {
            if taken == limit {
                break Ok(Read::Data(taken));
            }
            match chunks.next(limit - taken) {
                Ok(Some(chunk)) => {
                    out.extend_from_slice(&chunk.bytes);
                    taken += chunk.bytes.len();
                }
                Err(quinn_proto::ReadError::Blocked) if taken > 0 => break Ok(Read::Data(taken)),
                // The end is told by the next call if something came before it.
                Ok(None) if taken > 0 => {
                    self.state().ended.borrow_mut().insert(id);
                    break Ok(Read::Data(taken));
                }
                Ok(None) => break Ok(Read::End),
                Err(quinn_proto::ReadError::Blocked) => break Ok(Read::Blocked),
                Err(quinn_proto::ReadError::Reset(code)) => break Err(ReadError::Reset(code.into_inner())),
            }
        };
        let news = chunks.finalize().should_transmit();
        drop(quic);
        if news {
            self.kick();
        }
        found
    }

    /// Writes to a stream; answers how much of `data` it took. Less than all: it takes nothing more now, and [`Event::Writable`] tells
    /// when it does.
    ///
    /// # Errors
    /// It will never take any.
    pub fn write(&self, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        self.write_all(id, data.len(), |stream, taken| stream.write(data.get(taken..).unwrap_or_default()))
    }

    /// As [`Connection::write`], without a copy: what was taken is cut off from `data`.
    ///
    /// # Errors
    /// It will never take any.
    pub fn write_shared(&self, id: StreamId, data: &mut Bytes) -> Result<usize, WriteError> {
        let length = data.len();
        self.write_all(id, length, |stream, _| stream.write_chunks(std::slice::from_mut(data)).map(|written| written.bytes))
    }

    /// Writes until all is taken or the stream says that it is full: otherwise it would not tell when it takes more.
    fn write_all(
        &self,
        id: StreamId,
        length: usize,
        mut write: impl FnMut(&mut quinn_proto::SendStream<'_>, usize) -> Result<usize, quinn_proto::WriteError>,
    ) -> Result<usize, WriteError> {
        let mut taken = 0;
        let mut quic = self.state().quic.borrow_mut();
        let mut stream = quic.send_stream(id.inner());
        while taken < length {
            match write(&mut stream, taken) {
                Ok(count) => taken += count,
                Err(quinn_proto::WriteError::Blocked) => {
                    self.state().full.borrow_mut().insert(id);
                    break;
                }
                Err(quinn_proto::WriteError::Stopped(code)) => return Err(WriteError::Stopped(code.into_inner())),
                Err(quinn_proto::WriteError::ClosedStream) => return Err(WriteError::Gone),
            }
        }
        drop(quic);
        if taken > 0 {
            self.kick();
        }
        Ok(taken)
    }

    /// About how much [`Connection::write`] would take now; 0: nothing.
    #[must_use]
    pub fn room(&self, id: StreamId) -> usize {
        if self.state().full.borrow().contains(&id) { 0 } else { ROOM }
    }

    /// No more will be written to a stream.
    pub fn finish(&self, id: StreamId) {
        // One that is stopped or gone has nothing to finish.
        let _ = self.state().quic.borrow_mut().send_stream(id.inner()).finish();
        self.kick();
    }

    /// Gives up what is not sent of a stream.
    pub fn reset(&self, id: StreamId, code: u64) {
        let _ = self.state().quic.borrow_mut().send_stream(id.inner()).reset(super::stream::code(code));
        self.state().full.borrow_mut().remove(&id);
        self.kick();
    }

    /// Tells the client that no more of a stream is wanted.
    pub fn stop(&self, id: StreamId, code: u64) {
        self.state().ended.borrow_mut().remove(&id);
        let _ = self.state().quic.borrow_mut().recv_stream(id.inner()).stop(super::stream::code(code));
        self.kick();
    }

    /// Data of streams with a higher number goes first; all begin with 0.
    pub fn set_priority(&self, id: StreamId, priority: i32) {
        let _ = self.state().quic.borrow_mut().send_stream(id.inner()).set_priority(priority);
    }

    /// Closes the connection with a code of its protocol.
    pub fn close(&self, code: u64, reason: &[u8]) {
        self.state().close(code, reason);
        self.kick();
    }

    /// Has what is queued sent at the end of this turn of the event loop. All that changes a connection does this by itself.
    pub fn kick(&self) {
        self.state().endpoint.kick(self.state());
    }

    /// The client's address, which changes when it moves to another network and has proved to be there.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.state().peer.get()
    }

    /// The address of ours that the client writes to, if the socket tells.
    #[must_use]
    pub fn local(&self) -> Option<IpAddr> {
        self.state().quic.borrow().local_ip()
    }

    /// Whether the handshake is not over, so that what has come so far may be a copy of what somebody saw before (RFC 9001, 9.2).
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.state().quic.borrow().is_handshaking()
    }

    /// Whether the client has not acknowledged all that was sent on streams.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.state().quic.borrow_mut().streams().send_streams() > 0
    }

    /// What its handshake has found so far.
    #[must_use]
    pub fn established(&self) -> Option<Established> {
        let quic = self.state().quic.borrow();
        let report = quic.crypto_session().handshake_data()?.downcast::<Report>().ok()?;
        Some(report.established)
    }

    /// The protocol that was chosen by ALPN.
    #[must_use]
    pub fn alpn(&self) -> Option<Box<[u8]>> {
        self.established()?.alpn
    }

    /// Why its handshake failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Failed> {
        self.state().failed.get().cloned()
    }
}
