//! Repeated header fields: a client sends the same ones with each request of a connection, whatever the target, so only the request line is
//! parsed again.

use super::header::HeaderSpan;
use super::limits::Limits;
use crate::span::Span;

/// A longer section is not kept.
const LONGEST: usize = 2048;
/// Nor is one of more fields.
const MOST: usize = 64;

/// The fields of the last head of a connection. None are kept before its second one: many connections have only one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastHead {
    bytes: Vec<u8>,
    fields: Vec<HeaderSpan>,
    limits: Option<Limits>,
    follows: bool,
}

impl LastHead {
    /// The fields at the start of `rest`, counted from there, and the length of their section, if they are those of the last head.
    pub(super) fn find(&self, rest: &[u8], limits: &Limits) -> Option<(&[HeaderSpan], usize)> {
        let same = !self.bytes.is_empty() && rest.starts_with(&self.bytes) && self.limits == Some(*limits);
        same.then_some((&*self.fields, self.bytes.len()))
    }

    /// Keeps the fields of a head that was read: `section` begins at `start` of the buffer and ends with its empty line.
    pub(super) fn store(&mut self, section: &[u8], start: usize, fields: &[HeaderSpan], limits: &Limits) {
        if !std::mem::replace(&mut self.follows, true) {
            return;
        }
        self.bytes.clear();
        self.fields.clear();
        if section.len() > LONGEST || fields.len() > MOST {
            return;
        }
        let down = |span: Span| span.lowered(start);
        self.bytes.extend_from_slice(section);
        self.fields.extend(fields.iter().map(|field| HeaderSpan { name: down(field.name), value: down(field.value), ..*field }));
        self.limits = Some(*limits);
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Head, Limits, Status};
    use crate::h1::error::HeadError;

    /// What a parser that was used before makes of each head, and a new one.
    fn both(heads: &[&str], limits: &Limits) {
        let mut used = Head::new();
        for (number, text) in heads.iter().enumerate() {
            let (mut fresh, bytes) = (Head::new(), text.as_bytes());
            let expected = fresh.parse(bytes, limits);
            assert_eq!(used.parse(bytes, limits), expected, "{number}: {text}");
            assert_eq!(
                (&used.headers, used.target, used.host, used.parsed_length()),
                (&fresh.headers, fresh.target, fresh.host, fresh.parsed_length())
            );
            used.reset();
        }
    }

    #[test]
    fn a_head_with_the_same_fields_is_understood_as_a_new_one_is() {
        let fields = "Host: a\r\nUser-Agent: b\r\nX_odd: c\r\nCookie: d=e\r\n\r\n";
        let of = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\n{fields}");
        let long = format!("/{}", "x".repeat(1500));
        let heads = [of("/", fields), of("/a", fields), of("/bc", fields), of("/bc", &fields[8..]), of(&long, fields), of("/", fields)];
        let body = heads.clone().map(|head| head + "body");
        let (heads, body) = (heads.each_ref().map(String::as_str), body.each_ref().map(String::as_str));
        for limits in [
            Limits::default(),
            Limits { ignore_invalid: false, ..Limits::default() },
            Limits { max_headers: 3, ..Limits::default() },
            Limits { first: 60, number: 2, size: 60, ..Limits::default() },
            Limits { first: 30, number: 2, size: 40, ..Limits::default() },
        ] {
            both(&heads, &limits);
            both(&body, &limits);
        }
    }

    #[test]
    fn other_rules_are_not_the_last_ones() {
        let (mut head, text) = (Head::new(), b"GET / HTTP/1.1\r\nHost: a\r\nx_y: b\r\n\r\n");
        for underscores in [false, false, false, true, false] {
            let limits = Limits { underscores, ..Limits::default() };
            assert_eq!(head.parse(text, &limits), Ok(Status::Complete { len: text.len() }));
            assert_eq!(head.headers[1].valid, underscores);
            head.reset();
        }
    }

    #[test]
    fn a_section_that_is_not_all_there_is_awaited() {
        let (mut head, text) = (Head::new(), b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n");
        for _ in 0..3 {
            for end in 1..text.len() {
                assert_eq!(head.parse(&text[..end], &Limits::default()), Ok::<_, HeadError>(Status::Partial), "{end}");
            }
            assert_eq!(head.parse(text, &Limits::default()), Ok(Status::Complete { len: text.len() }));
            assert_eq!(head.headers.len(), 2);
            head.reset();
        }
    }
}
