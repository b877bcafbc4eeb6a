//! The fields of a response head before they are compressed.

use http::headers::push_clean;
use wire::hpack::FieldList;

/// A head before it is packed.
#[derive(Default)]
pub(super) struct HeadBuilder(pub(super) FieldList);

impl HeadBuilder {
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        let lower = |out: &mut Vec<u8>| {
            let start = out.len();
            push_clean(out, name);
            out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        };
        self.0.push_with(lower, |out| push_clean(out, value));
    }

    /// A field whose name is known: it is in lower case.
    pub(super) fn known(&mut self, name: &'static str, value: impl FnOnce(&mut Vec<u8>)) {
        self.0.push_with(|out| out.extend_from_slice(name.as_bytes()), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_nothing_splits() {
        let mut draft = HeadBuilder::default();
        draft.field(b"X-Name", b"A b");
        draft.field(b"Bad\r\n", b"v\r\nx: y");
        draft.known("empty", |_| {});
        let all: Vec<_> = draft.0.iter().collect();
        assert_eq!(all, [(&b"x-name"[..], &b"A b"[..]), (b"bad%0d%0a", b"v%0D%0Ax: y"), (b"empty", b"")]);
    }
}
