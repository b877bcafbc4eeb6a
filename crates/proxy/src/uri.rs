//! The rules that make the URI sent upstream (semantics 3.5).

use http::Request;

/// What a pass directive says about the URI.
pub(crate) struct UriRule<'a> {
    /// The URL's URI part; empty if it has none.
    pub uri: &'a [u8],
    /// The URL had variables.
    pub evaluated: bool,
    /// Name of the location that the URI part replaces.
    pub location: &'a [u8],
}

/// Appends the URI to be sent.
pub(crate) fn push_uri(request: &Request, rule: &UriRule<'_>, out: &mut Vec<u8>) {
    let line = request.line.borrow();
    if rule.evaluated && !rule.uri.is_empty() {
        push_safe(rule.uri, out);
        return;
    }
    if rule.uri.is_empty() && line.raw_is_valid {
        out.extend_from_slice(&line.raw_uri);
        return;
    }
    let replaced = line.location_is_valid && !rule.uri.is_empty();
    if replaced {
        out.extend_from_slice(rule.uri);
    }
    let skip = if replaced { rule.location.len() } else { 0 };
    let rest = line.uri.get(skip..).unwrap_or_default();
    if line.quoted || request.flags.internal.get() {
        wire::uri::escape::escape(rest, wire::uri::escape::Class::Uri, out);
    } else {
        push_safe(rest, out);
    }
    if !line.args.is_empty() {
        out.push(b'?');
        push_safe(&line.args, out);
    }
}

/// Appends text of a request line: what would end the line or a part of it leaves escaped (reliability A11).
fn push_safe(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|b| *b > b' ' && *b != 0x7f) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        if byte > b' ' && byte != 0x7f {
            out.push(byte);
        } else {
            let hex = |n: u8| b"0123456789ABCDEF".get(usize::from(n)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_cannot_pass_into_the_request_line() {
        let mut out = Vec::new();
        push_safe(b"/a b\r\nX: y", &mut out);
        assert_eq!(out, b"/a%20b%0D%0AX:%20y");
    }
}
