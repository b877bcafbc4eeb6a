//! Encodes field sections.

use super::error::StreamError;
use super::names::{find_name, find_value};
use crate::hpack::FieldList;
use crate::hpack::encoder::{MAX_TABLE, Repeats, hash, string};
use crate::hpack::integer::{self, BadInteger};
use crate::hpack::tables::{DynamicTable, OVERHEAD};
use std::collections::VecDeque;

/// So many sections that refer to the table may be unacknowledged.
const MAX_SECTIONS: usize = 256;
/// A longer head is not remembered.
const LONGEST: usize = 512;

/// A section that the peer has not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Sent {
    stream: u64,
    required: u64,
    /// The oldest entry that it refers to.
    oldest: u64,
}

/// A head, and its section: the same head is the same bytes as long as the peer has the same entries.
#[derive(Debug, Default)]
struct LastHead {
    status: u16,
    fields: FieldList,
    section: Vec<u8>,
    /// How many entries there were, and how many of them the peer had.
    table: (u64, u64),
    required: u64,
    oldest: u64,
}

/// One direction's encoder.
///
/// It never makes a section wait: only entries that the peer says it has are referred to. What goes into the table is as with HPACK
/// (`Repeats`), and an entry only leaves when no section that is under way refers to it.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    /// How many entries were ever inserted, and how many of them the peer has.
    inserted: u64,
    acknowledged: u64,
    repeats: Repeats,
    sent: VecDeque<Sent>,
    /// The lines of the section that is being made.
    lines: Vec<u8>,
    required: u64,
    oldest: u64,
    /// The section would be another one if it were made again.
    unsettled: bool,
    /// `SETTINGS_QPACK_MAX_TABLE_CAPACITY` of the peer, in entries.
    entries: u64,
    last: Option<Box<LastHead>>,
    /// The beginning of an instruction of the peer's decoder.
    partial: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: DynamicTable::new(0),
            inserted: 0,
            acknowledged: 0,
            repeats: Repeats::default(),
            sent: VecDeque::new(),
            lines: Vec::new(),
            required: 0,
            oldest: u64::MAX,
            unsettled: false,
            entries: 0,
            last: None,
            partial: Vec::new(),
        }
    }
}

impl Encoder {
    /// The peer's settings were received: its `SETTINGS_QPACK_MAX_TABLE_CAPACITY`. What its table gets of that is appended to `instructions`,
    /// which is for the encoder stream.
    pub fn set_max(&mut self, max: u64, instructions: &mut Vec<u8>) {
        self.last = None;
        self.entries = max / OVERHEAD as u64;
        let capacity = usize::try_from(max).unwrap_or(usize::MAX).min(MAX_TABLE);
        if capacity > 0 {
            self.table.resize(capacity);
            integer::encode(capacity, 5, 0x20, instructions);
        }
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        let last = self.last.as_ref().map_or(0, |last| size_of::<LastHead>() + last.fields.memory() + last.section.capacity());
        self.table.memory() + self.lines.capacity() + self.partial.capacity() + self.sent.capacity() * size_of::<Sent>() + last
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&mut self) {
        (self.last, self.lines) = (None, Vec::new());
        self.partial.shrink_to_fit();
        self.sent.shrink_to_fit();
    }

    /// Appends the whole section of a response's head, which goes out on `stream`; insertions are appended to `instructions`.
    pub fn head(&mut self, stream: u64, status: u16, fields: &FieldList, instructions: &mut Vec<u8>, out: &mut Vec<u8>) {
        let table = (self.inserted, self.acknowledged);
        if let Some(last) = self.last.as_ref().filter(|last| last.table == table && last.status == status && last.fields == *fields)
            && (last.required == 0 || self.sent.len() < MAX_SECTIONS)
        {
            if last.required > 0 {
                self.sent.push_back(Sent { stream, required: last.required, oldest: last.oldest });
            }
            return out.extend_from_slice(&last.section);
        }
        self.begin();
        self.status(status);
        fields.iter().for_each(|(name, value)| self.field(name, value, instructions));
        let start = out.len();
        self.finish(stream, out);
        if !self.unsettled && fields.size() <= LONGEST {
            let last = self.last.get_or_insert_default();
            (last.status, last.table, last.required, last.oldest) = (status, table, self.required, self.oldest);
            last.fields.clone_from(fields);
            last.section.clear();
            last.section.extend_from_slice(out.get(start..).unwrap_or_default());
        }
    }

    /// Starts a field section; [`Encoder::finish`] ends it.
    pub fn begin(&mut self) {
        self.lines.clear();
        (self.required, self.oldest, self.unsettled) = (0, u64::MAX, false);
    }

    /// Adds the `:status` pseudo-header field to the section.
    pub fn status(&mut self, status: u16) {
        let digits = [100, 10, 1].map(|unit| b'0' + (status / unit % 10) as u8);
        let name = find_name(b":status");
        match name.and_then(|first| find_value(first, &digits)) {
            Some(index) => integer::encode(index, 6, 0xc0, &mut self.lines),
            None => self.literal(name, b":status", &digits),
        }
    }

