//! Texts in SSI parameters: `$name`, `${name}`, and the escapes of nginx.

use super::CommandError;
use super::values::append_value;
use http::Request;
use std::borrow::Cow;

/// Replaces variables; `\` takes the meaning from `$`, quotes and itself.
///
/// # Errors
/// A name is malformed.
pub(super) fn evaluate<'a>(request: &Request, text: &'a [u8]) -> Result<Cow<'a, [u8]>, CommandError> {
    if memchr::memchr2(b'\\', b'$', text).is_none() {
        return Ok(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => match rest.split_first() {
                Some((&next @ (b'\\' | b'\'' | b'"' | b'$'), after)) => {
                    out.push(next);
                    rest = after;
                }
                _ => out.push(b'\\'),
            },
            b'$' => {
                let Some((name, after)) = name(rest) else {
                    return Err(CommandError(format!("invalid variable name in \"{}\"", String::from_utf8_lossy(text))));
                };
                append_value(request, name, &mut out);
                rest = after;
            }
            byte => out.push(byte),
        }
    }
    Ok(out.into())
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
