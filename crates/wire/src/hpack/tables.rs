//! The static and the dynamic table (RFC 7541, 2.3).

use std::collections::VecDeque;

/// Fields that have an index on every connection (appendix A); the first has index 1.
// tidy: table
pub static STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The overhead of an entry besides its bytes (RFC 7541, 4.1).
pub const OVERHEAD: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: usize,
    name: usize,
    value: usize,
    hash: u32,
}

/// The fields that one side told the other to remember, newest first.
///
/// Names and values stand one after another in one buffer, so that each is one slice; the front that nobody refers to any more is
/// cut off when it is as long as what is still used, and memory is taken only as entries come.
#[derive(Debug)]
pub(crate) struct DynamicTable {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    size: usize,
    max: usize,
    edits: u64,
}

impl DynamicTable {
    /// An empty table that may hold `max` bytes as RFC 7541, 4.1 counts them.
    #[must_use]
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: Vec::new(), size: 0, max, edits: 0 }
    }

    /// How many entries there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The size of the entries as RFC 7541, 4.1 counts it.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What the size may grow to.
    #[must_use]
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// How often it has changed: as long as this stays, the same bytes are the same fields.
    #[must_use]
    pub(crate) fn edits(&self) -> u64 {
        self.edits
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Evicts until the entries fit in `max`.
    pub(crate) fn resize(&mut self, max: usize) {
        self.max = max;
        self.edits += 1;
        self.evict(max);
    }

    fn evict(&mut self, room: usize) {
        while self.size > room
            && let Some(old) = self.entries.pop_back()
        {
            self.size -= old.name + old.value + OVERHEAD;
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    /// Adds a field; one that is larger than the table empties it (RFC 7541, 4.4).
    pub(crate) fn insert(&mut self, name: &[u8], value: &[u8], hash: u32) {
        let need = name.len() + value.len() + OVERHEAD;
        self.edits += 1;
        let Some(room) = self.max.checked_sub(need) else {
            self.evict(0);
            return;
        };
        self.evict(room);
        self.compact();
        self.entries.push_front(Entry { at: self.bytes.len(), name: name.len(), value: value.len(), hash });
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += need;
    }

    fn compact(&mut self) {
        let dead = self.entries.back().map_or(0, |oldest| oldest.at);
        if dead > 512 && dead >= self.bytes.len() - dead {
            self.bytes.drain(..dead);
            for entry in &mut self.entries {
                entry.at -= dead;
            }
        }
    }

    /// The field with the index `at`, where 0 is the newest.
    #[must_use]
    pub(crate) fn get(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(at)?;
        let both = self.bytes.get(entry.at..entry.at + entry.name + entry.value)?;
        both.split_at_checked(entry.name)
    }

    /// What the field with the index `at` was inserted with as `hash`.
    #[must_use]
    pub(crate) fn tag(&self, at: usize) -> u32 {
        self.entries.get(at).map_or(0, |entry| entry.hash)
    }

    /// The index of this very field, when it was inserted with the same `hash`.
    #[must_use]
    pub(crate) fn find(&self, name: &[u8], value: &[u8], hash: u32) -> Option<usize> {
        let same = |(at, entry): (usize, &Entry)| (entry.hash == hash && self.get(at) == Some((name, value))).then_some(at);
        self.entries.iter().enumerate().find_map(same)
    }

    /// The index of a field of this name.
    #[must_use]
    pub(crate) fn find_name(&self, name: &[u8]) -> Option<usize> {
        (0..self.entries.len()).find(|&at| self.get(at).is_some_and(|field| field.0 == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_from_the_end_and_memory_stays_bounded() {
        let mut table = DynamicTable::new(100);
        for i in 0..10_000u32 {
            table.insert(b"name", i.to_string().as_bytes(), i);
            assert!(table.size() <= 100 && table.bytes.len() < 2048, "{}", table.bytes.len());
        }
        assert_eq!(table.get(0), Some((&b"name"[..], &b"9999"[..])));
        assert_eq!(table.get(1), Some((&b"name"[..], &b"9998"[..])));
        assert_eq!(table.get(2), None);
        assert_eq!((table.find(b"name", b"9998", 9998), table.find(b"name", b"9998", 1)), (Some(1), None));
    }

    #[test]
    fn a_field_that_does_not_fit_empties_the_table() {
        let mut table = DynamicTable::new(64);
        table.insert(b"a", b"b", 0);
        table.insert(b"a", &[b'x'; 32], 0);
        assert!(table.entries.is_empty() && table.size() == 0);
        table.insert(b"a", b"b", 0);
        table.resize(0);
        assert!(table.entries.is_empty());
    }
}