    /// Adds a field, whose name is in lower case; insertions are appended to `instructions`.
    pub fn field(&mut self, name: &[u8], value: &[u8], instructions: &mut Vec<u8>) {
        let fixed = find_name(name);
        if let Some(index) = fixed.and_then(|first| find_value(first, value)) {
            return integer::encode(index, 6, 0xc0, &mut self.lines);
        }
        // What identifies a user is not kept (RFC 9204, 7.1).
        if self.table.max() > 0 && name != b"set-cookie" {
            let hash = hash(name, value);
            let found = self.table.find(name, value, hash).map(|at| self.inserted - 1 - at as u64);
            self.unsettled |= found.is_none();
            match found {
                Some(index) if index < self.acknowledged && self.sent.len() < MAX_SECTIONS => return self.refer(index),
                Some(index) => self.unsettled |= index < self.acknowledged,
                None if self.repeats.observe(name, hash) => self.insert(fixed, name, value, hash, instructions),
                None => {}
            }
        }
        self.literal(fixed, name, value);
    }

    fn refer(&mut self, index: u64) {
        self.required = self.required.max(index + 1);
        self.oldest = self.oldest.min(index);
        // The base is the number of entries that the peer has.
        let back = usize::try_from(self.acknowledged - 1 - index).unwrap_or(usize::MAX);
        integer::encode(back, 6, 0x80, &mut self.lines);
    }

    fn literal(&mut self, fixed: Option<usize>, name: &[u8], value: &[u8]) {
        match fixed {
            Some(index) => integer::encode(index, 4, 0x50, &mut self.lines),
            None => string(name, 3, 0x20, &mut self.lines),
        }
        string(value, 7, 0, &mut self.lines);
    }

    /// Puts a field into the table for later sections, if that pushes nothing out that is still needed.
    fn insert(&mut self, fixed: Option<usize>, name: &[u8], value: &[u8], hash: u32, instructions: &mut Vec<u8>) {
        let need = name.len() + value.len() + OVERHEAD;
        if need > self.table.max() / 4 || !self.can_evict(need) {
            return;
        }
        match fixed {
            Some(index) => integer::encode(index, 6, 0xc0, instructions),
            None => string(name, 5, 0x40, instructions),
        }
        string(value, 7, 0, instructions);
        self.table.insert(name, value, hash);
        self.inserted += 1;
    }

    /// Whether there is room for `need` bytes once entries are gone to which nothing refers.
    fn can_evict(&self, need: usize) -> bool {
        let needed = self.sent.iter().map(|sent| sent.oldest).fold(self.oldest.min(self.acknowledged), u64::min);
        let mut room = self.table.max().saturating_sub(self.table.size());
        let mut at = self.table.len();
        while room < need {
            at = match at.checked_sub(1) {
                Some(at) if self.inserted - 1 - (at as u64) < needed => at,
                _ => return false,
            };
            room += self.table.get(at).map_or(0, |(name, value)| name.len() + value.len() + OVERHEAD);
        }
        true
    }

    /// Ends the section, which goes out on `stream`, and appends it to `out`.
    pub fn finish(&mut self, stream: u64, out: &mut Vec<u8>) {
        if self.required == 0 {
            out.extend_from_slice(&[0, 0]);
        } else {
            let encoded = self.required % (2 * self.entries.max(1)) + 1;
            integer::encode(usize::try_from(encoded).unwrap_or(usize::MAX), 8, 0, out);
            let delta = usize::try_from(self.acknowledged - self.required).unwrap_or(usize::MAX);
            integer::encode(delta, 7, 0, out);
            self.sent.push_back(Sent { stream, required: self.required, oldest: self.oldest });
        }
        out.extend_from_slice(&self.lines);
    }

    /// Takes what came on the peer's decoder stream.
    ///
    /// # Errors
    /// The connection must end.
    pub fn acknowledgements(&mut self, data: &[u8]) -> Result<(), StreamError> {
        const LONG: StreamError = StreamError::Decoder("client sent too large integer on decoder stream");
        self.partial.extend_from_slice(data);
        let all = std::mem::take(&mut self.partial);
        let mut rest = &all[..];
        while let Some(&first) = rest.first() {
            let prefix = if first & 0x80 != 0 { 7 } else { 6 };
            match integer::decode_long(rest, prefix) {
                Ok((value, used)) => {
                    self.acknowledgement(first, value)?;
                    rest = rest.get(used..).unwrap_or_default();
                }
                Err(BadInteger::Partial) => {
                    self.partial.extend_from_slice(rest);
                    break;
                }
                Err(BadInteger::TooLong) => return Err(LONG),
            }
        }
        Ok(())
    }

    fn acknowledgement(&mut self, first: u8, value: u64) -> Result<(), StreamError> {
        match first >> 6 {
            2 | 3 => {
                let found = self.sent.iter().position(|sent| sent.stream == value).and_then(|at| self.sent.remove(at));
                let sent = found.ok_or(StreamError::Decoder("client acknowledged a section that was not sent"))?;
                self.acknowledged = self.acknowledged.max(sent.required);
            }
            1 => self.sent.retain(|sent| sent.stream != value),
            _ => {
                let known = self.acknowledged.saturating_add(value);
                if value == 0 || known > self.inserted {
                    return Err(StreamError::Decoder("client sent wrong insert count increment"));
                }
                self.acknowledged = known;
            }
        }
        Ok(())
    }
}
