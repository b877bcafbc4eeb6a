//! Received content: DATA frames, their padding and the windows.

use crate::h2::budget::Class;
use crate::h2::conn::{Codec, Reading};
use crate::h2::error::{ErrorCode, Failure};
use crate::h2::event::{BodyFault, Event, StreamError};
use crate::h2::frame::{self, FrameHead, flag};
use crate::h2::settings::MAX_WINDOW;
use crate::h2::step::Step;
use crate::h2::stream::Incoming;

impl Codec {
    pub(super) fn data_frame(&mut self, head: FrameHead, payload: &[u8], out: &mut Vec<u8>) -> Step<Event<'static>> {
        let (mut left, mut pad, mut used) = (head.len, 0, frame::HEAD);
        if head.has(flag::PADDED) {
            if head.len == 0 {
                let text = "client sent padded DATA frame with incorrect length: 0";
                return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, text));
            }
            let Some(&first) = payload.first() else { return Ok(None) };
            pad = usize::from(first);
            if pad >= head.len {
                let len = head.len;
                return Err(Failure::protocol(format!("client sent padded DATA frame with incorrect length: {len}, padding: {pad}")));
            }
            left -= pad + 1;
            used += 1;
        }
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(Failure::identifier("DATA"));
        }
        self.budget.data(left, head.has(flag::END_STREAM))?;
        self.take_window(head.len, out)?;
        let end = head.has(flag::END_STREAM);
        let (deliver, event) = self.accept_data(head, head.len - left, out)?;
        self.reading = Reading::Data { stream: head.stream, left, pad, end, deliver };
        if left == 0 && !(deliver && end) {
            self.skip(pad);
        }
        Ok(Some((used, event)))
    }

    /// The connection's window is given back at once, as in nginx: streams' windows are what holds a peer back.
    fn take_window(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        let window = self.recv_window;
        self.recv_window -= len as i64;
        if self.recv_window < 0 {
            let text = format!("client violated connection flow control: received DATA frame length {len}, available window {window}");
            return Err(Failure::new(ErrorCode::FLOW_CONTROL_ERROR, text));
        }
        if self.recv_window < MAX_WINDOW / 4 {
            frame::window_update(0, u32::try_from(MAX_WINDOW - self.recv_window).unwrap_or(0), out);
            self.recv_window = MAX_WINDOW;
        }
        Ok(())
    }

    /// Whether the content of a DATA frame is wanted, of which `padding` bytes are none.
    fn accept_data(&mut self, head: FrameHead, padding: usize, out: &mut Vec<u8>) -> Result<(bool, Option<Event<'static>>), Failure> {
        let id = head.stream;
        let Some(stream) = self.streams.get_mut(id) else {
            let end = self.streams.end_of(id);
            return self.frame_on_closed(id, end, "DATA", out).map(|()| (false, None));
        };
        if let Some(end) = stream.reset {
            return self.frame_on_closed(id, Some(end), "DATA", out).map(|()| (false, None));
        }
        let window = stream.recv_window;
        if head.len as i64 > window {
            let error = StreamError::Window { len: head.len, window };
            return self.stream_error(id, ErrorCode::FLOW_CONTROL_ERROR, error, out).map(|event| (false, Some(event)));
        }
        stream.recv_window -= head.len as i64;
        if stream.incoming == Incoming::Closed {
            return self.stream_error(id, ErrorCode::STREAM_CLOSED, StreamError::HalfClosed, out).map(|event| (false, Some(event)));
        }
        if stream.incoming == Incoming::Discarded {
            let (end, declared) = (head.has(flag::END_STREAM), stream.declared);
            stream.incoming = Incoming::after(end, true);
            // What nobody reads still has to be as long as the request says (RFC 9113, 8.1.1). The stream ends behind its answer.
            let rest = stream.expected.map(|expected| expected.checked_sub((head.len - padding) as u64));
            stream.expected = rest.flatten();
            let fault = rest.and_then(|rest| match rest {
                None => Some(BodyFault::TooLong),
                Some(rest) if rest > 0 && end => Some(BodyFault::TooShort { received: declared - rest, declared }),
                Some(_) => None,
            });
            if fault.is_none() {
                return Ok((false, None));
            }
            self.budget.charge(Class::Reset, 1)?;
            return Ok((false, Some(Event::Data { stream: id, data: &[], end, fault })));
        }
        stream.released = stream.released.saturating_add(u32::try_from(padding).unwrap_or(u32::MAX));
        Ok((true, None))
    }

    pub(super) fn content<'i>(&mut self, rest: &'i [u8], out: &mut Vec<u8>) -> Step<Event<'i>> {
        let Reading::Data { stream: id, left, pad, end, deliver } = self.reading else { return Ok(Some((0, None))) };
        let data = rest.get(..left.min(rest.len())).unwrap_or(&[]);
        if data.is_empty() && left > 0 {
            return Ok(None);
        }
        let left = left - data.len();
        if left == 0 {
            self.skip(pad);
        } else {
            self.reading = Reading::Data { stream: id, left, pad, end, deliver };
        }
        let Some(stream) = self.streams.get_mut(id).filter(|stream| deliver && stream.reset.is_none() && stream.incoming == Incoming::Open)
        else {
            return Ok(Some((data.len(), None)));
        };
        let end = end && left == 0;
        let mut fault = None;
        if let Some(expected) = &mut stream.expected {
            match expected.checked_sub(data.len() as u64) {
                None => fault = Some(BodyFault::TooLong),
                Some(rest) if rest > 0 && end => {
                    fault = Some(BodyFault::TooShort { received: stream.declared - rest, declared: stream.declared });
                }
                Some(rest) => *expected = rest,
            }
        }
        stream.incoming = Incoming::after(end, fault.is_some());
        if fault.is_some() {
            // The request is given up, which the peer could provoke again and again (CVE-2025-8671).
            self.budget.charge(Class::Reset, 1)?;
        }
        self.release(id, 0, out);
        Ok(Some((data.len(), Some(Event::Data { stream: id, data, end, fault }))))
    }
}
