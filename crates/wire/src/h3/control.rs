//! The client's control stream.

use super::conn::Codec;
use super::error::{Code, Failure};
use super::frame::{FrameHead, integer, kind, setting};
use crate::h2::budget::Class;
use crate::h2::priority::Priority;

/// Settings above this are not looked at.
const MAX_SETTINGS: u64 = 4096;
/// PRIORITY_UPDATE above this is skipped.
const MAX_PRIORITY: u64 = 1024;

impl Codec {
    pub(super) fn control(&mut self, place: usize, mut data: &[u8]) -> Result<(), Failure> {
        while !data.is_empty() {
            let Some(control) = self.control_state(place) else { return Ok(()) };
            let Some(frame) = control.frame else {
                let (used, head) = control.head.read(data);
                data = data.get(used..).unwrap_or_default();
                if let Some(head) = head {
                    (control.frame, control.remaining) = (Some(head), head.len);
                    let settled = std::mem::replace(&mut control.settings_received, true);
                    self.control_frame(head, settled)?;
                    self.finish_control(place)?;
                }
                continue;
            };
            let len = usize::try_from(control.remaining).unwrap_or(usize::MAX).min(data.len());
            if is_read(frame) {
                control.payload.extend_from_slice(data.get(..len).unwrap_or_default());
            }
            control.remaining -= len as u64;
            data = data.get(len..).unwrap_or_default();
            self.finish_control(place)?;
        }
        Ok(())
    }

    /// Whether a frame may be here, and be as long as it is.
    fn control_frame(&mut self, head: FrameHead, settled: bool) -> Result<(), Failure> {
        let FrameHead { kind, len } = head;
        if !settled && kind != kind::SETTINGS {
            return Err(Failure::new(Code::MISSING_SETTINGS, "client sent no settings"));
        }
        match kind {
            kind::SETTINGS if settled => Err(Failure::unexpected(kind)),
            kind::SETTINGS if len > MAX_SETTINGS => Err(Failure::new(Code::EXCESSIVE_LOAD, "client sent too large SETTINGS frame")),
            kind::SETTINGS => Ok(()),
            kind::DATA | kind::HEADERS | kind::PUSH_PROMISE => Err(Failure::unexpected(kind)),
            kind::CANCEL_PUSH | kind::GOAWAY | kind::MAX_PUSH_ID if !(1..=8).contains(&len) => Err(Failure::size("control")),
            kind::PRIORITY_UPDATE | kind::PRIORITY_UPDATE_PUSH => Ok(self.budget.charge(Class::Priority, 1)?),
            _ if kind::is_reserved(kind) => Err(Failure::unexpected(kind)),
            _ => {
                let cost = i64::try_from(len / 512).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
                Ok(self.budget.charge(Class::Ignored, 1 + cost)?)
            }
        }
    }

    fn finish_control(&mut self, place: usize) -> Result<(), Failure> {
        let Some(control) = self.control_state(place) else { return Ok(()) };
        let Some(frame) = control.frame.take_if(|_| control.remaining == 0) else { return Ok(()) };
        let payload = std::mem::take(&mut control.payload);
        if !is_read(frame) {
            return Ok(());
        }
        match frame.kind {
            kind::SETTINGS => self.settings(&payload),
            kind::CANCEL_PUSH => {
                identifier(&payload)?;
                // Nothing was ever pushed.
                Err(Failure::new(Code::ID_ERROR, "client cancelled unknown push"))
            }
            kind::GOAWAY => {
                let id = identifier(&payload)?;
                if self.peer_goaway.is_some_and(|before| id > before) {
                    return Err(Failure::new(Code::ID_ERROR, "client sent GOAWAY frame with larger identifier"));
                }
                self.peer_goaway = Some(id);
                Ok(())
            }
            kind::MAX_PUSH_ID => {
                let id = identifier(&payload)?;
                if self.max_push.is_some_and(|before| id < before) {
                    return Err(Failure::new(Code::ID_ERROR, "client sent MAX_PUSH_ID frame with smaller identifier"));
                }
                self.max_push = Some(id);
                Ok(())
            }
            kind::PRIORITY_UPDATE => {
                let (id, at) = integer(&payload).ok_or_else(|| Failure::size("PRIORITY_UPDATE"))?;
                let most = self.next_request().saturating_add(4 * self.config.max_streams as u64);
                if id & 3 != 0 || id > most {
                    return Err(Failure::new(Code::ID_ERROR, "client sent PRIORITY_UPDATE frame with incorrect identifier"));
                }
                self.prioritize(id, Priority::parse(payload.get(at..).unwrap_or_default()));
                Ok(())
            }
            _ => Err(Failure::new(Code::ID_ERROR, "client sent PRIORITY_UPDATE frame for unknown push")),
        }
    }

    fn settings(&mut self, mut rest: &[u8]) -> Result<(), Failure> {
        let wrong = || Failure::new(Code::SETTINGS_ERROR, "client sent invalid settings");
        let mut seen = Vec::new();
        let mut capacity = 0;
        while !rest.is_empty() {
            let truncated = || Failure::size("SETTINGS");
            let (id, at) = integer(rest).ok_or_else(truncated)?;
            rest = rest.get(at..).unwrap_or_default();
            let (value, at) = integer(rest).ok_or_else(truncated)?;
            rest = rest.get(at..).unwrap_or_default();
            if setting::is_reserved(id) || seen.contains(&id) {
                return Err(wrong());
            }
            seen.push(id);
            match id {
                setting::QPACK_MAX_TABLE_CAPACITY => capacity = value,
                setting::ENABLE_CONNECT_PROTOCOL | setting::H3_DATAGRAM if value > 1 => return Err(wrong()),
                _ => {}
            }
        }
        self.encoder.set_max(capacity, &mut self.encoder_out);
        Ok(())
    }
}

/// Whether the content of a frame is looked at.
fn is_read(frame: FrameHead) -> bool {
    match frame.kind {
        kind::SETTINGS | kind::CANCEL_PUSH | kind::GOAWAY | kind::MAX_PUSH_ID => true,
        kind::PRIORITY_UPDATE | kind::PRIORITY_UPDATE_PUSH => frame.len <= MAX_PRIORITY,
        _ => false,
    }
}

/// The one integer of a frame.
fn identifier(payload: &[u8]) -> Result<u64, Failure> {
    integer(payload).filter(|(_, len)| *len == payload.len()).map(|(id, _)| id).ok_or_else(|| Failure::size("control"))
}
