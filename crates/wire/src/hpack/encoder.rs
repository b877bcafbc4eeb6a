//! Encodes header blocks.

use super::tables::{DynamicTable, STATIC};
use super::{FieldList, huffman, integer};
use crate::narrow;

/// The table is never larger, whatever the peer allows: what repeats fits in it, and a connection costs no more.
pub(crate) const MAX_TABLE: usize = 4096;
const DEFAULT_TABLE: usize = 4096;
/// A longer head is not remembered.
const LONGEST: usize = 512;

/// Which fields are likely to come again: `server`, `content-type` and `date`, and others when they come a second time.
#[derive(Debug)]
pub(crate) struct Repeats {
    /// Hashes of fields that were sent once, by their lowest bits.
    recent: [u32; Repeats::SLOTS],
}

impl Default for Repeats {
    fn default() -> Self {
        Self { recent: [0; Self::SLOTS] }
    }
}

impl Repeats {
    const SLOTS: usize = 64;

    /// A field is sent, whose [`hash`] this is; true: it is worth a place in the dynamic table.
    pub(crate) fn observe(&mut self, name: &[u8], hash: u32) -> bool {
        if matches!(name, b"server" | b"content-type" | b"date") {
            return true;
        }
        let Some(slot) = self.recent.get_mut(hash as usize % Self::SLOTS) else { return false };
        std::mem::replace(slot, hash) == hash
    }
}

/// One direction's encoder.
///
/// `server`, `content-type` and `date` go into the dynamic table at once, other fields when they come a second time: then they are
/// likely to come again. A long one would push all others out. What identifies a user (`set-cookie`) never does (RFC 7541, 7.1.3).
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    /// The smallest and the last size that the peer allowed since the last block.
    resize: Option<(usize, usize)>,
    repeats: Repeats,
    /// So many fields were not merely indices.
    literals: u64,
    last: Option<Box<LastHead>>,
}

/// A head that became nothing but indices: the same head is encoded as the same bytes as long as no field was inserted in between.
#[derive(Debug, Default)]
struct LastHead {
    status: u16,
    fields: FieldList,
    block: Vec<u8>,
    literals: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { table: DynamicTable::new(DEFAULT_TABLE), resize: None, repeats: Repeats::default(), literals: 0, last: None }
    }
}

