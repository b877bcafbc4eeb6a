//! Decodes header blocks.

use super::huffman;
use super::integer::{self, BadInteger};
use super::tables::{DynamicTable, STATIC};
use crate::span::Span;
use std::fmt;

/// What a header block may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a name or a value as sent (one of `large_client_header_buffers`).
    pub string: usize,
    /// Bytes of all names and values, decoded (all of `large_client_header_buffers`).
    pub total: usize,
    /// How many fields are kept (`max_headers`); the rest is read, for the table's sake, and dropped.
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { string: 8192, total: 4 * 8192, fields: 1000 }
    }
}

/// Why a header block ends the connection: after it, the two sides' tables differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// Index 0.
    ZeroIndex,
    /// An index beyond both tables; counted from the end of the static table.
    Index(usize),
    /// A table size update beyond what was allowed.
    TableSize(usize),
    /// A table size update behind the first field (RFC 7541, 4.2).
    LateTableSize,
    /// A size update that does not end within [`integer::MAX_BYTES`].
    LongTableSize,
    /// An index that does not.
    LongIndex,
    /// A string's length that does not.
    LongLength,
    /// A string that is not Huffman code.
    Huffman,
    /// A name of no bytes (CVE-2019-9516).
    EmptyName,
    /// The block ends within a field.
    Truncated,
    /// The block ends within an integer.
    TruncatedInteger,
    /// A string above [`Limits::string`].
    StringTooLarge,
    /// More than [`Limits::total`].
    TooLarge,
}

impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HpackError::ZeroIndex => f.write_str("zero table index"),
            HpackError::Index(index) => write!(f, "table index {index} out of bounds"),
            HpackError::TableSize(size) => write!(f, "table size update {size} above the limit"),
            HpackError::LateTableSize => f.write_str("table size update behind a field"),
            HpackError::LongTableSize => f.write_str("too long table size update"),
            HpackError::LongIndex => f.write_str("too long table index"),
            HpackError::LongLength => f.write_str("too long string length"),
            HpackError::Huffman => f.write_str("invalid Huffman code"),
            HpackError::EmptyName => f.write_str("empty field name"),
            HpackError::Truncated => f.write_str("truncated header block"),
            HpackError::TruncatedInteger => f.write_str("truncated integer"),
            HpackError::StringTooLarge => f.write_str("too large string"),
            HpackError::TooLarge => f.write_str("too large header list"),
        }
    }
}

impl std::error::Error for HpackError {}

/// One decoded field: ranges into [`Fields`]' bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: Span,
    /// The value.
    pub value: Span,
    /// The index of a static field of that name, 0 when there is none: names need not be compared as text.
    pub index: u8,
    /// The sender forbids compression of it at further hops (RFC 7541, 7.1.3).
    pub never_indexed: bool,
}

/// So many pseudo-headers are known (RFC 9113, 8.3.1; RFC 8441, 4).
pub(crate) const PSEUDO: usize = 5;

/// More fields than these are unusual: their memory grows in small steps, and is given back once they have been read.
const USUAL: usize = 64;

/// Bytes of a field whose memory beside its own bytes counts.
const SHORT: usize = 64;

/// The fields of one block. Names and values stand in one buffer, which keeps its capacity.
#[derive(Debug, Default)]
pub struct Fields {
    pub(crate) bytes: Vec<u8>,
    list: Vec<Field>,
    seen: usize,
    /// Pseudo-headers, which no limit of an administrator means.
    pseudo: usize,
    /// Names and values so far, dropped ones too.
    total: usize,
    dropping: bool,
}

impl Fields {
    /// Forgets everything, for the next block; with `dropping`, that block is read for the table's sake alone.
    pub fn reset(&mut self, dropping: bool) {
        self.bytes.clear();
        self.list.clear();
        (self.seen, self.pseudo, self.total, self.dropping) = (0, 0, 0, dropping);
    }

    /// The received part is dropped, and the rest of the block is decoded only to keep the table in sync.
    pub(crate) fn drop_remaining(&mut self) {
        let total = self.total;
        self.reset(true);
        self.total = total;
    }

    /// They have been read: gives memory back that only few heads need. True: they are gone.
    pub fn read(&mut self) -> bool {
        let unusual = self.list.capacity() > USUAL;
        if unusual {
            self.shrink();
        }
        unusual
    }

