//! One HTTP/3 connection: the state of its streams, and how their bytes get to the transport.

use crate::active::NEVER;
use crate::buffers;
use crate::protocol::Front;
use crate::quic::Opened;
use crate::streams::hub::Hub;
use bytes::Bytes;
use net::quic::{Connection, StreamId, WriteError};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use wire::h3::error::{Code, Failure};
use wire::h3::{Codec, ServerStream};

/// So many turns of streams are taken in a row.
const TURNS: usize = 32;

/// Content up to this is put into one buffer with its frame's head.
pub const SMALL: usize = 4096;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// HTTP/3.
    H3,
    /// HTTP/0.9 on streams.
    Hq,
}

/// Whether a stream is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// When something comes.
    #[default]
    Ready,
    /// Right now.
    Busy,
    /// Not while the body is not being consumed.
    Paused,
    /// Not until a field section has the table entries that it refers to.
    Blocked,
}

/// The client's half of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveState {
    /// More may come.
    #[default]
    Open,
    /// The client has ended it.
    Ended,
    /// Nothing that still comes is wanted.
    Unwanted,
}

/// Our half of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendState {
    /// More may follow.
    #[default]
    Open,
    /// It ends behind `out`.
    Ending,
    /// The end was handed to the transport.
    Ended,
}

/// A stream's place among those that have something to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// It has nothing to send.
    #[default]
    None,
    /// It is queued, or has got something more to send during its turn.
    Queued,
    /// It has its turn.
    Current,
}

/// What is kept of a request's stream, from its first byte until its last has left.
#[derive(Debug)]
pub struct StreamState {
    /// Received data that the protocol has not processed.
    pub input: Vec<u8>,
    /// What may still come.
    pub receiving: ReceiveState,
    /// Whether it is read.
    pub reading: Reading,
    /// Something has come of a request that is not whole.
    pub started: bool,
    /// When the head must be whole or the last bytes must have left; monotonic milliseconds.
    pub until: u64,
    /// Frames that the transport has not taken.
    pub out: Vec<u8>,
    /// How much of it the transport has taken.
    pub sent: usize,
    /// What the transport has not taken of a larger piece of content; it goes before `out`.
    pub unsent: Bytes,
    /// How much of a DATA frame's content is missing whose head is written.
    pub frame: usize,
    /// Whether it ends.
    pub sending: SendState,
    /// Its request is over: it goes when `out` is empty.
    pub request_over: bool,
    /// Whether it has something to send.
    pub turn: Turn,
}

impl Default for StreamState {
    fn default() -> Self {
        StreamState {
            input: Vec::new(),
            receiving: ReceiveState::Open,
            reading: Reading::Ready,
            started: false,
            until: NEVER,
            out: Vec::new(),
            sent: 0,
            unsent: Bytes::new(),
            frame: 0,
            sending: SendState::Open,
            request_over: false,
            turn: Turn::None,
        }
    }
}

impl StreamState {
    /// The client has ended its half.
    pub fn set_received(&mut self) {
        if self.receiving == ReceiveState::Open {
            self.receiving = ReceiveState::Ended;
        }
    }

    /// The table has what a field section refers to.
    pub fn unblock(&mut self) {
        if self.reading == Reading::Blocked {
            self.reading = Reading::Ready;
        }
    }

    /// Reading goes on after a pause. False: it was not paused.
    pub fn resume(&mut self) -> bool {
        let paused = self.reading == Reading::Paused;
        if paused {
            self.reading = Reading::Ready;
        }
        paused
    }

    /// Nothing that still comes is wanted. True: the client has to be told.
    pub fn discard(&mut self) -> bool {
        let open = self.receiving == ReceiveState::Open;
        if open {
            self.receiving = ReceiveState::Unwanted;
        }
        open
    }

    /// Nothing follows what is in `out`.
    pub fn end(&mut self) {
        if self.sending == SendState::Open {
            self.sending = SendState::Ending;
        }
    }
}

/// The state of a connection.
pub struct H3 {
    /// What all protocols with streams have.
    pub hub: Hub<u64, Code>,
    /// What is spoken.
    pub speech: Application,
    /// The transport.
    pub quic: Connection,
    /// The protocol.
    pub codec: RefCell<Codec>,
    /// The streams of requests.
    pub wires: RefCell<HashMap<u64, StreamState, foldhash::fast::RandomState>>,
    /// Streams that have something to send, by urgency.
    ready: RefCell<[VecDeque<u64>; 8]>,
    /// Streams whose reading goes on.
    pub resume: RefCell<Vec<u64>>,
    server_streams: [Cell<Option<StreamId>>; 3],
    /// The peer has broken a rule; nothing of it is read any more.
    pub failed: RefCell<Option<Failure>>,
}

impl H3 {
    /// A connection that speaks as `codec` says.
    pub fn new(front: Rc<Front>, opened: Opened, speech: Application, codec: Codec) -> H3 {
        H3 {
            hub: Hub::new(front, opened.listener, opened.info, opened.watch, "HTTP/3"),
            speech,
            quic: opened.connection,
            codec: RefCell::new(codec),
            wires: RefCell::default(),
            ready: RefCell::default(),
            resume: RefCell::default(),
            server_streams: Default::default(),
            failed: RefCell::default(),
        }
    }

    /// Runs `f` on what is kept of a stream.
    pub(crate) fn with_wire<R>(&self, id: u64, f: impl FnOnce(&mut StreamState) -> R) -> Option<R> {
        self.wires.borrow_mut().get_mut(&id).map(f)
    }

