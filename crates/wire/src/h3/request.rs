//! Request streams: frames, and content.

use super::conn::{Codec, EMPTY};
use super::error::{Code, Failure};
use super::event::{BodyFault, Event, Poll};
use super::frame::{FrameHead, kind};
use super::stream::{Phase, Reading};
use crate::h2::budget::Class;

/// How far a step came, and what happened.
pub(super) type Step<'i> = Result<(usize, Option<Event<'i>>), Failure>;

impl Codec {
    /// Takes what came on the stream of a request, up to the next event; `end`: the stream ends behind it. What was not used must be handed in
    /// again. Once all is used and there was no event, more is needed.
    ///
    /// # Errors
    /// The connection must end.
    pub fn receive<'i>(&mut self, id: u64, data: &'i [u8], end: bool) -> Result<Poll<'i>, Failure> {
        let mut used = 0;
        loop {
            let Ok(place) = self.place(id) else { return Ok(Poll { used: data.len(), event: None }) };
            let rest = data.get(used..).unwrap_or_default();
            let (len, event) = self.step(place, rest, end)?;
            used += len;
            let idle = len == 0 && rest.is_empty();
            if event.is_some() || idle {
                return Ok(Poll { used, event });
            }
        }
    }

    fn step<'i>(&mut self, place: usize, rest: &'i [u8], end: bool) -> Step<'i> {
        let Some(request) = self.requests.get_mut(place) else { return Ok((rest.len(), None)) };
        if request.waits {
            return self.decode(place, &[], end && rest.is_empty()).map(|event| (0, event));
        }
        match request.reading {
            Reading::Section(_) if !rest.is_empty() => self.section(place, rest, end),
            Reading::Data(left) if !rest.is_empty() => self.content(place, rest, left),
            Reading::Skip(left) if !rest.is_empty() => {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                request.reading = if left == len as u64 { Reading::Head } else { Reading::Skip(left - len as u64) };
                self.count(len, 0)?;
                Ok((len, None))
            }
            Reading::Head if !rest.is_empty() => {
                let (used, head) = request.head.read(rest);
                request.size += used;
                self.count(used, 0)?;
                if let Some(head) = head {
                    self.frame(place, head)?;
                }
                Ok((used, None))
            }
            _ if end => self.ended(place).map(|event| (0, event)),
            _ => Ok((0, None)),
        }
    }

    fn frame(&mut self, place: usize, head: FrameHead) -> Result<(), Failure> {
        let limit = self.section_limit();
        let Some(request) = self.requests.get_mut(place) else { return Ok(()) };
        let FrameHead { kind, len } = head;
        match kind {
            kind::DATA if matches!(request.phase, Phase::Body | Phase::Tunnel) => {
                match usize::try_from(len) {
                    Ok(0) => self.budget.charge(Class::SmallData, EMPTY)?,
                    len => self.budget.data(len.unwrap_or(usize::MAX), false)?,
                }
                request.reading = if len == 0 { Reading::Head } else { Reading::Data(len) };
            }
            kind::HEADERS if matches!(request.phase, Phase::Head | Phase::Body) => {
                if len == 0 {
                    return Err(Failure::size("HEADERS"));
                }
                if len > limit {
                    request.deaf = true;
                }
                request.reading = Reading::Section(len);
            }
            kind::DATA
            | kind::HEADERS
            | kind::CANCEL_PUSH
            | kind::SETTINGS
            | kind::PUSH_PROMISE
            | kind::GOAWAY
            | kind::MAX_PUSH_ID
            | kind::PRIORITY_UPDATE
            | kind::PRIORITY_UPDATE_PUSH => return Err(Failure::unexpected(kind)),
            _ if kind::is_reserved(kind) => return Err(Failure::unexpected(kind)),
            _ => {
                let cost = i64::try_from(len / 512).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
                self.budget.charge(Class::Ignored, 1 + cost)?;
                request.reading = if len == 0 { Reading::Head } else { Reading::Skip(len) };
            }
        }
        Ok(())
    }

    fn content<'i>(&mut self, place: usize, rest: &'i [u8], left: u64) -> Step<'i> {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        self.count(len, len)?;
        let Some(request) = self.requests.get_mut(place) else { return Ok((len, None)) };
        request.reading = if left == len as u64 { Reading::Head } else { Reading::Data(left - len as u64) };
        if request.deaf {
            return Ok((len, None));
        }
        let data = rest.get(..len).unwrap_or_default();
        let mut fault = None;
        // What is announced counts: nginx refuses such a frame before its content.
        if let Some(expected) = request.expected {
            request.expected = Some(expected.saturating_sub(len as u64));
            if left > expected {
                (request.deaf, fault) = (true, Some(BodyFault::TooLong));
            }
        }
        let data = if fault.is_some() { &[][..] } else { data };
        Ok((len, Some(Event::Data { data, fault })))
    }

    fn ended(&mut self, place: usize) -> Result<Option<Event<'static>>, Failure> {
        let Some(request) = self.requests.get_mut(place) else { return Ok(None) };
        if request.reading != Reading::Head || request.head.is_inside() {
            // RFC 9114, 7.1; a stream that is reset in the middle of a frame is no error.
            return Err(Failure::new(Code::FRAME_ERROR, "client prematurely closed stream"));
        }
        let event = match request.phase {
            Phase::Ended => return Ok(None),
            Phase::Head => {
                self.budget.charge(Class::Reset, 1)?;
                request.deaf = true;
                Some(Event::Incomplete)
            }
            Phase::Body if !request.deaf => Some(Event::End { fault: request.missing() }),
            Phase::Tunnel => Some(Event::End { fault: None }),
            Phase::Body | Phase::Trailed => None,
        };
        request.phase = Phase::Ended;
        Ok(event)
    }
}
