//! A connection as its protocol sees it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn_proto::VarInt;
use tls::quic::Failed;
use tls::session::Established;

use super::crypto::Report;
use super::event::{Event, Reason};
use super::parameters::MANY_STREAMS;
use super::state::State;
use super::stream::{self, Dir, Read, ReadError, StreamId, WriteError};

/// What a stream is given at once.
const ROOM: usize = 64 * 1024;

/// Closes the connection when its protocol has let go of it.
struct Owner {
    state: Rc<State>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.state.close(0, b"");
        self.state.queue.kick(&self.state);
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
        state.register_waker(cx);
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
        state.register_waker(cx);
        Poll::Pending
    }

    /// The next stream that the client has opened.
    #[must_use]
    pub fn accept(&self, dir: Dir) -> Option<StreamId> {
        let state = self.state();
        let mut quic = state.quic.borrow_mut();
        let found = quic.streams().accept(dir.into()).map(StreamId::from);
        if let Some(most) = state.streams.get()
            && quic.streams().remote_open_streams(quinn_proto::Dir::Bi) >= MANY_STREAMS
        {
            state.streams.set(None);
            quic.set_max_concurrent_streams(quinn_proto::Dir::Bi, VarInt::from_u64(most).unwrap_or(VarInt::MAX));
        }
        found
    }

    /// Opens a stream to the client; `None`: it allows no more now.
    #[must_use]
    pub fn open_uni(&self) -> Option<StreamId> {
        self.state().quic.borrow_mut().streams().open(quinn_proto::Dir::Uni).map(StreamId::from)
    }

    /// Appends at most `limit` bytes of a stream to `out`: fewer are all that is there. Nothing is read behind the end.
    ///
    /// # Errors
    /// Nothing more will come.
    pub fn read(&self, id: StreamId, limit: usize, out: &mut Vec<u8>) -> Result<Read, ReadError> {
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
                Ok(None) => break Ok(Read::End(taken)),
                Err(quinn_proto::ReadError::Blocked) if taken > 0 => break Ok(Read::Data(taken)),
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

    /// The code with which the client has given a stream up, whatever of it was not read; told once.
    #[must_use]
    pub fn stop_code(&self, id: StreamId) -> Option<u64> {
        let code = self.state().quic.borrow_mut().recv_stream(id.inner()).received_reset().ok()??;
        // It may open another one instead.
        self.kick();
        Some(code.into_inner())
    }

    /// Writes to a stream; returns how much of `data` it took. Less than all: it takes nothing more now, and [`Event::Writable`] tells
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
    pub fn capacity(&self, id: StreamId) -> usize {
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
        let _ = self.state().quic.borrow_mut().send_stream(id.inner()).reset(stream::code(code));
        self.state().full.borrow_mut().remove(&id);
        self.kick();
    }

    /// Tells the client that no more of a stream is wanted.
    pub fn stop_sending(&self, id: StreamId, code: u64) {
        let _ = self.state().quic.borrow_mut().recv_stream(id.inner()).stop(stream::code(code));
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
        self.state().queue.kick(self.state());
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&self) {
        self.state().events.borrow_mut().shrink_to_fit();
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

    /// The handshake's results so far; the final ones are returned once.
    #[must_use]
    pub fn established(&self) -> Option<Established> {
        let quic = self.state().quic.borrow();
        let report = quic.crypto_session().handshake_data()?.downcast::<Report>().ok()?;
        Some(report.established)
    }

    /// Why its handshake failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Failed> {
        self.state().failed.get().cloned()
    }
}
