//! Texts in SSI parameters: `$name`, `${name}`, and the escapes of nginx.

use super::values::push_value;
use http::Request;
use std::borrow::Cow;

/// Replaces variables; `\` takes the meaning from `$`, quotes and itself. `None`: a name is malformed.
pub(super) fn evaluate<'a>(request: &Request, text: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let Some(first) = memchr::memchr2(b'\\', b'$', text) else { return Some(Cow::Borrowed(text)) };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some(at) = next {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = match special {
            [b'\\', escaped @ (b'\\' | b'\'' | b'"' | b'$'), after @ ..] => {
                out.push(*escaped);
                after
            }
            [b'$', after @ ..] => {
                let (name, after) = name(after)?;
                push_value(request, name, &mut out);
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
            [] => special,
        };
        next = memchr::memchr2(b'\\', b'$', rest);
    }
    out.extend_from_slice(rest);
    Some(Cow::Owned(out))
}

/// The name behind a `$`, and the rest.
pub(super) fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"{");
    let body = inner.unwrap_or(text);
    let end = body.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_')).unwrap_or(body.len());
    let (name, rest) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    match inner {
        Some(_) => rest.strip_prefix(b"}").map(|rest| (name, rest)),
        None => Some((name, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name(b"a_1 x"), Some((&b"a_1"[..], &b" x"[..])));
        assert_eq!(name(b"{a}x"), Some((&b"a"[..], &b"x"[..])));
        assert_eq!(name(b"{a"), None);
        assert_eq!(name(b""), None);
    }
}
