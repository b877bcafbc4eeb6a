//! Received field sections: request heads and trailers.

use super::conn::{Codec, KnownSection};
use super::error::{Code, Failure};
use super::event::Event;
use super::request::Step;
use super::stream::{Phase, Reading};
use crate::h2::request::{Malformed, RequestHead, Rules, check_trailers};
use crate::qpack::{Section, SectionError};

/// The overhead of each line of a section besides name and value.
const LINE: usize = 8;

impl Codec {
    /// A section above this has too much in it in any case.
    pub(super) fn section_limit(&self) -> u64 {
        let limits = &self.config.headers;
        limits.total.saturating_add(limits.fields.min(1 << 16).saturating_mul(LINE)).saturating_add(1024) as u64
    }

    /// Takes what is there of a section; decodes it once it is whole.
    pub(super) fn section<'i>(&mut self, place: usize, rest: &'i [u8], end: bool) -> Step<'i> {
        let limit = self.section_limit();
        let Some(request) = self.requests.get_mut(place) else { return Ok((rest.len(), None)) };
        let left = if let Reading::Section(left) = request.reading { left } else { 0 };
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let part = rest.get(..len).unwrap_or_default();
        let done = len as u64 == left;
        let ends = end && len == rest.len();
        request.reading = if done { Reading::Head } else { Reading::Section(left - len as u64) };
        request.size += len;
        if request.deaf && request.phase == Phase::Head && left > 0 {
            // Too long to be looked at: it is refused at once, and the rest is skipped.
            request.phase = Phase::Body;
            request.reading = if done { Reading::Head } else { Reading::Skip(left - len as u64) };
            let head = RequestHead { fault: Some(Malformed::TooLarge), ..RequestHead::default() };
            let size = request.size;
            self.count(len, 0)?;
            self.last_head.clear();
            self.fields.reset(false);
            return Ok((len, Some(Event::Request { head, end: false, size, again: false })));
        }
        if left > limit {
            // Trailers.
            request.reading = if done { Reading::Head } else { Reading::Skip(left - len as u64) };
            request.phase = Phase::Trailed;
            return Ok((len, Some(Event::Trailers { fault: Some(Malformed::TooLarge), body: None })));
        }
        let whole = if done && request.section.is_empty() {
            part
        } else {
            request.section.extend_from_slice(part);
            if !done {
                self.count(len, 0)?;
                return Ok((len, None));
            }
            &[]
        };
        self.count(len, 0)?;
        self.decode(place, whole, ends).map(|event| (len, event))
    }

    /// Decodes a section: `whole`, or what was put together before.
    pub(super) fn decode(&mut self, place: usize, whole: &[u8], end: bool) -> Result<Option<Event<'static>>, Failure> {
        let Some(request) = self.requests.get_mut(place) else { return Ok(None) };
        let id = request.id;
        let gathered = std::mem::take(&mut request.section);
        let section = if gathered.is_empty() { whole } else { &gathered };
        let (edits, first) = (self.decoder.edits_before(section), request.phase == Phase::Head);
        if let Some(known) = self.last_head.find(section, end, edits).filter(|_| first) {
            request.waits = false;
            self.decoder.acknowledge(id, known.required, &mut self.decoder_out);
            self.count(0, known.useful)?;
            return Ok(self.accept(place, known.head, end, true));
        }
        self.last_head.begin(if first { section } else { &[] }, end, edits);
        self.fields.reset(false);
        let result = self.decoder.decode(section, &self.config.headers, &mut self.fields);
        request.waits = false;
        let (mut large, mut found) = (None, (0, 0));
        match result {
            Ok(Section::Decoded { required }) => {
                self.decoder.acknowledge(id, required, &mut self.decoder_out);
                let names: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
                self.count(0, names)?;
                found = (required, names);
            }
            Ok(Section::Blocked { required }) => {
                if self.blocked.len() >= self.config.max_streams {
                    let text = "client exceeded http3_max_blocked_streams limit";
                    return Err(Failure { reason: "too many blocked streams", ..Failure::new(Code::DECOMPRESSION_FAILED, text) });
                }
                request.waits = true;
                request.section = if gathered.is_empty() { whole.to_vec() } else { gathered };
                if !self.blocked.iter().any(|blocked| blocked.0 == id) {
                    self.blocked.push((id, required));
                }
                return Ok(Some(Event::Blocked));
            }
            Err(SectionError::Failed(text)) => {
                self.decoder.cancel(id, &mut self.decoder_out);
                return Err(Failure::new(Code::DECOMPRESSION_FAILED, text));
            }
            Err(SectionError::StringTooLarge) => large = Some(Malformed::TooLargeLine),
            Err(SectionError::TooLarge) => large = Some(Malformed::TooLarge),
        }
        if large.is_some() {
            self.decoder.cancel(id, &mut self.decoder_out);
        }
        let Some(request) = self.requests.get(place) else { return Ok(None) };
        Ok(if request.phase == Phase::Head { self.head(place, large, end, found) } else { self.trailers(place, large) })
    }

    fn head(&mut self, place: usize, large: Option<Malformed>, end: bool, found: (u64, usize)) -> Option<Event<'static>> {
        let rules = Rules { connect_protocol: self.config.connect_protocol, end };
        let mut head = match large {
            Some(fault) => RequestHead { fault: Some(fault), ..RequestHead::default() },
            None => RequestHead::read(&self.fields, rules),
        };
        if large.is_some() {
            self.fields.reset(false);
            head.pseudo = 0;
        }
        if head.fault.is_none() {
            self.last_head.store(KnownSection { head, required: found.0, useful: found.1 });
        }
        self.accept(place, head, end, false)
    }

    fn accept(&mut self, place: usize, head: RequestHead, end: bool, again: bool) -> Option<Event<'static>> {
        let request = self.requests.get_mut(place)?;
        let tunnel = head.protocol.is_some() && head.fault.is_none();
        request.phase = match (end, tunnel) {
            (true, _) => Phase::Ended,
            (false, true) => Phase::Tunnel,
            (false, false) => Phase::Body,
        };
        // The frame overrides the field (RFC 9218, 7).
        request.priority = request.priority.or(head.priority);
        request.expected = head.content_length.filter(|_| !tunnel);
        request.declared = head.content_length.unwrap_or(0);
        request.deaf = head.fault.is_some();
        Some(Event::Request { head, end, size: request.size, again })
    }

    fn trailers(&mut self, place: usize, large: Option<Malformed>) -> Option<Event<'static>> {
        let request = self.requests.get_mut(place)?;
        request.phase = Phase::Trailed;
        if request.deaf {
            return None;
        }
        let body = request.missing();
        let fault = large.or_else(|| check_trailers(&self.fields).err());
        Some(Event::Trailers { fault, body })
    }
}
