//! A server's frames.

use super::super::budget::Class;
use super::super::error::{ErrorCode, Failure};
use super::super::frame::{self, FrameHead, flag, kind, u32_at};
use super::super::settings::{MAX_WINDOW, id, parameters};
use super::super::step::{Step, until_event};
use super::{Client, Event, Poll, Reading, ResponseState, flood};

/// Below this, windows are filled again.
const LOW: i64 = MAX_WINDOW / 4;

impl Client {
    /// Takes what the server sent, up to the next event. What was not used must be handed in again, with more behind it. Answers of the
    /// protocol itself are appended to `out`. A caller that cannot send should not read either: then `out` stays small.
    ///
    /// # Errors
    /// The connection is over.
    pub fn poll<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Result<Poll<'i>, Failure> {
        if self.failed {
            return Ok(Poll { used: input.len(), event: None });
        }
        match until_event(input, |rest| self.step(rest, out)) {
            Ok((used, event)) => Ok(Poll { used, event }),
            Err(failure) => {
                self.failed = true;
                Err(failure)
            }
        }
    }

    fn step<'i>(&mut self, rest: &'i [u8], out: &mut Vec<u8>) -> Step<Event<'i>> {
        match self.reading {
            Reading::Head => self.frame(rest, out),
            Reading::Data { left, pad, end } => Ok(self.content(rest, left, pad, end)),
            Reading::Block { left, pad, last } => self.block_part(rest, left, pad, last),
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

    fn frame(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Step<Event<'static>> {
        // A server that sends too much is told by its first bytes.
        if let Some(&[a, b, c]) = rest.first_chunk() {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > frame::DEFAULT_SIZE {
                return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, format!("upstream sent too large http2 frame: {len}")));
            }
        }
        let Some(head) = FrameHead::parse(rest) else { return Ok(None) };
        self.allows(head)?;
        let payload = rest.get(frame::HEAD..).unwrap_or(&[]);
        match head.kind {
            kind::DATA => self.data_frame(head, payload, out),
            kind::HEADERS => self.headers_frame(head, payload),
            kind::CONTINUATION => self.continuation(head),
            kind::PUSH_PROMISE => Err(Failure::protocol("upstream sent unexpected push promise frame")),
            kind::RST_STREAM | kind::SETTINGS | kind::PING | kind::GOAWAY | kind::WINDOW_UPDATE => {
                check_size(head)?;
                let need = if head.kind == kind::GOAWAY { 8 } else { head.len };
                let Some(payload) = payload.get(..need) else { return Ok(None) };
                self.skip(head.len - need);
                self.control(head, payload, out)?;
                Ok(Some((frame::HEAD + need, None)))
            }
            _ => {
                self.charge(Class::Ignored, 1 + (head.len / 512) as i64)?;
                self.skip(head.len);
                Ok(Some((frame::HEAD, None)))
            }
        }
    }

    /// Whether a frame of this kind and stream may come now.
    fn allows(&self, head: FrameHead) -> Result<(), Failure> {
        let continued = head.kind == kind::CONTINUATION;
        let early = head.kind == kind::DATA && self.stream.response == ResponseState::Head;
        if continued != self.block.is_some() || early {
            return Err(Failure::protocol(format!("upstream sent unexpected http2 frame: {}", head.kind)));
        }
        let id = head.stream;
        if matches!(head.kind, kind::DATA | kind::HEADERS | kind::CONTINUATION) && id != self.stream.id {
            let what = if head.kind == kind::DATA { "data frame" } else { "frame" };
            return Err(Failure::protocol(format!("upstream sent {what} for unknown stream {id}")));
        }
        // Of earlier requests there may be something left on its way.
        let known = id == 0 || id == self.stream.id || (id < self.stream.id && !id.is_multiple_of(2));
        if !known {
            return Err(Failure::protocol(format!("upstream sent frame for unknown stream {id}")));
        }
        if self.stream.is_answered() && matches!(head.kind, kind::DATA | kind::HEADERS) {
            return Err(Failure::new(ErrorCode::STREAM_CLOSED, format!("upstream sent frame for closed stream {id}")));
        }
        Ok(())
    }

    fn control(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        match head.kind {
            kind::RST_STREAM => self.reset_frame(head, payload),
            kind::SETTINGS => self.settings_frame(head, payload, out),
            kind::PING => self.ping_frame(head, payload, out),
            kind::GOAWAY => self.goaway_frame(head, payload),
            _ => self.window_frame(head, payload),
        }
    }

    fn data_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Step<Event<'static>> {
        let (mut left, mut pad, mut used) = (head.len, 0, frame::HEAD);
        if head.has(flag::PADDED) {
            if head.len == 0 {
                return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, "upstream sent too short http2 frame"));
            }
            let Some(&first) = payload.first() else { return Ok(None) };
            pad = usize::from(first);
            left -= 1;
            if pad > left {
                return Err(too_long_padding(pad, left));
            }
            left -= pad;
            used += 1;
        }
        let end = head.has(flag::END_STREAM);
        self.budget.data(left, end).map_err(flood)?;
        self.take_window(head.len, out)?;
        self.reading = Reading::Data { left, pad, end };
        if left == 0 && !end {
            self.skip(pad);
        }
        Ok(Some((used, None)))
    }

    fn take_window(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        for (what, window) in [("stream", self.stream.recv_window), ("connection", self.recv_window)] {
            if len as i64 > window {
                let text = format!("upstream violated {what} flow control, received {len} data frame with window {window}");
                return Err(Failure::new(ErrorCode::FLOW_CONTROL_ERROR, text));
            }
        }
        self.stream.recv_window -= len as i64;
        self.recv_window -= len as i64;
        if self.recv_window < LOW || self.stream.recv_window < LOW {
            for (id, window) in [(0, &mut self.recv_window), (self.stream.id, &mut self.stream.recv_window)] {
                let spent = u32::try_from(MAX_WINDOW - *window).unwrap_or(0);
                if spent > 0 {
                    frame::window_update(id, spent, out);
                }
                *window = MAX_WINDOW;
            }
        }
        Ok(())
    }

    fn content<'i>(&mut self, rest: &'i [u8], left: usize, pad: usize, end: bool) -> Option<(usize, Option<Event<'i>>)> {
        let data = rest.get(..left.min(rest.len())).unwrap_or(&[]);
        if data.is_empty() && left > 0 {
            return None;
        }
        let left = left - data.len();
        let end_here = end && left == 0;
        if left == 0 {
            self.skip(pad);
        } else {
            self.reading = Reading::Data { left, pad, end };
        }
        if end_here {
            self.stream.response = ResponseState::Complete;
        }
        Some((data.len(), Some(Event::Data { data, end: end_here })))
    }

    fn reset_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Failure> {
        if head.stream != self.stream.id || head.stream == 0 {
            return self.charge(Class::Ignored, 1);
        }
        let code = ErrorCode(u32_at(payload, 0));
        // A server that has answered may say that it wants no more of the request (RFC 9113, 8.1).
        if code != ErrorCode::NO_ERROR || !self.stream.is_answered() {
            self.unprocessed = code == ErrorCode::REFUSED_STREAM && self.stream.response == ResponseState::Head;
            return Err(Failure::new(code, format!("upstream rejected request with error {}", code.0)));
        }
        if self.stream.response == ResponseState::Reset {
            return Err(Failure::new(ErrorCode::STREAM_CLOSED, format!("upstream sent frame for closed stream {}", head.stream)));
        }
        self.stream.response = ResponseState::Reset;
        Ok(())
    }

    fn settings_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        if head.has(flag::ACK) {
            return Ok(());
        }
        self.count_owed("settings")?;
        for (name, value) in parameters(payload) {
            match name {
                id::HEADER_TABLE_SIZE => self.encoder.set_max(value as usize),
                id::INITIAL_WINDOW_SIZE => self.first_window_is(value)?,
                _ => {}
            }
        }
        frame::settings_ack(out);
        Ok(())
    }

    fn first_window_is(&mut self, value: u32) -> Result<(), Failure> {
        let window = self.stream.send_window + i64::from(value) - self.first_window;
        if i64::from(value) > MAX_WINDOW || window > MAX_WINDOW {
            let text = format!("upstream sent settings frame with too large initial window size: {value}");
            return Err(Failure::new(ErrorCode::FLOW_CONTROL_ERROR, text));
        }
        self.stream.send_window = window;
        self.first_window = i64::from(value);
        Ok(())
    }

    fn ping_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        if head.has(flag::ACK) {
            return Err(Failure::protocol("upstream sent ping frame with ack flag"));
        }
        self.count_owed("ping")?;
        if let Some(payload) = payload.first_chunk() {
            frame::ping(true, *payload, out);
        }
        Ok(())
    }

    fn goaway_frame(&mut self, _: FrameHead, payload: &[u8]) -> Result<(), Failure> {
        self.charge(Class::Ignored, 1)?;
        self.leaving = true;
        let (last, code) = (u32_at(payload, 0) & 0x7fff_ffff, u32_at(payload, 4));
        if last >= self.stream.id {
            return Ok(());
        }
        self.unprocessed = self.stream.response == ResponseState::Head;
        Err(Failure::new(ErrorCode(code), format!("upstream sent goaway with error {code}")))
    }

    fn window_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Failure> {
        self.charge(Class::Window, 1)?;
        let increment = i64::from(u32_at(payload, 0) & 0x7fff_ffff);
        if increment == 0 {
            return Err(Failure::protocol("upstream sent zero window update"));
        }
        let window = match head.stream {
            0 => &mut self.send_window,
            id if id == self.stream.id => &mut self.stream.send_window,
            _ => return Ok(()),
        };
        if *window + increment > MAX_WINDOW {
            return Err(Failure::new(ErrorCode::FLOW_CONTROL_ERROR, "upstream sent too large window update"));
        }
        *window += increment;
        Ok(())
    }
}

pub(super) fn too_long_padding(pad: usize, len: usize) -> Failure {
    Failure::protocol(format!("upstream sent http2 frame with too long padding: {pad} in frame {len}"))
}

/// Frames of a fixed size have it, and frames of the connection stand on no stream (RFC 9113, 6).
fn check_size(head: FrameHead) -> Result<(), Failure> {
    let FrameHead { len, stream, .. } = head;
    let (name, good) = match head.kind {
        kind::RST_STREAM => ("rst stream", len == 4),
        kind::SETTINGS => ("settings", len.is_multiple_of(6)),
        kind::PING => ("ping", len == 8),
        kind::GOAWAY => ("goaway", len >= 8),
        _ => ("window update", len == 4),
    };
    if stream != 0 && matches!(head.kind, kind::SETTINGS | kind::PING | kind::GOAWAY) {
        return Err(Failure::protocol(format!("upstream sent {name} frame with non-zero stream id: {stream}")));
    }
    if head.kind == kind::SETTINGS && head.has(flag::ACK) && len > 0 {
        let text = format!("upstream sent settings frame with ack flag and non-zero length: {len}");
        return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, text));
    }
    if good {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, format!("upstream sent {name} frame with invalid length: {len}")))
}
