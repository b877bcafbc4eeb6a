//! Input from the streams of a connection.

use super::connection::{Application, H3, Reading, ReceiveState, StreamState};
use super::hq;
use crate::active::{Activity, NEVER};
use crate::buffers;
use crate::quic::moved;
use crate::streams::received::BodyPart;
use crate::streams::run::PendingRequest;
use base::clock;
use base::log::Level;
use http::core::default;
use net::quic::{Read, ReadError, StreamId};
use std::rc::Rc;
use wire::h2::priority::Priority;
use wire::h3::error::{Code, Failure};
use wire::h3::{Event, UniStreamKind, body_message};

/// So much is read at once, and so much of a body is kept that nobody takes: less than a client may send first, so that windows only grow
/// for bodies that are taken.
const PIECE: usize = 16 * 1024;
const BODY: usize = 48 * 1024;
/// So often a stream is read in a row.
const READS: usize = 16;

/// How a reading ended.
enum ReadEnd {
    /// There may be more.
    Some,
    /// There is no more now, or never.
    All,
    /// The client gave the stream up.
    Reset(u64),
}

impl H3 {
    /// The client has opened a stream.
    pub(crate) fn open_stream(self: &Rc<Self>, id: u64) -> Result<(), Failure> {
        if let Some(info) = moved(&self.quic, &self.hub.info()) {
            self.hub.set_info(info);
        }
        self.limit_requests(id);
        if !self.codec.borrow_mut().open_request(id)? {
            self.quic.stop_sending(StreamId(id), Code::REQUEST_REJECTED.0);
            self.quic.reset(StreamId(id), Code::REQUEST_REJECTED.0);
            return Ok(());
        }
        let core = &self.hub.listener.server.core;
        let until = clock::monotonic_ms().saturating_add(core.client_header_timeout.unwrap_or(default::TIMEOUT));
        self.wires.borrow_mut().insert(id, StreamState { until, ..StreamState::default() });
        self.read_stream(id)
    }

    /// `keepalive_requests`, `keepalive_time`: the request that reaches the limit is the last.
    fn limit_requests(&self, id: u64) {
        let core = &self.hub.listener.server.own.core;
        let age = clock::epoch_ms().saturating_sub(self.hub.info().started_ms);
        let spent = (id >> 2) + 1 >= core.keepalive_requests.unwrap_or(default::KEEPALIVE_REQUESTS)
            || age > core.keepalive_time.unwrap_or(default::KEEPALIVE_TIME)
            || core.keepalive_timeout == Some(0);
        let mut codec = self.codec.borrow_mut();
        if spent && !codec.is_closing() && codec.open_request(id).is_ok() {
            codec.goaway();
        }
    }

    /// Reads a stream for as long as its data is wanted.
    ///
    /// # Errors
    /// The client broke a rule of the protocol: the connection must end.
    pub fn read_stream(self: &Rc<Self>, id: u64) -> Result<(), Failure> {
        let wanted = self.with_wire(id, |wire| (wire.receiving != ReceiveState::Unwanted).then_some(wire.reading));
        match wanted.flatten() {
            Some(Reading::Blocked) => return self.look_ahead(id),
            Some(Reading::Ready | Reading::Paused) => {}
            Some(Reading::Busy) | None => return Ok(()),
        }
        let begun = self.with_wire(id, |wire| {
            wire.reading = Reading::Busy;
            (std::mem::take(&mut wire.input), wire.receiving == ReceiveState::Ended)
        });
        let Some((mut input, mut ended)) = begun else { return Ok(()) };
        if input.capacity() == 0 {
            input = buffers::take();
        }
        let result = self.read_on(id, &mut input, &mut ended);
        self.with_wire(id, |wire| {
            if wire.reading == Reading::Busy {
                wire.reading = Reading::Ready;
            }
            if ended {
                wire.set_received();
            }
            if !input.is_empty() {
                std::mem::swap(&mut wire.input, &mut input);
            }
        });
        buffers::put(input);
        match result? {
            ReadEnd::Reset(code) => self.reset_by_client(id, code),
            ReadEnd::Some => {
                self.resume.borrow_mut().push(id);
                self.hub.kick();
                Ok(())
            }
            ReadEnd::All => Ok(()),
        }
    }

