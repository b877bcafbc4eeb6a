//! Decodes field sections, and the peer's encoder stream.

use super::error::{SectionError, StreamError};
use super::names;
use crate::hpack::integer::{self, BadInteger};
use crate::hpack::tables::{DynamicTable, OVERHEAD};
use crate::hpack::{Fields, Limits, huffman};

/// The result of decoding a field section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// All of its fields are there; so many insertions were needed for it, which [`Decoder::acknowledge`] tells the peer.
    Decoded {
        /// The Required Insert Count.
        required: u64,
    },
    /// It needs insertions that have not come.
    Blocked {
        /// The Required Insert Count.
        required: u64,
    },
}

/// One direction's decoder.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// What we allow by `SETTINGS_QPACK_MAX_TABLE_CAPACITY`.
    allowed: usize,
    /// How many entries were ever inserted.
    inserted: u64,
    /// How often the table has changed.
    edits: u64,
    /// Of how many the peer knows that we have them.
    acknowledged: u64,
    /// The beginning of an instruction.
    partial: Vec<u8>,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// More is needed, or it is wrong.
enum DecodeStop<E> {
    Partial,
    Bad(E),
}

/// Where a section's references count from.
struct Prefix {
    required: u64,
    base: u64,
}

impl Decoder {
    /// A decoder whose table may be given `allowed` bytes; it has none until the peer says so.
    #[must_use]
    pub fn new(allowed: usize) -> Self {
        Self {
            table: DynamicTable::new(0),
            allowed,
            inserted: 0,
            edits: 0,
            acknowledged: 0,
            partial: Vec::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// How many entries were ever inserted.
    #[must_use]
    pub fn inserted(&self) -> u64 {
        self.inserted
    }

    /// A number for what a section's references mean now: the same section with the same number says the same.
    #[must_use]
    pub(crate) fn edits_before(&self, section: &[u8]) -> u64 {
        // Without insertions that it needs, a section refers to nothing that may change.
        if section.first() == Some(&0) { 0 } else { self.edits }
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&mut self) {
        (self.name, self.value) = (Vec::new(), Vec::new());
        self.partial.shrink_to_fit();
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.table.memory() + self.partial.capacity() + self.name.capacity() + self.value.capacity()
    }

    /// Takes what came on the peer's encoder stream.
    ///
    /// # Errors
    /// The connection must end.
    pub fn instructions(&mut self, mut data: &[u8], limits: &Limits) -> Result<(), StreamError> {
        // An instruction that came in pieces is put together first.
        while !self.partial.is_empty() && !data.is_empty() {
            let mut partial = std::mem::take(&mut self.partial);
            let before = partial.len();
            let piece = data.get(..INSTRUCTION_PIECE).unwrap_or(data);
            partial.extend_from_slice(piece);
            let result = self.instruction(&partial, limits);
            match result {
                Ok(used) => data = data.get(used.saturating_sub(before)..).unwrap_or_default(),
                Err(DecodeStop::Bad(error)) => return Err(error),
                Err(DecodeStop::Partial) => {
                    data = data.get(piece.len()..).unwrap_or_default();
                    self.partial = partial;
                }
            }
        }
        while !data.is_empty() {
            match self.instruction(data, limits) {
                Ok(used) => data = data.get(used..).unwrap_or_default(),
                Err(DecodeStop::Bad(error)) => return Err(error),
                Err(DecodeStop::Partial) => {
                    self.partial.extend_from_slice(data);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Carries out the instruction at the start of `rest`; how many bytes it took.
    fn instruction(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, DecodeStop<StreamError>> {
        let first = rest.first().copied().ok_or(DecodeStop::Partial)?;
        match first >> 5 {
            4..=7 => {
                let (index, at) = number(rest, 6).map_err(encoder_stop)?;
                self.name.clear();
                if first & 0x40 == 0 {
                    let (name, _) = self.relative(index)?;
                    self.name = name;
                } else {
                    let entry = names::get(index).ok_or(WRONG_INDEX)?;
                    self.name.extend_from_slice(entry.name);
                }
                self.insert_value(rest, at, limits)
            }
            2 | 3 => {
                self.name.clear();
                let at = instruction_string(rest, 5, limits, &mut self.name)?;
                if self.name.is_empty() {
                    return Err(bad(EMPTY_NAME));
                }
                self.insert_value(rest, at, limits)
            }
            1 => {
                let (capacity, used) = number(rest, 5).map_err(encoder_stop)?;
                let capacity = usize::try_from(capacity).ok().filter(|capacity| *capacity <= self.allowed);
                let capacity = capacity.ok_or(bad("client exceeded http3_max_table_capacity limit"))?;
                self.table.resize(capacity);
                self.edits += 1;
                Ok(used)
            }
            _ => {
                let (index, used) = number(rest, 5).map_err(encoder_stop)?;
                (self.name, self.value) = self.relative(index)?;
                self.insert()?;
                Ok(used)
            }
        }
    }

    /// The field that stands so far before the newest.
    fn relative(&self, index: u64) -> Result<(Vec<u8>, Vec<u8>), DecodeStop<StreamError>> {
        let field = usize::try_from(index).ok().and_then(|at| self.table.get(at));
        field.map(|(name, value)| (name.to_vec(), value.to_vec())).ok_or(WRONG_INDEX)
    }

    /// The rest of an instruction whose name is there and whose value begins at `at`.
    fn insert_value(&mut self, rest: &[u8], at: usize, limits: &Limits) -> Result<usize, DecodeStop<StreamError>> {
        self.value.clear();
        let used = instruction_string(rest.get(at..).unwrap_or_default(), 7, limits, &mut self.value)?;
        self.insert()?;
        Ok(at + used)
    }

    fn insert(&mut self) -> Result<(), DecodeStop<StreamError>> {
        if self.name.len() + self.value.len() + OVERHEAD > self.table.max() {
            return Err(bad("not enough dynamic table capacity"));
        }
        let known = names::find_name(&self.name).and_then(|index| names::get(index as u64));
        let index = known.map_or(0, |entry| entry.static_index);
        self.table.insert(&self.name, &self.value, u32::from(index));
        self.inserted += 1;
        self.edits += 1;
        Ok(())
    }

    /// Reads a whole field section.
    ///
    /// # Errors
    /// It is wrong, or too large; what was decoded stays in `fields`.
    pub fn decode(&self, section: &[u8], limits: &Limits, fields: &mut Fields) -> Result<Section, SectionError> {
        let (prefix, mut at) = self.prefix(section)?;
        if prefix.required > self.inserted {
            return Ok(Section::Blocked { required: prefix.required });
        }
        while let Some(rest) = section.get(at..).filter(|rest| !rest.is_empty()) {
            match self.line(rest, &prefix, limits, fields) {
                Ok(used) => at += used,
                Err(DecodeStop::Partial) => return Err(TRUNCATED),
                Err(DecodeStop::Bad(error)) => return Err(error),
            }
        }
        Ok(Section::Decoded { required: prefix.required })
    }

    fn prefix(&self, section: &[u8]) -> Result<(Prefix, usize), SectionError> {
        let stop = |stop| match stop {
            BadInteger::Partial => TRUNCATED,
            BadInteger::TooLong => LONG,
        };
        let (encoded, at) = integer::decode_long(section, 8).map_err(stop)?;
        let rest = section.get(at..).unwrap_or_default();
        let (delta, len) = integer::decode_long(rest, 7).map_err(stop)?;
        let required = self.required(encoded)?;
        let base = if rest.first().is_some_and(|first| first & 0x80 != 0) {
            required.checked_sub(delta).and_then(|base| base.checked_sub(1)).ok_or(SectionError::Failed("client sent negative base"))?
        } else {
            required.saturating_add(delta)
        };
        Ok((Prefix { required, base }, at + len))
    }

    /// The Required Insert Count, which is sent modulo what fits twice in the table (RFC 9204, 4.5.1.1).
    fn required(&self, encoded: u64) -> Result<u64, SectionError> {
        const WRONG: SectionError = SectionError::Failed("client sent invalid required insert count");
        if encoded == 0 {
            return Ok(0);
        }
        let entries = (self.allowed / OVERHEAD) as u64;
        let range = 2 * entries;
        if encoded > range {
            return Err(WRONG);
        }
        let most = self.inserted + entries;
        let required = most / range * range + encoded - 1;
        match required {
            0 => Err(WRONG),
            _ if required <= most => Ok(required),
            _ if required <= range => Err(WRONG),
            _ => Ok(required - range),
        }
    }

    fn line(&self, rest: &[u8], prefix: &Prefix, limits: &Limits, fields: &mut Fields) -> Result<usize, DecodeStop<SectionError>> {
        let first = rest.first().copied().ok_or(DecodeStop::Partial)?;
        let start = fields.bytes.len();
        let (bits, never) = match first >> 4 {
            8..=15 => (6, false),
            4..=7 => (4, first & 0x20 != 0),
            2 | 3 => (3, first & 0x10 != 0),
            1 => (4, false),
            _ => (3, first & 0x08 != 0),
        };
        let (mut at, mut known) = (0, 0);
        if matches!(first >> 4, 2 | 3) {
            at = string(rest, bits, limits, &mut fields.bytes)?;
            if fields.bytes.len() == start {
                return Err(DecodeStop::Bad(SectionError::Failed(EMPTY_NAME)));
            }
            let middle = fields.bytes.len();
            at += string(rest.get(at..).unwrap_or_default(), 7, limits, &mut fields.bytes)?;
            return add(fields, (start, middle, known, never), limits).map(|()| at);
        }
        let (index, used) = number(rest, bits).map_err(section_stop)?;
        at += used;
        let (name, value) = match first >> 4 {
            12..=15 | 5 | 7 => {
                let entry = names::get(index).ok_or(UNKNOWN)?;
                known = entry.static_index;
                (entry.name, entry.value)
            }
            8..=11 | 4 | 6 => self.absolute(prefix, prefix.base.checked_sub(index + 1), &mut known)?,
            _ => self.absolute(prefix, prefix.base.checked_add(index), &mut known)?,
        };
        fields.bytes.extend_from_slice(name);
        let middle = fields.bytes.len();
        if matches!(first >> 4, 8.. | 1) {
            fields.bytes.extend_from_slice(value);
        } else {
            at += string(rest.get(at..).unwrap_or_default(), 7, limits, &mut fields.bytes)?;
        }
        add(fields, (start, middle, known, never), limits).map(|()| at)
    }

    fn absolute(&self, prefix: &Prefix, index: Option<u64>, known: &mut u8) -> Result<(&[u8], &[u8]), DecodeStop<SectionError>> {
        let at = index.filter(|index| *index < prefix.required).and_then(|index| self.inserted.checked_sub(index + 1));
        let at = at.and_then(|at| usize::try_from(at).ok()).ok_or(UNKNOWN)?;
        *known = (self.table.tag(at) & 0xff) as u8;
        self.table.get(at).ok_or(UNKNOWN)
    }

    /// The section of `stream` was decoded; `required` is what [`Section::Decoded`] says.
    pub fn acknowledge(&mut self, stream: u64, required: u64, out: &mut Vec<u8>) {
        if required > 0 {
            encode(stream, 7, 0x80, out);
            self.acknowledged = self.acknowledged.max(required);
        }
    }

    /// The rest of `stream` is not read: no section of it will be acknowledged.
    pub fn cancel(&self, stream: u64, out: &mut Vec<u8>) {
        if self.allowed > 0 {
            encode(stream, 6, 0x40, out);
        }
    }

    /// Tells the peer of insertions that it does not know of.
    pub fn increment(&mut self, out: &mut Vec<u8>) {
        if self.inserted > self.acknowledged {
            encode(self.inserted - self.acknowledged, 6, 0, out);
            self.acknowledged = self.inserted;
        }
    }
}

/// So much is added at once to the beginning of an instruction.
const INSTRUCTION_PIECE: usize = 512;

const EMPTY_NAME: &str = "client sent empty header name";
const TRUNCATED: SectionError = SectionError::Failed("client sent truncated field section");
const LONG: SectionError = SectionError::Failed("client sent too large integer in field section");
const UNKNOWN: DecodeStop<SectionError> = DecodeStop::Bad(SectionError::Failed("client sent field line that refers to no entry"));
const WRONG_INDEX: DecodeStop<StreamError> = bad("client sent encoder instruction that refers to no entry");

const fn bad(text: &'static str) -> DecodeStop<StreamError> {
    DecodeStop::Bad(StreamError::Encoder(text))
}

fn encode(value: u64, prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    integer::encode(usize::try_from(value).unwrap_or(usize::MAX), prefix, pattern, out);
}

fn number(rest: &[u8], prefix: u32) -> Result<(u64, usize), BadInteger> {
    integer::decode_long(rest, prefix)
}

fn encoder_stop(stop: BadInteger) -> DecodeStop<StreamError> {
    match stop {
        BadInteger::Partial => DecodeStop::Partial,
        BadInteger::TooLong => bad("client sent too large integer on encoder stream"),
    }
}

fn section_stop(stop: BadInteger) -> DecodeStop<SectionError> {
    match stop {
        BadInteger::Partial => DecodeStop::Partial,
        BadInteger::TooLong => DecodeStop::Bad(LONG),
    }
}

fn add(
    fields: &mut Fields,
    (start, middle, index, never): (usize, usize, u8, bool),
    limits: &Limits,
) -> Result<(), DecodeStop<SectionError>> {
    fields.add(start, middle, index, never, limits).map_err(|_| DecodeStop::Bad(SectionError::TooLarge))
}

fn instruction_string(rest: &[u8], prefix: u32, limits: &Limits, out: &mut Vec<u8>) -> Result<usize, DecodeStop<StreamError>> {
    string(rest, prefix, limits, out).map_err(|stop| match stop {
        DecodeStop::Partial => DecodeStop::Partial,
        DecodeStop::Bad(SectionError::Failed(text)) => bad(text),
        DecodeStop::Bad(_) => DecodeStop::Bad(StreamError::TooLarge),
    })
}

/// Appends the string at the start of `rest`, whose length has a prefix of `prefix` bits; how many bytes it took.
fn string(rest: &[u8], prefix: u32, limits: &Limits, out: &mut Vec<u8>) -> Result<usize, DecodeStop<SectionError>> {
    let (len, at) = number(rest, prefix).map_err(section_stop)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= limits.string).ok_or(DecodeStop::Bad(SectionError::StringTooLarge))?;
    let text = rest.get(at..at + len).ok_or(DecodeStop::Partial)?;
    if rest.first().is_some_and(|first| first & (1 << prefix) != 0) {
        let failed = SectionError::Failed("client sent invalid encoded field line");
        huffman::decode(text, out).map_err(|_| DecodeStop::Bad(failed))?;
    } else {
        out.extend_from_slice(text);
    }
    Ok(at + len)
}