impl Encoder {
    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`; the next block tells it what is used of that (RFC 7541, 4.2).
    pub fn set_max(&mut self, max: usize) {
        let max = max.min(MAX_TABLE);
        let (lowest, _) = self.resize.unwrap_or((self.table.max(), 0));
        self.resize = Some((lowest.min(max), max));
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        let last = self.last.as_ref().map_or(0, |last| size_of::<LastHead>() + last.fields.memory() + last.block.capacity());
        self.table.memory() + last
    }

    /// Gives memory back that an idle connection need not hold.
    pub fn shrink(&mut self) {
        self.last = None;
    }

    /// Appends the whole block of a response's head.
    pub fn head(&mut self, status: u16, fields: &FieldList, out: &mut Vec<u8>) {
        if self.resize.is_none()
            && let Some(last) = self.last.as_ref().filter(|last| last.literals == self.literals)
            && last.status == status
            && last.fields == *fields
        {
            return out.extend_from_slice(&last.block);
        }
        self.begin(out);
        let (start, literals) = (out.len(), self.literals);
        self.status(status, out);
        fields.iter().for_each(|(name, value)| self.field(name, value, out));
        if literals == self.literals && fields.size() <= LONGEST {
            let last = self.last.get_or_insert_default();
            (last.status, last.literals) = (status, literals);
            last.fields.clone_from(fields);
            last.block.clear();
            last.block.extend_from_slice(out.get(start..).unwrap_or_default());
        }
    }

    /// Must be called before the first field of each block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((lowest, last)) = self.resize.take() else { return };
        if lowest == self.table.max() && last == lowest {
            return;
        }
        if lowest < last {
            integer::encode(lowest, 5, 0x20, out);
            self.table.resize(lowest);
        }
        integer::encode(last, 5, 0x20, out);
        self.table.resize(last);
        // Indices may mean other fields now.
        self.literals += 1;
    }

    /// Appends the `:status` pseudo-header field.
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digits = [100, 10, 1].map(|unit| b'0' + (status / unit % 10) as u8);
                return self.field(b":status", &digits, out);
            }
        };
        out.push(0x80 | index);
    }

    /// Appends a field, whose name is in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let fixed = static_name(name);
        let sensitive = name == b"set-cookie";
        let hash = hash(name, value);
        if !sensitive {
            if let Some(index) = fixed.and_then(|first| static_field(first, name, value)) {
                return integer::encode(index, 7, 0x80, out);
            }
            if let Some(at) = self.table.find(name, value, hash) {
                return integer::encode(at + STATIC.len() + 1, 7, 0x80, out);
            }
        }
        self.literals += 1;
        let index = fixed.or_else(|| self.table.find_name(name).map(|at| at + STATIC.len() + 1)).unwrap_or(0);
        let fits = name.len() + value.len() <= MAX_TABLE / 4;
        if !sensitive && fits && self.repeats.observe(name, hash) {
            integer::encode(index, 6, 0x40, out);
            self.table.insert(name, value, hash);
        } else {
            integer::encode(index, 4, 0, out);
        }
        if index == 0 {
            string(name, 7, 0, out);
        }
        string(value, 7, 0, out);
    }
}

/// Appends a string whose length has a prefix of `prefix` bits; `pattern` has those above the bit that says Huffman.
pub(crate) fn string(text: &[u8], prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    let packed = huffman::encoded_len(text);
    if packed < text.len() {
        integer::encode(packed, prefix, pattern | 1 << prefix, out);
        huffman::encode(text, out);
    } else {
        integer::encode(text.len(), prefix, pattern, out);
        out.extend_from_slice(text);
    }
}

/// Eight bytes at a time; never 0, which is an empty slot.
pub(crate) fn hash(name: &[u8], value: &[u8]) -> u32 {
    let mut state = (name.len() as u64) << 32 | value.len() as u64;
    let mut mix = |word: u64| state = (state.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    for text in [name, value] {
        let (words, tail) = text.as_chunks::<8>();
        for word in words {
            mix(u64::from_le_bytes(*word));
        }
        mix(tail.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)));
    }
    (state >> 32) as u32 | 1
}

pub(crate) const SLOTS: usize = 128;

/// Where a name's search in `NAMES` begins.
pub(crate) const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() * 29 + *first as usize * 7 + *last as usize * 3 + name[name.len() / 2] as usize) % SLOTS,
        _ => 0,
    }
}

/// The index of the first static field of each name.
static NAMES: [u8; SLOTS] = {
    let mut names = [0; SLOTS];
    let mut at = 0;
    while at < STATIC.len() {
        if at == 0 || !same(STATIC[at].0, STATIC[at - 1].0) {
            let mut slot = slot(STATIC[at].0.as_bytes());
            while names[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            names[slot] = narrow::byte(at + 1);
        }
        at += 1;
    }
    names
};

pub(crate) const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

fn static_name(name: &[u8]) -> Option<usize> {
    let mut at = slot(name);
    loop {
        let index = usize::from(NAMES.get(at).copied()?);
        if STATIC.get(index.checked_sub(1)?)?.0.as_bytes() == name {
            return Some(index);
        }
        at = (at + 1) % SLOTS;
    }
}

/// The index of the whole field; `first` is that of its name.
fn static_field(first: usize, name: &[u8], value: &[u8]) -> Option<usize> {
    let alike = STATIC.iter().enumerate().skip(first - 1).take_while(|(_, field)| field.0.as_bytes() == name);
    alike.filter(|(_, field)| !value.is_empty() && field.1.as_bytes() == value).map(|(at, _)| at + 1).next()
}
