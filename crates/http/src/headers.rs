//! Header fields in order, with their case and bytes as received or set (RFC 9110 section 5).
//!
//! All names and values live in one buffer that is reused from request to request. [`Headers::push`] is the one
//! door: a CR, LF or NUL that tries to pass leaves percent-encoded, so no header can split a message.

use base::saturated::Saturated;

#[derive(Clone, Copy, Debug)]
struct Item {
    name: (u32, u32),
    value: (u32, u32),
}

/// Header fields in the order in which they were received or added.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    items: Vec<Item>,
    received: (usize, usize),
    /// A bit for each kind of name that is or was there (see [`kind`]): most questions are about names that are not.
    kinds: u64,
}

/// One of 64 bits, by a name's length and first letter.
#[inline]
fn kind(name: &[u8]) -> u64 {
    let first = name.first().map_or(0, |byte| usize::from(byte | 0x20));
    1 << ((first ^ name.len().wrapping_mul(13)) & 63)
}

/// Appends a part of a head's line; what would end the line is escaped (RFC 9110, 5.5: CR, LF and NUL are dangerous).
#[inline]
pub fn push_clean(out: &mut Vec<u8>, text: &[u8]) {
    // Most names and values are too short for a vector search to pay.
    let clean = if text.len() < 32 {
        !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
    } else {
        memchr::memchr3(b'\r', b'\n', 0, text).is_none()
    };
    if clean { out.extend_from_slice(text) } else { push_escaped(out, text) }
}

#[cold]
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            0 => out.extend_from_slice(b"%00"),
            other => out.push(other),
        }
    }
}

/// The overhead of a line besides name and value.
const LINE: usize = b": \r\n".len();

/// More fields than these are unusual: their memory is made to measure, and not kept.
const USUAL_FIELDS: usize = 64;

