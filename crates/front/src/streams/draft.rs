//! The fields of an answer's head before they are packed.

use http::headers::push_clean;

/// A head before it is packed: one buffer that serves all heads of the worker.
#[derive(Default)]
pub struct Draft {
    bytes: Vec<u8>,
    /// Where names and values end.
    ends: Vec<(usize, usize)>,
}

impl Draft {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        push_clean(&mut self.bytes, name);
        self.bytes.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        self.end_with(|out| push_clean(out, value));
    }

    /// A field whose name is known: it is in lower case.
    pub(super) fn known(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.end_with(value);
    }

    fn end_with(&mut self, value: impl FnOnce(&mut Vec<u8>)) {
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.ends.push((middle, self.bytes.len()));
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(middle, end)| {
            let name = self.bytes.get(start..middle).unwrap_or_default();
            start = end;
            (name, self.bytes.get(middle..end).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_nothing_splits() {
        let mut draft = Draft::default();
        draft.field(b"X-Name", b"A b");
        draft.field(b"Bad\r\n", b"v\r\nx: y");
        draft.known("empty", |_| {});
        let all: Vec<_> = draft.iter().collect();
        assert_eq!(all, [(&b"x-name"[..], &b"A b"[..]), (b"bad%0d%0a", b"v%0D%0Ax: y"), (b"empty", b"")]);
    }
}