    /// Nothing of the stream can be understood yet, but its reset is noticed.
    fn look_ahead(self: &Rc<Self>, id: u64) -> Result<(), Failure> {
        let came = self.with_wire(id, |wire| {
            let room = PIECE.saturating_sub(wire.input.len());
            let came = match room {
                _ if wire.receiving == ReceiveState::Ended => Ok((0, true)),
                0 => Err(self.stop_reading(id)),
                _ => self.read(id, room, &mut wire.input),
            };
            if came.as_ref().is_ok_and(|came| came.1) {
                wire.set_received();
            }
            came.err()
        });
        match came.flatten() {
            Some(ReadEnd::Reset(code)) => self.reset_by_client(id, code),
            _ => Ok(()),
        }
    }

    fn read_on(self: &Rc<Self>, id: u64, input: &mut Vec<u8>, ended: &mut bool) -> Result<ReadEnd, Failure> {
        // Of a stream that has just been opened nothing is known.
        let mut known = *ended || !input.is_empty() || self.with_wire(id, |wire| wire.started).unwrap_or(true);
        for _ in 0..READS {
            if std::mem::replace(&mut known, true) {
                let (used, stopped) = match self.speech {
                    Application::H3 => self.events(id, input, *ended)?,
                    Application::Hq => hq::receive(self, id, input, *ended),
                };
                input.drain(..used);
                // What nobody wants any more is not read.
                let over = self.with_wire(id, |wire| wire.receiving == ReceiveState::Unwanted).unwrap_or(true);
                if stopped || over || *ended {
                    return Ok(ReadEnd::All);
                }
            }
            let room = self.hub.stream(id).map_or(PIECE, |stream| BODY.saturating_sub(stream.unread()));
            if room == 0 {
                self.with_wire(id, |wire| wire.reading = Reading::Paused);
                return Ok(self.stop_reading(id));
            }
            match self.read(id, room.min(PIECE), input) {
                Ok((0, false)) => return Ok(ReadEnd::All),
                Ok((_, true)) => {
                    *ended = true;
                    self.with_wire(id, StreamState::set_received);
                }
                Ok(_) => {}
                Err(came) => return Ok(came),
            }
        }
        Ok(ReadEnd::Some)
    }

    /// Nothing more is read now, but the stream's reset is noticed.
    fn stop_reading(&self, id: u64) -> ReadEnd {
        self.quic.stop_code(StreamId(id)).map_or(ReadEnd::All, ReadEnd::Reset)
    }

    /// How much has come, and whether the stream ends behind it.
    fn read(&self, id: u64, limit: usize, input: &mut Vec<u8>) -> Result<(usize, bool), ReadEnd> {
        match self.quic.read(StreamId(id), limit, input) {
            Ok(Read::Data(length)) => Ok((length, false)),
            Ok(Read::End(length)) => Ok((length, true)),
            Ok(Read::Blocked) => Ok((0, false)),
            Err(ReadError::Reset(code)) => Err(ReadEnd::Reset(code)),
            Err(ReadError::Gone) => Err(ReadEnd::All),
        }
    }