impl Headers {
    /// Removes everything, keeping the memory that heads usually need.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        if self.items.capacity() > USUAL_FIELDS {
            (self.bytes, self.items) = (Vec::new(), Vec::new());
        }
        self.received = (0, 0);
        self.kinds = 0;
    }

    /// Becomes a copy of `other` in its own memory.
    pub fn copy_from(&mut self, other: &Headers) {
        self.bytes.clone_from(&other.bytes);
        self.items.clone_from(&other.items);
        self.received = other.received;
        self.kinds = other.kinds;
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn slice(&self, span: (u32, u32)) -> &[u8] {
        self.bytes.get(span.0 as usize..span.1 as usize).unwrap_or_default()
    }

    fn store(&mut self, text: &[u8]) -> (u32, u32) {
        let start = u32::saturated(self.bytes.len());
        push_clean(&mut self.bytes, text);
        (start, u32::saturated(self.bytes.len()))
    }

    /// Appends a field; others of the same name stay. One without a name would spoil the head, and is none (RFC 9110, 5.1).
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        if name.is_empty() {
            return;
        }
        if self.items.len() >= USUAL_FIELDS {
            self.grow(name.len() + value.len() + LINE);
        }
        let item = self.store_line(name, value);
        self.kinds |= kind(self.slice(item.name));
        self.items.push(item);
    }

    /// Adds a field before all others.
    pub fn push_first(&mut self, name: &[u8], value: &[u8]) {
        let before = self.items.len();
        self.push(name, value);
        if self.items.len() > before {
            self.items.rotate_right(1);
        }
    }

    /// Makes room by an eighth, where a list doubles otherwise: many short fields must have little overhead.
    #[cold]
    fn grow(&mut self, line: usize) {
        if self.items.len() == self.items.capacity() {
            self.items.reserve_exact(self.items.len() / 8);
        }
        if self.bytes.len() + line > self.bytes.capacity() {
            self.bytes.reserve_exact(line + self.bytes.len() / 8);
        }
    }

    /// Stores a field as it stands on the wire, so that a head is written with one copy per field.
    fn store_line(&mut self, name: &[u8], value: &[u8]) -> Item {
        let name = self.store(name);
        self.bytes.extend_from_slice(b": ");
        let value = self.store(value);
        self.bytes.extend_from_slice(b"\r\n");
        Item { name, value }
    }

    /// All fields in order, as (name, whole line with its end). Only for lists made by [`Headers::push`] and
    /// [`Headers::set`].
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|item| (self.slice(item.name), self.slice((item.name.0, item.value.1 + 2))))
    }

    /// Takes over a head as it was received, of `fields` fields, to be followed by [`Headers::push_span`] for its fields. The list must be
    /// empty. The head proper begins at `start`, behind empty lines that were skipped.
    pub fn load(&mut self, head: &[u8], start: usize, fields: usize) {
        if fields > USUAL_FIELDS {
            // Doubling would leave room for as many again.
            self.bytes.reserve_exact(head.len());
            self.items.reserve_exact(fields);
        }
        self.bytes.extend_from_slice(head);
        self.received = (start, self.bytes.len());
    }

    /// Appends a field of the head given to [`Headers::load`], by byte ranges into it; the parser has vouched for the bytes.
    pub fn push_span(&mut self, name: (u32, u32), value: (u32, u32)) {
        self.kinds |= kind(self.slice(name));
        self.items.push(Item { name, value });
    }

    /// The head given to [`Headers::load`].
    pub fn received(&self) -> &[u8] {
        self.bytes.get(self.received.0..self.received.1).unwrap_or_default()
    }

    /// All fields in order, as (name, value).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|item| (self.slice(item.name), self.slice(item.value)))
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        if self.kinds & kind(name) == 0 {
            return None;
        }
        let length = u32::saturated(name.len());
        self.items.iter().position(|item| item.name.1 - item.name.0 == length && self.slice(item.name).eq_ignore_ascii_case(name))
    }

    /// The first value of `name`, compared without case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let item = self.items.get(self.position(name)?)?;
        Some(self.slice(item.value))
    }

    /// All values of `name` in order.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether a field of this name is there.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.position(name).is_some()
    }

    /// Replaces all fields called `name` by one, in the place of the first; appends if there was none.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let Some(first) = self.position(name) else {
            self.push(name, value);
            return;
        };
        let stored = self.store_line(name, value);
        self.kinds |= kind(self.slice(stored.name));
        if let Some(item) = self.items.get_mut(first) {
            *item = stored;
        }
        self.remove_after(first + 1, name);
    }

    /// Replaces the first field called `name`, if there is one; others stay.
    pub fn set_first(&mut self, name: &[u8], value: &[u8]) {
        let Some(first) = self.position(name) else { return };
        let stored = self.store_line(name, value);
        if let Some(item) = self.items.get_mut(first) {
            *item = stored;
        }
    }

    fn remove_after(&mut self, from: usize, name: &[u8]) -> usize {
        if self.kinds & kind(name) == 0 {
            return 0;
        }
        let before = self.items.len();
        let bytes = &self.bytes;
        let mut place = 0;
        self.items.retain(|item| {
            place += 1;
            place <= from || !bytes.get(item.name.0 as usize..item.name.1 as usize).unwrap_or_default().eq_ignore_ascii_case(name)
        });
        before - self.items.len()
    }

    /// Removes all fields called `name`; returns how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        self.remove_after(0, name)
    }

    /// Keeps only the fields that `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let bytes = &self.bytes;
        let text = |span: (u32, u32)| bytes.get(span.0 as usize..span.1 as usize).unwrap_or_default();
        self.items.retain(|item| keep(text(item.name), text(item.value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_case_and_bytes_stay() {
        let mut headers = Headers::default();
        headers.push(b"Host", b"a");
        headers.push(b"X-One", b"1");
        headers.push(b"x-one", b"2");
        assert_eq!(headers.get(b"HOST"), Some(&b"a"[..]));
        assert_eq!(headers.get_all(b"x-ONE").collect::<Vec<_>>(), [b"1", b"2"]);
        headers.set(b"X-ONE", b"3");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [(&b"Host"[..], &b"a"[..]), (&b"X-ONE"[..], &b"3"[..])]);
        assert_eq!(headers.lines().last(), Some((&b"X-ONE"[..], &b"X-ONE: 3\r\n"[..])));
        assert_eq!(headers.remove(b"host"), 1);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn many_short_lines_cost_little_and_are_not_kept() {
        let head = b"X-1: abc\r\n".repeat(990);
        let mut headers = Headers::default();
        headers.load(&head, 0, 990);
        for line in 0..990 {
            let start = line * 10;
            headers.push_span((start, start + 3), (start + 5, start + 8));
        }
        let memory = |headers: &Headers| headers.bytes.capacity() + headers.items.capacity() * size_of::<Item>();
        // Those of a head, and those that come one by one: of upstreams, of trailers, over HTTP/2.
        let mut single = Headers::default();
        (0..990).for_each(|_| single.push(b"X-1", b"abc"));
        for mut headers in [headers, single] {
            assert!(memory(&headers) <= 3 * head.len(), "{}", memory(&headers));
            assert_eq!((headers.len(), headers.get(b"x-1")), (990, Some(&b"abc"[..])));
            headers.clear();
            assert_eq!(memory(&headers), 0);
        }
    }

    #[test]
    fn what_has_no_name_is_no_field() {
        let mut headers = Headers::default();
        headers.push(b"A", b"1");
        headers.push(b"B", b"2");
        headers.push(b"", b"x");
        headers.push_first(b"", b"x");
        headers.set(b"", b"x");
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), [b"A", b"B"]);
    }

    #[test]
    fn a_line_break_cannot_pass() {
        let mut headers = Headers::default();
        headers.push(b"X\r\nY", b"a\r\nSet-Cookie: b\0");
        assert_eq!(headers.iter().next(), Some((&b"X%0D%0AY"[..], &b"a%0D%0ASet-Cookie: b%00"[..])));
    }
}
