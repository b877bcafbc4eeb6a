//! Received header blocks: HEADERS and CONTINUATION.

use super::budget::Class;
use super::conn::{Block, Codec, Purpose, Reading};
use super::error::{ErrorCode, Failure};
use super::event::{BodyFault, Event, Refusal, StreamError};
use super::frame::{self, FrameHead, flag, kind};
use super::request::{RequestHead, Rules, check_trailers};
use super::step::{BlockFrames, Step};
use super::stream::{End, Incoming, Outgoing, Stream, Waiting};
use super::tree::Dependency;
use crate::hpack::HpackError;

impl Codec {
    pub(super) fn headers_frame(&mut self, head: FrameHead, payload: &[u8]) -> Step<Event<'static>> {
        let padded = usize::from(head.has(flag::PADDED));
        let prioritized = if head.has(flag::PRIORITY) { 5 } else { 0 };
        let front = padded + prioritized;
        if head.len < front {
            return Err(Failure::size("HEADERS", head.len));
        }
        if head.len == front {
            return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, "client sent HEADERS frame with empty header block"));
        }
        let Some(extra) = payload.get(..front) else { return Ok(None) };
        let pad = if padded == 1 { extra.first().copied().map_or(0, usize::from) } else { 0 };
        let len = head.len - front;
        if pad > len {
            return Err(Failure::protocol(format!("client sent padded HEADERS frame with incorrect length: {len}, padding: {pad}")));
        }
        let dependency = extra.last_chunk().filter(|_| prioritized > 0).map(|five| Dependency::parse(*five));
        let purpose = self.purpose(head, dependency)?;
        let end = head.has(flag::END_STREAM);
        let whole = payload.get(front..head.len - pad).filter(|_| head.has(flag::END_HEADERS) && purpose == Purpose::Request);
        if let Some(known) = whole.and_then(|block| self.last_head.find(block, end, self.decoder.edits())) {
            self.skip(pad);
            let event = self.admit_request(head.stream, known, end, len - pad, true);
            return Ok(Some((frame::HEAD + head.len - pad, Some(event))));
        }
        self.last_head.begin(whole.unwrap_or_default(), end, self.decoder.edits());
        self.fields.reset(matches!(purpose, Purpose::Dropped(_)));
        self.partial.clear();
        self.block = Some(Block { stream: head.stream, end, purpose, size: 0, frames: BlockFrames::default() });
        self.reading = Reading::Block { left: len - pad, pad, last: head.has(flag::END_HEADERS) };
        Ok(Some((frame::HEAD + front, None)))
    }

    fn purpose(&mut self, head: FrameHead, dependency: Option<Dependency>) -> Result<Purpose, Failure> {
        let id = head.stream;
        let known = id != 0 && !self.is_idle(id);
        // A stream that ended whole is an identifier that must not come again.
        let ended = || self.streams.end_of(id).is_some_and(|end| end != End::Whole);
        if known && (self.streams.get(id).is_some() || ended()) {
            return Ok(Purpose::Trailers);
        }
        if known && self.closing_at.is_some_and(|last| id > last) {
            self.budget.charge(Class::Ignored, 1)?;
            return Ok(Purpose::Dropped(None));
        }
        if id.is_multiple_of(2) || id <= self.last_stream_id {
            let last = self.last_stream_id;
            return Err(Failure::protocol(format!("client sent HEADERS frame with incorrect identifier {id}, the last was {last}")));
        }
        if dependency.is_some_and(|dependency| dependency.parent == id) {
            return Err(Failure::protocol(format!("client sent HEADERS frame for stream {id} with incorrect dependency")));
        }
        self.last_stream_id = id;
        if self.closing_at.is_some_and(|last| id > last) {
            self.budget.charge(Class::Ignored, 1)?;
            return Ok(Purpose::Dropped(None));
        }
        self.last = id;
        if let Some(why) = self.refusal(head) {
            self.budget.charge(Class::Reset, 1)?;
            return Ok(Purpose::Dropped(Some(why)));
        }
        self.opened_this_turn += 1;
        if dependency.is_some() {
            self.use_tree();
        }
        self.tree.open(id, dependency);
        let priority = self.early.iter().find(|entry| entry.0 == id).map(|entry| entry.1);
        self.early.retain(|entry| entry.0 > id);
        self.streams.push(Stream {
            id,
            send_window: self.peer.initial_window,
            recv_window: i64::from(self.config.window),
            window: i64::from(self.config.window),
            released: 0,
            expected: None,
            declared: 0,
            incoming: Incoming::Open,
            outgoing: Outgoing::Head,
            reset: None,
            waiting: Waiting::Nothing,
            priority,
        });
        if dependency.is_some() {
            self.rerank();
        }
        Ok(Purpose::Request)
    }

    fn refusal(&self, head: FrameHead) -> Option<Refusal> {
        let open = self.streams.len();
        if open >= self.config.max_streams {
            return Some(Refusal::Concurrent(open));
        }
        if self.opened_this_turn >= 2 * self.config.max_streams {
            return Some(Refusal::AtOnce);
        }
        // A client that does not know our window yet may fill the standard's.
        let small = self.config.window < 65_535;
        (small && !self.peer.acknowledged && !head.has(flag::END_STREAM)).then_some(Refusal::Unacknowledged)
    }

    pub(super) fn continuation(&mut self, head: FrameHead) -> Step<Event<'static>> {
        if head.kind != kind::CONTINUATION {
            return Err(Failure::protocol("client sent inappropriate frame while CONTINUATION was expected"));
        }
        let Some(block) = self.block.as_mut().filter(|block| block.stream == head.stream) else {
            return Err(Failure::identifier("CONTINUATION"));
        };
        if !block.frames.count(head) {
            return Err(Failure::new(ErrorCode::ENHANCE_YOUR_CALM, "http2 flood detected"));
        }
        self.reading = Reading::Block { left: head.len, pad: 0, last: head.has(flag::END_HEADERS) };
        Ok(Some((frame::HEAD, None)))
    }

    pub(super) fn block_part(&mut self, rest: &[u8], left: usize, pad: usize, last: bool, out: &mut Vec<u8>) -> Step<Event<'static>> {
        // What is there is looked at before the rest has come: a fault is told at once.
        let len = left.min(frame::DEFAULT_SIZE).min(rest.len());
        if len == 0 && left > 0 {
            return Ok(None);
        }
        let part = rest.get(..len).unwrap_or(&[]);
        let complete = last && len == left;
        let limit = 2 * self.config.headers.total + frame::DEFAULT_SIZE;
        let Some(block) = &mut self.block else { return Err(Failure::protocol("client sent unexpected CONTINUATION frame")) };
        block.size += len;
        if block.size > limit {
            return Err(hpack_failure(HpackError::TooLarge));
        }
        self.decode(part, complete).map_err(hpack_failure)?;
        if len < left {
            self.reading = Reading::Block { left: left - len, pad, last };
            return Ok(Some((len, None)));
        }
        self.skip(pad);
        let event = if complete { self.block_complete(out)? } else { None };
        Ok(Some((len, event)))
    }

    /// The rest of a header block has not come in time: its stream is reset, and what may still come of it only feeds the table.
    pub fn abandon_block(&mut self, out: &mut Vec<u8>) -> Option<u32> {
        let block = self.block.as_mut().filter(|block| block.purpose == Purpose::Request)?;
        let id = block.stream;
        block.purpose = Purpose::Dropped(None);
        self.fields.drop_remaining();
        self.end_by_us(id, ErrorCode::PROTOCOL_ERROR, out);
        self.close(id, out);
        Some(id)
    }

    fn decode(&mut self, part: &[u8], complete: bool) -> Result<(), HpackError> {
        self.decoder.decode_part(part, complete, &self.config.headers, &mut self.partial, &mut self.fields)
    }

    fn block_complete(&mut self, out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Failure> {
        let Some(block) = self.block.take() else { return Ok(None) };
        match block.purpose {
            Purpose::Request => Ok(Some(self.request(block))),
            Purpose::Trailers => self.trailers_in(block, out),
            Purpose::Dropped(None) => Ok(None),
            Purpose::Dropped(Some(why)) => {
                frame::rst_stream(block.stream, ErrorCode::REFUSED_STREAM, out);
                self.streams.ended(block.stream, End::ByUs);
                Ok(Some(Event::Refused { stream: block.stream, reason: why }))
            }
        }
    }

    fn request(&mut self, block: Block) -> Event<'static> {
        let rules = Rules { connect_protocol: self.config.connect_protocol, end: block.end };
        let head = RequestHead::read(&self.fields, rules);
        if head.fault.is_none() && self.last_head.is_current(self.decoder.edits()) {
            self.last_head.store(head);
        }
        self.admit_request(block.stream, head, block.end, block.size, false)
    }

    fn admit_request(&mut self, id: u32, head: RequestHead, end: bool, size: usize, again: bool) -> Event<'static> {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.incoming = Incoming::after(end, head.fault.is_some());
            // The frame overrides the field (RFC 9218, 7).
            stream.priority = stream.priority.or(head.priority);
            // Behind CONNECT there is no body with a length (RFC 9113, 8.5).
            stream.expected = head.content_length.filter(|_| head.protocol.is_none());
            stream.declared = head.content_length.unwrap_or(0);
        }
        Event::Request { stream: id, head, end, size, again }
    }

    fn trailers_in(&mut self, block: Block, out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Failure> {
        let id = block.stream;
        let Some(stream) = self.streams.get_mut(id) else {
            let end = self.streams.end_of(id);
            return self.frame_on_closed(id, end, "HEADERS", out).map(|()| None);
        };
        if stream.reset.is_some() {
            let end = stream.reset;
            return self.frame_on_closed(id, end, "HEADERS", out).map(|()| None);
        }
        if stream.incoming == Incoming::Closed {
            return self.stream_error(id, ErrorCode::STREAM_CLOSED, StreamError::HeadersHalfClosed, out).map(Some);
        }
        if !block.end {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR, StreamError::Trailers, out).map(Some);
        }
        if std::mem::replace(&mut stream.incoming, Incoming::Closed) == Incoming::Discarded {
            return Ok(None);
        }
        let declared = stream.declared;
        let short = stream.expected.filter(|rest| *rest > 0);
        let body = short.map(|rest| BodyFault::TooShort { received: declared - rest, declared });
        let fault = check_trailers(&self.fields).err();
        if fault.is_some() || body.is_some() {
            self.budget.charge(Class::Reset, 1)?;
        }
        Ok(Some(Event::Trailers { stream: id, fault, body }))
    }
}

