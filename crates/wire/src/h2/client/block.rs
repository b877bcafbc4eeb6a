//! A server's header blocks: HEADERS and CONTINUATION, as a head or as trailers.

use super::super::error::{ErrorCode, Failure};
use super::super::frame::{self, FrameHead, flag};
use super::super::step::{BlockFrames, Step};
use super::receive::too_long_padding;
use super::{Block, Client, Event, Reading, ResponseState};
use crate::hpack::HpackError;
use crate::hpack::tables::STATIC;

impl Client {
    pub(super) fn headers_frame(&mut self, head: FrameHead, payload: &[u8]) -> Step<Event<'static>> {
        let padded = usize::from(head.has(flag::PADDED));
        let front = padded + if head.has(flag::PRIORITY) { 5 } else { 0 };
        let Some(len) = head.len.checked_sub(front) else {
            let text = format!("upstream sent headers frame with invalid length: {}", head.len);
            return Err(Failure::new(ErrorCode::FRAME_SIZE_ERROR, text));
        };
        let Some(extra) = payload.get(..front) else { return Ok(None) };
        let pad = if padded == 1 { extra.first().copied().map_or(0, usize::from) } else { 0 };
        if pad > len {
            return Err(too_long_padding(pad, len));
        }
        self.fields.reset(false);
        self.partial.clear();
        self.block = Some(Block { end: head.has(flag::END_STREAM), frames: BlockFrames::default() });
        self.reading = Reading::Block { left: len - pad, pad, last: head.has(flag::END_HEADERS) };
        Ok(Some((frame::HEAD + front, None)))
    }

    pub(super) fn continuation(&mut self, head: FrameHead) -> Step<Event<'static>> {
        let Some(block) = &mut self.block else { return Ok(None) };
        if !block.frames.count(head) {
            return Err(Failure::new(ErrorCode::ENHANCE_YOUR_CALM, "upstream sent too many http2 frames"));
        }
        self.reading = Reading::Block { left: head.len, pad: 0, last: head.has(flag::END_HEADERS) };
        Ok(Some((frame::HEAD, None)))
    }

    pub(super) fn block_part(&mut self, rest: &[u8], left: usize, pad: usize, last: bool) -> Step<Event<'static>> {
        let len = left.min(rest.len());
        if len == 0 && left > 0 {
            return Ok(None);
        }
        let complete = last && len == left;
        let part = rest.get(..len).unwrap_or(&[]);
        self.decoder.decode_part(part, complete, &self.limits, &mut self.partial, &mut self.fields).map_err(hpack_failure)?;
        // A field that goes on for longer than all may have is refused before its end.
        if self.partial.len() > 2 * self.limits.total + frame::DEFAULT_SIZE {
            return Err(hpack_failure(HpackError::TooLarge));
        }
        if len < left {
            self.reading = Reading::Block { left: left - len, pad, last };
            return Ok(Some((len, None)));
        }
        self.skip(pad);
        let event = if complete { Some(self.block_complete()?) } else { None };
        Ok(Some((len, event)))
    }

    fn block_complete(&mut self) -> Result<Event<'static>, Failure> {
        let end = self.block.take().is_some_and(|block| block.end);
        if self.fields.overflowed() {
            return Err(hpack_failure(HpackError::TooLarge));
        }
        check_fields(self.fields.iter())?;
        if self.stream.response == ResponseState::Body {
            if let Some((name, value)) = self.fields.iter().find(|(name, _)| name.starts_with(b":")) {
                return Err(Failure::protocol(format!("upstream sent invalid trailer \"{}\"", display(name, value))));
            }
            if !end {
                return Err(Failure::protocol("upstream sent trailer without end stream flag"));
            }
            self.stream.response = ResponseState::Complete;
            return Ok(Event::Trailers);
        }
        let status = status(self.fields.iter())?;
        if status < 200 && end {
            return Err(Failure::protocol("upstream prematurely closed stream"));
        }
        if status >= 200 {
            self.stream.response = if end { ResponseState::Complete } else { ResponseState::Body };
        }
        Ok(Event::Head { status, end })
    }
}

fn display(name: &[u8], value: &[u8]) -> String {
    format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
}

/// Names and values that could pass for something else behind us are refused.
fn check_fields<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Result<(), Failure> {
    for (name, value) in fields {
        let bad = |(at, byte): (usize, &u8)| *byte <= b' ' || *byte == 0x7f || byte.is_ascii_uppercase() || (*byte == b':' && at > 0);
        if name.iter().enumerate().any(bad) || value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(Failure::protocol(format!("upstream sent invalid header: \"{}\"", display(name, value))));
        }
    }
    Ok(())
}

/// The one pseudo-header of a head, which comes first.
fn status<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Result<u16, Failure> {
    let mut found = None;
    for (name, value) in fields {
        let text = String::from_utf8_lossy(value);
        match (name, found) {
            (b":status", Some(_)) => return Err(Failure::protocol("upstream sent duplicate :status header")),
            (b":status", None) => {
                let digits = value.len() == 3 && value.iter().all(u8::is_ascii_digit);
                let status = text.parse().ok().filter(|_| digits);
                let status: u16 = status.ok_or_else(|| Failure::protocol(format!("upstream sent invalid :status \"{text}\"")))?;
                // There is no 101 in HTTP/2 (RFC 9113, 8.6).
                if status < 100 || status == 101 {
                    return Err(Failure::protocol(format!("upstream sent unexpected :status \"{text}\"")));
                }
                found = Some(status);
            }
            ([b':', ..], _) => return Err(Failure::protocol(format!("upstream sent invalid header \"{}\"", display(name, value)))),
            (_, None) => break,
            (_, Some(_)) => {}
        }
    }
    found.ok_or_else(|| Failure::protocol("upstream sent no :status header"))
}

/// What nginx says about a block.
fn hpack_failure(error: HpackError) -> Failure {
    let compression = |text: String| Failure::new(ErrorCode::COMPRESSION_ERROR, text);
    match error {
        HpackError::ZeroIndex => compression("upstream sent invalid http2 table index: 0".to_owned()),
        HpackError::Index(at) => compression(format!("upstream sent invalid http2 table index: {}", at + STATIC.len() + 1)),
        HpackError::LongIndex => compression("upstream sent http2 table index with continuation flag".to_owned()),
        HpackError::TableSize(size) => compression(format!("upstream sent invalid http2 dynamic table size update: {size}")),
        HpackError::LateTableSize | HpackError::LongTableSize => {
            compression("upstream sent invalid http2 dynamic table size update".to_owned())
        }
        HpackError::Huffman => compression("upstream sent invalid encoded header".to_owned()),
        HpackError::EmptyName => Failure::protocol("upstream sent zero http2 header name length"),
        HpackError::Truncated | HpackError::TruncatedInteger => compression("upstream sent truncated http2 header".to_owned()),
        HpackError::LongLength | HpackError::StringTooLarge | HpackError::TooLarge => {
            Failure::new(ErrorCode::ENHANCE_YOUR_CALM, "upstream sent too large http2 header")
        }
    }
}
