//! Unidirectional streams of the client (RFC 9114, 6.2).

use super::conn::Codec;
use super::error::{Code, Failure};
use super::frame::{integer, stream};
use super::stream::{Control, Purpose, UniStream};
use crate::h2::budget::Class;

/// So many streams of types that mean nothing may be open.
const MAX_STREAMS: usize = 16;

/// What to do with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniStreamKind {
    /// Its bytes are wanted.
    Wanted,
    /// Nothing of it means anything: the client is to stop, with STREAM_CREATION_ERROR.
    Unknown,
}

impl Codec {
    /// Takes all of what came on a stream in one direction; `end`: it ends behind that. Afterwards [`Self::next_unblocked`] may have streams.
    ///
    /// # Errors
    /// The connection must end.
    pub fn receive_uni(&mut self, id: u64, data: &[u8], end: bool) -> Result<UniStreamKind, Failure> {
        let place = match self.unis.iter().position(|uni| uni.id == id) {
            Some(place) => place,
            None if self.unis.len() >= MAX_STREAMS => {
                let text = "reached maximum number of uni streams";
                return Err(Failure { reason: text, ..Failure::new(Code::STREAM_CREATION_ERROR, text) });
            }
            None => {
                self.budget.charge(Class::Ignored, 1)?;
                self.unis.push(UniStream { id, purpose: Purpose::Unclear([0; 8], 0) });
                self.unis.len() - 1
            }
        };
        self.count(data.len(), 0)?;
        let used = self.take_type(place, data)?;
        let data = data.get(used..).unwrap_or_default();
        let Some(uni) = self.unis.get_mut(place) else { return Ok(UniStreamKind::Unknown) };
        match &mut uni.purpose {
            Purpose::Encoder => self.decoder.instructions(data, &self.config.headers)?,
            Purpose::Decoder => self.encoder.acknowledgements(data)?,
            Purpose::Control(_) => self.control(place, data)?,
            Purpose::Unclear(..) => {}
            Purpose::Unknown => {
                self.unis.swap_remove(place);
                return Ok(UniStreamKind::Unknown);
            }
        }
        if end {
            self.uni_ended(id)?;
        }
        Ok(UniStreamKind::Wanted)
    }

    /// The stream has ended or was reset.
    ///
    /// # Errors
    /// The connection cannot do without it.
    pub fn uni_ended(&mut self, id: u64) -> Result<(), Failure> {
        let Some(place) = self.unis.iter().position(|uni| uni.id == id) else { return Ok(()) };
        match self.unis.swap_remove(place).purpose {
            Purpose::Unclear(..) | Purpose::Unknown => Ok(()),
            _ => Err(Failure::new(Code::CLOSED_CRITICAL_STREAM, "client closed critical stream")),
        }
    }

    /// Reads the type, if that has not come yet; how many bytes it took.
    fn take_type(&mut self, place: usize, data: &[u8]) -> Result<usize, Failure> {
        let Some(uni) = self.unis.get_mut(place) else { return Ok(0) };
        let Purpose::Unclear(bytes, have) = &mut uni.purpose else { return Ok(0) };
        let before = *have;
        let mut found = None;
        for &byte in data {
            if let Some(place) = bytes.get_mut(*have) {
                *place = byte;
            }
            *have += 1;
            found = integer(bytes.get(..*have).unwrap_or_default());
            if found.is_some() {
                break;
            }
        }
        let Some((kind, len)) = found else { return Ok(data.len()) };
        uni.purpose = match kind {
            stream::CONTROL => Purpose::Control(Control::default()),
            stream::ENCODER => Purpose::Encoder,
            stream::DECODER => Purpose::Decoder,
            stream::PUSH => return Err(Failure::new(Code::STREAM_CREATION_ERROR, "client opened push stream")),
            _ => Purpose::Unknown,
        };
        if kind <= stream::DECODER {
            let bit = 1 << kind;
            if self.opened & bit != 0 {
                return Err(Failure::new(Code::STREAM_CREATION_ERROR, "stream already created"));
            }
            self.opened |= bit;
        }
        Ok(len - before)
    }

    pub(super) fn control_state(&mut self, place: usize) -> Option<&mut Control> {
        match &mut self.unis.get_mut(place)?.purpose {
            Purpose::Control(control) => Some(control),
            _ => None,
        }
    }
}