/// The code and the text that nginx has for what is wrong with a block.
fn hpack_failure(error: HpackError) -> Failure {
    let (code, text) = match error {
        HpackError::Index(at) => {
            let text = format!("client sent out of bound hpack table index: {at}");
            return Failure::new(ErrorCode::COMPRESSION_ERROR, text);
        }
        HpackError::TableSize(size) => {
            let text = format!("client sent invalid table size update: {size}");
            return Failure::new(ErrorCode::COMPRESSION_ERROR, text);
        }
        HpackError::ZeroIndex => (ErrorCode::COMPRESSION_ERROR, "client sent invalid hpack table index 0"),
        HpackError::LateTableSize => (ErrorCode::COMPRESSION_ERROR, "client sent table size update behind a header field"),
        HpackError::LongTableSize => (ErrorCode::COMPRESSION_ERROR, "client sent header block with too long size update value"),
        HpackError::LongIndex => (ErrorCode::COMPRESSION_ERROR, "client sent header block with too long header index value"),
        HpackError::LongLength => (ErrorCode::COMPRESSION_ERROR, "client sent header field with too long length value"),
        HpackError::Huffman => (ErrorCode::COMPRESSION_ERROR, "client sent invalid encoded header field"),
        HpackError::EmptyName => (ErrorCode::PROTOCOL_ERROR, "client sent zero header name length"),
        // nginx says FRAME_SIZE_ERROR to both; RFC 9113, 4.3 wants this.
        HpackError::Truncated => (ErrorCode::COMPRESSION_ERROR, "client sent header field with incorrect length"),
        HpackError::TruncatedInteger => (ErrorCode::FRAME_SIZE_ERROR, "client sent header block with incorrect length"),
        HpackError::StringTooLarge => (ErrorCode::ENHANCE_YOUR_CALM, "client sent too large header field"),
        HpackError::TooLarge => (ErrorCode::ENHANCE_YOUR_CALM, "client sent too large header"),
    };
    Failure::new(code, text)
}
