//! Received frames.

mod data;

use super::budget::Class;
use super::conn::{Codec, DRAIN_PING, Reading};
use super::error::{ErrorCode, Failure};
use super::event::{Event, Poll, StreamError};
use super::frame::{self, FrameHead, PREFACE, flag, kind, u32_at};
use super::priority::Priority;
use super::settings::{MAX_WINDOW, id, parameters};
use super::step::{Step, until_event};
use super::stream::{End, Outgoing};
use super::tree::Dependency;

/// SETTINGS above this are not looked at.
const MAX_SETTINGS: usize = frame::DEFAULT_SIZE;
/// So many streams may be given a priority before they are open (RFC 9218, 7.1).
const MAX_EARLY: usize = 8;
/// PRIORITY_UPDATE above this is skipped.
const MAX_PRIORITY: usize = 1024;

impl Codec {
    /// Takes what the peer sent, up to the next event. What was not used must be handed in again, with more behind it; a buffer of
    /// [`Self::INPUT`] bytes is always enough. Answers of the protocol itself (SETTINGS, PING, WINDOW_UPDATE, RST_STREAM) are appended
    /// to `out`. A caller that cannot send should not read either: then `out` stays small.
    ///
    /// # Errors
    /// The connection is over; GOAWAY is in `out`.
    pub fn poll<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Result<Poll<'i>, Failure> {
        if self.failed {
            return Ok(Poll { used: input.len(), event: None });
        }
        match until_event(input, |rest| self.step(rest, out)) {
            Ok((used, event)) => Ok(Poll { used, event }),
            Err(failure) => {
                self.failed = true;
                frame::goaway(self.last, failure.code, out);
                Err(failure)
            }
        }
    }

    fn step<'i>(&mut self, rest: &'i [u8], out: &mut Vec<u8>) -> Step<Event<'i>> {
        if let Some((stream, error)) = self.errors.pop() {
            return self.stream_error(stream, ErrorCode::FLOW_CONTROL_ERROR, error, out).map(|event| Some((0, Some(event))));
        }
        match self.reading {
            Reading::Preface => self.preface(rest),
            Reading::Head => self.frame(rest, out),
            Reading::Data { .. } => self.content(rest, out),
            Reading::Block { left, pad, last } => self.block_part(rest, left, pad, last, out),
            Reading::Skip { left } => {
                let len = left.min(rest.len());
                self.skip(left - len);
                Ok((len > 0 || left == 0).then_some((len, None)))
            }
        }
    }

    pub(super) fn skip(&mut self, left: usize) {
        self.reading = if left == 0 { Reading::Head } else { Reading::Skip { left } };
    }

    fn preface(&mut self, rest: &[u8]) -> Step<Event<'static>> {
        match Self::recognize(rest) {
            None => Ok(None),
            Some(false) => Err(Failure::protocol("invalid connection preface")),
            Some(true) => {
                self.reading = Reading::Head;
                Ok(Some((PREFACE.len(), None)))
            }
        }
    }

    fn frame(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Step<Event<'static>> {
        let Some(head) = FrameHead::parse(rest) else { return Ok(None) };
        let payload = rest.get(frame::HEAD..).unwrap_or(&[]);
        if head.len > frame::TAKEN_SIZE {
            return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, "client sent too large frame"));
        }
        if self.block.is_some() {
            return self.continuation(head);
        }
        match head.kind {
            kind::DATA => self.data_frame(head, payload, out),
            kind::HEADERS => self.headers_frame(head, payload),
            kind::CONTINUATION => Err(Failure::protocol("client sent unexpected CONTINUATION frame")),
            kind::PUSH_PROMISE => Err(Failure::protocol("client sent PUSH_PROMISE frame")),
            kind::PRIORITY_UPDATE if head.len > MAX_PRIORITY => self.unknown(head),
            kind::PRIORITY
            | kind::RST_STREAM
            | kind::SETTINGS
            | kind::PING
            | kind::GOAWAY
            | kind::WINDOW_UPDATE
            | kind::PRIORITY_UPDATE => {
                check_size(head)?;
                let need = if head.kind == kind::GOAWAY { 8 } else { head.len };
                let Some(payload) = payload.get(..need) else { return Ok(None) };
                self.skip(head.len - need);
                let event = self.control(head, payload, out)?;
                Ok(Some((frame::HEAD + need, event)))
            }
            _ => self.unknown(head),
        }
    }

    fn control(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Failure> {
        match head.kind {
            kind::PRIORITY => self.priority_frame(head, payload),
            kind::RST_STREAM => self.reset_frame(head, payload),
            kind::SETTINGS => self.settings_frame(head, payload, out),
            kind::PING => self.ping_frame(head, payload, out),
            kind::GOAWAY => self.goaway_frame(head, payload),
            kind::WINDOW_UPDATE => self.window_frame(head, payload, out),
            _ => self.priority_update(head, payload),
        }
    }

    fn unknown(&mut self, head: FrameHead) -> Step<Event<'static>> {
        self.budget.charge(Class::Ignored, 1 + (head.len / 512) as i64)?;
        self.skip(head.len);
        let known = head.kind == kind::PRIORITY_UPDATE;
        Ok(Some((frame::HEAD, (!known).then_some(Event::Unknown { kind: head.kind }))))
    }

    /// A frame on a stream that is over. What we reset may still be on its way; all else the peer should know (RFC 9113, 5.1).
    pub(super) fn frame_on_closed(&mut self, id: u32, end: Option<End>, frame: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
        match end {
            Some(End::Whole) => Err(Failure::new(ErrorCode::STREAM_CLOSED, format!("client sent {frame} frame for closed stream {id}"))),
            Some(End::ByPeer) => {
                self.budget.charge(Class::Reset, 1)?;
                frame::rst_stream(id, ErrorCode::STREAM_CLOSED, out);
                Ok(())
            }
            Some(End::ByUs) | None => Ok(self.budget.charge(Class::Ignored, 1)?),
        }
    }

    /// No stream of this identifier was ever opened.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id > self.last_stream_id || id.is_multiple_of(2)
    }

    fn priority_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Event<'static>>, Failure> {
        self.budget.charge(Class::Priority, 1)?;
        if head.stream == 0 {
            return Err(Failure::identifier("PRIORITY"));
        }
        let dependency = payload.first_chunk().map_or_else(Dependency::default, |five| Dependency::parse(*five));
        if dependency.parent == head.stream {
            let stream = head.stream;
            return Err(Failure::protocol(format!("client sent PRIORITY frame for stream {stream} with incorrect dependency")));
        }
        self.use_tree();
        self.tree.depend(head.stream, dependency);
        self.rerank();
        Ok(None)
    }

    /// Streams that were opened before the first dependency get their place in the tree.
    pub(super) fn use_tree(&mut self) {
        if !self.tree.is_used() {
            for id in self.streams.ids() {
                self.tree.open(id, Some(Dependency::default()));
            }
        }
    }

    fn priority_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Event<'static>>, Failure> {
        self.budget.charge(Class::Priority, 1)?;
        let id = u32_at(payload, 0) & 0x7fff_ffff;
        // RFC 9218, 7.1: on stream 0, and never about stream 0.
        if head.stream != 0 || id == 0 {
            return Err(Failure::identifier("PRIORITY_UPDATE"));
        }
        let priority = Priority::parse(payload.get(4..).unwrap_or(&[]));
        if id > self.last_stream_id {
            self.early.retain(|entry| entry.0 != id);
            if self.early.len() == MAX_EARLY {
                self.early.remove(0);
            }
            self.early.push((id, priority));
        }
        self.set_priority(id, priority);
        Ok(None)
    }

    fn reset_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Event<'static>>, Failure> {
        let id = head.stream;
        if id == 0 || self.is_idle(id) {
            return Err(Failure::identifier("RST_STREAM"));
        }
        let Some(stream) = self.streams.get(id).filter(|stream| stream.reset.is_none()).copied() else {
            self.budget.charge(Class::Ignored, 1)?;
            return Ok(None);
        };
        if stream.outgoing != Outgoing::Closed {
            self.budget.charge(Class::Reset, 1)?;
        }
        self.close_stream(id, End::ByPeer);
        Ok(Some(Event::Reset { stream: id, code: ErrorCode(u32_at(payload, 0)) }))
    }

    fn settings_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Failure> {
        if head.stream != 0 {
            return Err(Failure::identifier("SETTINGS"));
        }
        self.budget.charge(Class::Settings, 1 + (head.len / 60) as i64)?;
        if head.has(flag::ACK) {
            self.peer.acknowledged = true;
            return Ok(None);
        }
        let before = self.peer.initial_window;
        for (name, value) in parameters(payload) {
            self.peer.apply(name, value)?;
            if name == id::HEADER_TABLE_SIZE {
                self.encoder.set_max(value as usize);
            }
        }
        frame::settings_ack(out);
        let delta = self.peer.initial_window - before;
        if delta != 0 {
            self.adjust(delta);
        }
        Ok(None)
    }

    /// A new initial window changes the windows of all streams (RFC 9113, 6.9.2).
    fn adjust(&mut self, delta: i64) {
        for stream in self.streams.iter_mut().filter(|stream| stream.reset.is_none()) {
            if stream.send_window + delta > MAX_WINDOW {
                self.errors.push((stream.id, StreamError::Settings));
            } else {
                stream.send_window += delta;
            }
        }
        if delta > 0 {
            self.feed_all();
        }
    }

    fn ping_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Failure> {
        if head.stream != 0 {
            return Err(Failure::identifier("PING"));
        }
        self.budget.charge(Class::Ping, 1)?;
        let Some(payload) = payload.first_chunk::<8>() else { return Ok(None) };
        if !head.has(flag::ACK) {
            frame::ping(true, *payload, out);
        } else if self.draining && *payload == DRAIN_PING {
            self.goaway(ErrorCode::NO_ERROR, out);
            return Ok(Some(Event::Drained));
        }
        Ok(None)
    }

    fn goaway_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Event<'static>>, Failure> {
        if head.stream != 0 {
            return Err(Failure::identifier("GOAWAY"));
        }
        self.budget.charge(Class::Ignored, 1 + (head.len / 512) as i64)?;
        Ok(Some(Event::GoAway { code: ErrorCode(u32_at(payload, 4)) }))
    }

    fn window_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Failure> {
        let increment = u32_at(payload, 0) & 0x7fff_ffff;
        self.budget.charge(Class::Window, 1)?;
        if increment == 0 {
            return Err(Failure::protocol("client sent WINDOW_UPDATE frame with incorrect window increment 0"));
        }
        let more = i64::from(increment);
        if head.stream == 0 {
            let window = self.send_window;
            if window + more > MAX_WINDOW {
                let text = format!(
                    "client violated connection flow control: received WINDOW_UPDATE frame with window increment {increment} not allowed \
                     for window {window}"
                );
                return Err(Failure::new(ErrorCode::FLOW_CONTROL_ERROR, text));
            }
            self.send_window += more;
            return Ok(None);
        }
        if self.is_idle(head.stream) {
            return Err(Failure::identifier("WINDOW_UPDATE"));
        }
        let Some(stream) = self.streams.get_mut(head.stream).filter(|stream| stream.reset.is_none()) else { return Ok(None) };
        let window = stream.send_window;
        if window + more > MAX_WINDOW {
            let error = StreamError::Overflow { increment, window };
            return self.stream_error(head.stream, ErrorCode::FLOW_CONTROL_ERROR, error, out).map(Some);
        }
        stream.send_window += more;
        self.credit_stream(head.stream);
        Ok(None)
    }
}

/// Frames of a fixed size have it (RFC 9113, 6).
fn check_size(head: FrameHead) -> Result<(), Failure> {
    let (name, good) = match head.kind {
        kind::PRIORITY => ("PRIORITY", head.len == 5),
        kind::RST_STREAM => ("RST_STREAM", head.len == 4),
        kind::SETTINGS if head.has(flag::ACK) && head.len > 0 => {
            let text = "client sent SETTINGS frame with the ACK flag and nonzero length";
            return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, text));
        }
        kind::SETTINGS => ("SETTINGS", head.len.is_multiple_of(6) && head.len <= MAX_SETTINGS),
        kind::PING => ("PING", head.len == 8),
        kind::GOAWAY => ("GOAWAY", head.len >= 8),
        kind::WINDOW_UPDATE => ("WINDOW_UPDATE", head.len == 4),
        _ => ("PRIORITY_UPDATE", head.len >= 4),
    };
    if good { Ok(()) } else { Err(Failure::size(name, head.len)) }
}