    /// Carries out what the protocol finds: how much of the input is done with, and whether reading must rest.
    fn events(self: &Rc<Self>, id: u64, input: &[u8], ended: bool) -> Result<(usize, bool), Failure> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let poll = self.codec.borrow_mut().receive(id, rest, ended)?;
            at += poll.used;
            let Some(event) = poll.event else {
                self.with_wire(id, |wire| wire.started |= at > 0);
                return Ok((at, false));
            };
            match event {
                Event::Request { head, end, size, again } => self.request(id, &head, end, size, again),
                Event::Data { data, fault } => self.body(id, data, false, fault.map(body_message)),
                Event::End { fault } => self.body(id, &[], true, fault.map(body_message)),
                Event::Trailers { fault, body } => {
                    self.codec.borrow_mut().fields_read();
                    let wrong = fault.is_some().then(|| "client sent invalid trailers".to_owned());
                    self.body(id, &[], true, body.map(body_message).or(wrong));
                }
                Event::Incomplete => {
                    self.hub.log(Level::Info, "client closed connection");
                    self.with_wire(id, StreamState::set_received);
                    self.close_stream(id, Some(Code::REQUEST_INCOMPLETE));
                    return Ok((at, true));
                }
                Event::Blocked => {
                    self.with_wire(id, |wire| (wire.reading, wire.started) = (Reading::Blocked, true));
                    return Ok((at, true));
                }
            }
        }
    }

    fn request(self: &Rc<Self>, id: u64, head: &wire::h2::request::RequestHead, end: bool, size: usize, again: bool) {
        self.begin(id);
        let priority = self.codec.borrow().priority(id);
        self.set_priority(id, priority);
        PendingRequest::new(self, id, end, size).fill(head, end, again).run();
    }

    /// A request is there.
    pub(super) fn begin(&self, id: u64) {
        self.hub.watch.read_by(NEVER);
        self.hub.watch.set_activity(Activity::Answering);
        self.note_early();
        self.with_wire(id, |wire| (wire.until, wire.started) = (NEVER, false));
    }

    /// Whether received data may be replayed (`$ssl_early_data`).
    pub(crate) fn note_early(&self) {
        if let Some(info) = self.hub.info().tls_info() {
            info.early.set(self.quic.is_early());
        }
    }

    /// Tells the transport which streams go first.
    pub fn set_priority(&self, id: u64, priority: Priority) {
        if priority != Priority::default() {
            self.quic.set_priority(StreamId(id), 3 - i32::from(priority.urgency));
        }
    }

    fn body(&self, id: u64, data: &[u8], end: bool, wrong: Option<String>) {
        if let Some(stream) = self.hub.stream(id) {
            stream.take_body(BodyPart::Slice(data), end, wrong);
        }
    }

    /// The client will send no more of a request, which is not whole.
    fn reset_by_client(self: &Rc<Self>, id: u64, code: u64) -> Result<(), Failure> {
        self.codec.borrow_mut().reset_by_peer()?;
        let begun = self.with_wire(id, |wire| {
            wire.receiving = ReceiveState::Unwanted;
            wire.started
        });
        let Some(begun) = begun else { return Ok(()) };
        self.hub.log(Level::Info, &reset_message(id, code));
        match self.hub.stream(id) {
            Some(stream) => {
                stream.reset_later(Code::REQUEST_CANCELLED);
                stream.reset();
            }
            None if begun => {
                self.begin(id);
                PendingRequest::new(self, id, true, 0).refuse(400).run();
            }
            None => self.close_stream(id, Some(Code::REQUEST_CANCELLED)),
        }
        Ok(())
    }

    /// The client does not want what is sent on a stream.
    pub(crate) fn stopped_by_client(&self, id: StreamId, code: u64) -> Result<(), Failure> {
        if self.is_own(id) {
            return Err(Failure::new(Code::CLOSED_CRITICAL_STREAM, "client closed critical stream"));
        }
        if self.with_wire(id.0, |_| ()).is_none() {
            // All of it was handed over, and need not arrive any more.
            self.quic.reset(id, Code::REQUEST_CANCELLED.0);
            return Ok(());
        }
        self.codec.borrow_mut().reset_by_peer()?;
        self.hub.log(Level::Info, &reset_message(id.0, code));
        match self.hub.stream(id.0) {
            Some(stream) => {
                stream.reset_later(Code::REQUEST_CANCELLED);
                stream.reset();
            }
            None => self.close_stream(id.0, Some(Code::REQUEST_CANCELLED)),
        }
        Ok(())
    }

    /// Reads a stream in one direction.
    pub(crate) fn feed_uni(&self, id: StreamId) -> Result<(), Failure> {
        if self.speech == Application::Hq {
            let text = "uni stream in hq mode";
            return Err(Failure { reason: text, ..Failure::new(Code::STREAM_CREATION_ERROR, text) });
        }
        let mut input = buffers::take();
        let result = self.read_uni(id, &mut input);
        buffers::put(input);
        result
    }

    fn read_uni(&self, id: StreamId, input: &mut Vec<u8>) -> Result<(), Failure> {
        for _ in 0..READS {
            input.clear();
            let end = match self.quic.read(id, PIECE, input) {
                Ok(Read::Data(_)) => false,
                Ok(Read::End(_)) => true,
                Ok(Read::Blocked) | Err(ReadError::Gone) => return Ok(()),
                Err(ReadError::Reset(_)) => return self.codec.borrow_mut().uni_ended(id.0),
            };
            let result = self.codec.borrow_mut().receive_uni(id.0, input, end)?;
            if end {
                return Ok(());
            }
            if result == UniStreamKind::Unknown {
                self.quic.stop_sending(id, Code::STREAM_CREATION_ERROR.0);
                return Ok(());
            }
        }
        self.resume.borrow_mut().push(id.0);
        self.hub.kick();
        Ok(())
    }
}

/// As nginx has it for a stream of HTTP/2.
fn reset_message(id: u64, code: u64) -> String {
    if Code(code) == Code::REQUEST_CANCELLED {
        format!("client canceled stream {id}")
    } else {
        format!("client terminated stream {id} with status {code}")
    }
}