    /// The stream has something to send.
    pub fn queue_send(&self, id: u64) {
        let before = self.with_wire(id, |wire| std::mem::replace(&mut wire.turn, Turn::Queued));
        if before != Some(Turn::None) {
            return;
        }
        let priority = self.codec.borrow().priority(id);
        if let Some(queue) = self.ready.borrow_mut().get_mut(usize::from(priority.urgency)) {
            // One whose content is of use only when it is whole is served to its end (RFC 9218, 4.2).
            if priority.incremental { queue.push_back(id) } else { queue.push_front(id) }
        }
    }

    fn next_ready(&self) -> Option<u64> {
        self.ready.borrow_mut().iter_mut().find_map(VecDeque::pop_front)
    }

    /// Whether streams have something to send that has had no turn.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready.borrow().iter().any(|queue| !queue.is_empty())
    }

    /// Gives streams their turn, best first. True: there are more.
    pub(crate) fn pump(&self) -> bool {
        for _ in 0..TURNS {
            let Some(id) = self.next_ready() else { return false };
            // A head waits for what comes behind it, unless it has waited for the transport.
            let waited = self.with_wire(id, |wire| {
                wire.turn = Turn::Current;
                wire.sent > 0 || wire.frame > 0 || !wire.unsent.is_empty() || wire.out.len() > SMALL
            });
            if waited.unwrap_or(false) {
                self.flush(id);
            }
            if let Some(stream) = self.hub.stream(id) {
                stream.send_some();
            }
            self.flush(id);
            // All of what ends has been handed over, or the transport tells when it takes the rest.
            let more = self.with_wire(id, |wire| {
                let again = std::mem::take(&mut wire.turn) == Turn::Queued;
                again && wire.sending == SendState::Open
            });
            if more.unwrap_or(false) {
                self.queue_send(id);
            }
        }
        self.has_ready()
    }

    /// Hands frames to the transport. False: it does not take all of them now.
    pub fn flush(&self, id: u64) -> bool {
        let mut wires = self.wires.borrow_mut();
        let Some(wire) = wires.get_mut(&id) else { return true };
        if !wire.unsent.is_empty() {
            match self.quic.write_shared(StreamId(id), &mut wire.unsent) {
                Ok(_) if !wire.unsent.is_empty() => return false,
                Ok(_) | Err(WriteError::Stopped(_) | WriteError::Gone) => wire.unsent = Bytes::new(),
            }
        }
        let rest = wire.out.get(wire.sent..).unwrap_or_default();
        if !rest.is_empty() {
            match self.quic.write(StreamId(id), rest) {
                Ok(taken) if taken < rest.len() => {
                    wire.sent += taken;
                    return false;
                }
                // The event that tells of it comes by itself.
                Ok(_) | Err(WriteError::Stopped(_) | WriteError::Gone) => {}
            }
            buffers::put(std::mem::take(&mut wire.out));
            wire.sent = 0;
        }
        if wire.sending == SendState::Ending && wire.frame == 0 {
            wire.sending = SendState::Ended;
            self.quic.finish(StreamId(id));
        }
        if wire.request_over {
            wires.remove(&id);
        }
        true
    }

    /// Opens our own streams as far as the client allows it, and sends what waits for them. Those that say nothing are not opened.
    pub(crate) fn flush_own(&self) {
        if self.speech == Application::Hq {
            return self.codec.borrow_mut().server_stream(ServerStream::Decoder).clear();
        }
        for (own, place) in [ServerStream::Control, ServerStream::Decoder, ServerStream::Encoder].into_iter().zip(&self.server_streams) {
            let mut codec = self.codec.borrow_mut();
            let out = codec.server_stream(own);
            if out.is_empty() || (own == ServerStream::Encoder && place.get().is_none() && out.len() == 1) {
                continue;
            }
            let Some(id) = place.get().or_else(|| self.quic.open_uni()) else { return };
            place.set(Some(id));
            // Answers need the table's changes less than they need to leave.
            self.quic.set_priority(id, 8);
            match self.quic.write(id, out) {
                Ok(taken) => drop(out.drain(..taken)),
                Err(_) => out.clear(),
            }
        }
    }

    /// Something waits for one of our own streams.
    pub(crate) fn has_own(&self) -> bool {
        let mut codec = self.codec.borrow_mut();
        self.speech == Application::H3
            && !(codec.server_stream(ServerStream::Control).is_empty() && codec.server_stream(ServerStream::Decoder).is_empty())
    }

    /// Whether a stream is one of ours.
    pub fn is_own(&self, id: StreamId) -> bool {
        self.server_streams.iter().any(|own| own.get() == Some(id))
    }

    /// The stream's request is over, or never was: both its directions end.
    pub fn close_stream(&self, id: u64, code: Option<Code>) {
        self.codec.borrow_mut().close_request(id);
        let mut wires = self.wires.borrow_mut();
        let Some(wire) = wires.get_mut(&id) else { return };
        if wire.discard() {
            self.quic.stop_sending(StreamId(id), code.unwrap_or(Code::NO_ERROR).0);
        }
        match wire.sending {
            SendState::Ended if code.is_none() => drop(wires.remove(&id)),
            SendState::Ending if wire.frame == 0 && code.is_none() => wire.request_over = true,
            _ => {
                self.quic.reset(StreamId(id), code.unwrap_or(Code::INTERNAL_ERROR).0);
                wires.remove(&id);
            }
        }
    }

    /// Gives memory back that a connection without requests need not hold.
    pub fn shrink(&self) {
        self.hub.shrink();
        self.quic.shrink();
        self.codec.borrow_mut().shrink();
        self.wires.borrow_mut().shrink_to_fit();
        self.ready.borrow_mut().iter_mut().for_each(VecDeque::shrink_to_fit);
        self.resume.borrow_mut().shrink_to_fit();
    }

    /// The connection is lost: every stream learns of it.
    pub(crate) fn break_off(&self) {
        self.hub.break_off();
        self.wires.borrow_mut().clear();
    }
}