    /// Makes room by an eighth, where a list doubles otherwise: many short fields must have little overhead.
    #[cold]
    fn grow(&mut self) {
        if self.list.len() == self.list.capacity() {
            self.list.reserve_exact(self.list.len() / 8);
        }
        // The next field comes piece by piece.
        if self.bytes.capacity() - self.bytes.len() < SHORT {
            self.bytes.reserve_exact(SHORT + self.bytes.len() / 8);
        }
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&mut self) {
        self.reset(false);
        self.bytes = Vec::new();
        self.list = Vec::new();
    }

    /// The fields, in order.
    #[must_use]
    pub fn list(&self) -> &[Field] {
        &self.list
    }

    /// The buffer that the fields' ranges are into.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fields as names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// There were more than [`Limits::fields`].
    #[must_use]
    pub(crate) fn overflowed(&self) -> bool {
        !self.dropping && self.seen > self.list.len()
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.list.capacity() * size_of::<Field>()
    }

    /// The bytes behind `start` are a field, whose value begins at `middle`.
    pub(crate) fn add(&mut self, start: usize, middle: usize, index: u8, never_indexed: bool, limits: &Limits) -> Result<(), HpackError> {
        let end = self.bytes.len();
        self.total += end - start;
        if self.total > limits.total {
            return Err(HpackError::TooLarge);
        }
        let pseudo = self.bytes.get(start) == Some(&b':') && self.pseudo < PSEUDO;
        self.seen += 1;
        self.pseudo += usize::from(pseudo);
        if self.dropping || (!pseudo && self.seen - self.pseudo > limits.fields) {
            self.bytes.truncate(start);
        } else {
            if self.list.len() >= USUAL {
                self.grow();
            }
            self.list.push(Field { name: Span::new(start, middle), value: Span::new(middle, end), index, never_indexed });
        }
        Ok(())
    }
}

enum Literal {
    Indexed,
    Plain,
    Never,
}

/// One direction's decoder.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// What we allow by `SETTINGS_HEADER_TABLE_SIZE`.
    allowed: usize,
    /// Most bits behind the last symbol of a Huffman code.
    padding: u32,
}

impl Decoder {
    /// A decoder whose table may hold `allowed` bytes (4096 unless settings say otherwise).
    #[must_use]
    pub fn new(allowed: usize) -> Self {
        Self { table: DynamicTable::new(allowed), allowed, padding: huffman::PADDING }
    }

    /// A decoder for what servers send: as nginx does, it takes a whole byte of padding.
    #[must_use]
    pub fn lenient(allowed: usize) -> Self {
        Self { padding: 8, ..Self::new(allowed) }
    }

    /// How often its table has changed.
    #[must_use]
    pub(crate) fn edits(&self) -> u64 {
        self.table.edits()
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Reads the fields at the start of `block` into `fields` and returns how many bytes they took: all of them when `last`, else
    /// what is left is the beginning of a field, which must be handed in again with more behind it.
    ///
    /// # Errors
    /// The tables of both sides differ from here on, so the connection must end.
    pub fn decode(&mut self, block: &[u8], last: bool, limits: &Limits, fields: &mut Fields) -> Result<usize, HpackError> {
        let mut at = 0;
        while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
            let start = fields.bytes.len();
            match self.field(rest, limits, fields) {
                Ok(len) => at += len,
                Err(DecodeStop::Partial { .. }) if !last => {
                    fields.bytes.truncate(start);
                    break;
                }
                Err(DecodeStop::Partial { integer: true }) => return Err(HpackError::TruncatedInteger),
                Err(DecodeStop::Partial { integer: false }) => return Err(HpackError::Truncated),
                Err(DecodeStop::Bad(error)) => return Err(error),
            }
        }
        Ok(at)
    }

    /// As [`Self::decode`] for a block that comes in parts: `partial` holds the beginning of a field whose end has not come.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_part(
        &mut self,
        part: &[u8],
        last: bool,
        limits: &Limits,
        partial: &mut Vec<u8>,
        fields: &mut Fields,
    ) -> Result<(), HpackError> {
        if partial.is_empty() {
            let used = self.decode(part, last, limits, fields)?;
            partial.extend_from_slice(part.get(used..).unwrap_or(&[]));
        } else {
            partial.extend_from_slice(part);
            let used = self.decode(partial, last, limits, fields)?;
            partial.drain(..used);
        }
        Ok(())
    }

    fn field(&mut self, rest: &[u8], limits: &Limits, fields: &mut Fields) -> Result<usize, DecodeStop> {
        let first = rest.first().copied().unwrap_or(0);
        if first & 0x80 != 0 {
            let (index, len) = integer::decode(rest, 7).map_err(|bad| bad_integer(bad, HpackError::LongIndex))?;
            let TableEntry { name, value, static_index } = self.entry(index)?;
            let start = fields.bytes.len();
            fields.bytes.extend_from_slice(name);
            let middle = fields.bytes.len();
            fields.bytes.extend_from_slice(value);
            fields.add(start, middle, static_index, false, limits)?;
            return Ok(len);
        }
        if first & 0xe0 == 0x20 {
            return self.size_update(rest, fields.seen);
        }
        let (literal, prefix) = match first >> 4 {
            4..=7 => (Literal::Indexed, 6),
            1 => (Literal::Never, 4),
            _ => (Literal::Plain, 4),
        };
        self.literal(rest, &literal, prefix, limits, fields)
    }

    fn size_update(&mut self, rest: &[u8], seen: usize) -> Result<usize, DecodeStop> {
        let (size, len) = integer::decode(rest, 5).map_err(|bad| bad_integer(bad, HpackError::LongTableSize))?;
        if seen > 0 {
            return Err(DecodeStop::Bad(HpackError::LateTableSize));
        }
        if size > self.allowed {
            return Err(DecodeStop::Bad(HpackError::TableSize(size)));
        }
        self.table.resize(size);
        Ok(len)
    }

    fn literal(&mut self, rest: &[u8], kind: &Literal, prefix: u32, limits: &Limits, fields: &mut Fields) -> Result<usize, DecodeStop> {
        let (index, mut at) = integer::decode(rest, prefix).map_err(|bad| bad_integer(bad, HpackError::LongIndex))?;
        let start = fields.bytes.len();
        let mut fixed = 0;
        if index == 0 {
            at += string(rest.get(at..).unwrap_or(&[]), limits, self.padding, &mut fields.bytes)?;
            if fields.bytes.len() == start {
                return Err(DecodeStop::Bad(HpackError::EmptyName));
            }
        } else {
            let entry = self.entry(index)?;
            fixed = entry.static_index;
            fields.bytes.extend_from_slice(entry.name);
        }
        let middle = fields.bytes.len();
        at += string(rest.get(at..).unwrap_or(&[]), limits, self.padding, &mut fields.bytes)?;
        if matches!(kind, Literal::Indexed) {
            let field = fields.bytes.get(start..).and_then(|both| both.split_at_checked(middle - start));
            if let Some((name, value)) = field {
                self.table.insert(name, value, u32::from(fixed));
            }
        }
        fields.add(start, middle, fixed, matches!(kind, Literal::Never), limits)?;
        Ok(at)
    }

    fn entry(&self, index: usize) -> Result<TableEntry<'_>, DecodeStop> {
        let Some(at) = index.checked_sub(1) else { return Err(DecodeStop::Bad(HpackError::ZeroIndex)) };
        if let Some((name, value)) = STATIC.get(at) {
            let [static_index, ..] = index.to_le_bytes();
            return Ok(TableEntry { name: name.as_bytes(), value: value.as_bytes(), static_index });
        }
        let at = at - STATIC.len();
        let (name, value) = self.table.get(at).ok_or(DecodeStop::Bad(HpackError::Index(at)))?;
        Ok(TableEntry { name, value, static_index: (self.table.tag(at) & 0xff) as u8 })
    }
}

/// A field of the static or the dynamic table.
pub(crate) struct TableEntry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The index of the first field with this name in HPACK's static table; 0 for none.
    pub(crate) static_index: u8,
}

enum DecodeStop {
    Partial { integer: bool },
    Bad(HpackError),
}

impl From<HpackError> for DecodeStop {
    fn from(error: HpackError) -> Self {
        Self::Bad(error)
    }
}

fn bad_integer(bad: BadInteger, long: HpackError) -> DecodeStop {
    match bad {
        BadInteger::Partial => DecodeStop::Partial { integer: true },
        BadInteger::TooLong => DecodeStop::Bad(long),
    }
}

/// Appends the string at the start of `bytes` and returns how many bytes it took.
#[inline]
fn string(bytes: &[u8], limits: &Limits, padding: u32, out: &mut Vec<u8>) -> Result<usize, DecodeStop> {
    let missing = DecodeStop::Partial { integer: false };
    if bytes.is_empty() {
        return Err(missing);
    }
    let (len, at) = integer::decode(bytes, 7).map_err(|bad| bad_integer(bad, HpackError::LongLength))?;
    if len > limits.string {
        return Err(DecodeStop::Bad(HpackError::StringTooLarge));
    }
    let text = bytes.get(at..at + len).ok_or(missing)?;
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        huffman::decode_padded(text, padding, out).map_err(|_| HpackError::Huffman)?;
    } else {
        out.extend_from_slice(text);
    }
    Ok(at + len)
}
