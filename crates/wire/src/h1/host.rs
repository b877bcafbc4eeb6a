//! Valid values of `Host` and of the authority of an absolute target (RFC 3986, 3.2.2).

use crate::narrow;

/// A valid authority, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// The name or bracketed address, without the port and without one trailing dot.
    pub name: &'a [u8],
    /// The port; 0 when there is none, as nginx has it.
    pub port: u16,
    /// The name holds capitals, so it must be lower-cased before servers are looked up.
    pub upper: bool,
}

const UPPER: u8 = 1;
const DOT: u8 = 2;
/// `:` stands in bracketed addresses only.
const BRACKETED_ONLY: u8 = 4;
/// `%` stands outside of brackets only.
const PLAIN_ONLY: u8 = 8;
const BAD: u8 = 16;

static CLASS: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match narrow::byte(byte) {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => 0,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => 0,
            b'.' => DOT,
            b':' => BRACKETED_ONLY,
            b'%' => PLAIN_ONLY,
            _ => BAD,
        };
        byte += 1;
    }
    table
};

/// Takes `text` apart by the rules that choose the server block.
///
/// `None` for an empty name, two dots in a row, a byte outside RFC 3986's `reg-name`,
/// an open bracket, text behind a bracket, or a port that is no 16-bit number.
#[must_use]
pub fn validate(text: &[u8]) -> Option<Host<'_>> {
    let split = if text.first() == Some(&b'[') {
        memchr::memchr(b']', text)? + 1
    } else {
        text.iter().position(|byte| *byte == b':').unwrap_or(text.len())
    };
    let (name, rest) = text.split_at_checked(split)?;
    let bracketed = name.first() == Some(&b'[');
    let inner = if bracketed { name.get(1..name.len().checked_sub(1)?)? } else { name };
    let forbidden = if bracketed { PLAIN_ONLY | BAD } else { BRACKETED_ONLY | BAD };
    let (mut seen, mut last) = (0, 0);
    for &byte in inner {
        let class = CLASS.get(usize::from(byte)).copied().unwrap_or(BAD);
        // Two dots in a row.
        if class & last & DOT != 0 {
            return None;
        }
        seen |= class;
        last = class;
    }
    if seen & forbidden != 0 {
        return None;
    }
    let upper = seen & UPPER != 0;
    let name = if bracketed { name } else { name.strip_suffix(b".").unwrap_or(name) };
    let port = match rest.split_first() {
        None => 0,
        Some((b':', digits)) => port(digits)?,
        Some(_) => return None,
    };
    (!name.is_empty()).then_some(Host { name, port, upper })
}

fn port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |port, &byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::validate;

    #[test]
    fn accepted() {
        for (text, name, port) in [
            ("Example.com", "Example.com", 0),
            ("a.b.:8080", "a.b", 8080),
            ("a:", "a", 0),
            ("[::1]:80", "[::1]", 80),
            ("a_b%20", "a_b%20", 0),
            ("a:65535", "a", 65535),
            ("a,b", "a,b", 0),
        ] {
            let host = validate(text.as_bytes()).unwrap();
            assert_eq!((host.name, host.port), (name.as_bytes(), port), "{text}");
        }
        assert!(validate(b"ABC").unwrap().upper);
    }

    #[test]
    fn refused() {
        for text in [
            "", ".", ":80", "a..b", "a b", "a/b", "a@b", "[::1", "[::1]x", "a:65536", "a:8x", "a\0", "a\x7f", "a?", "a#", "a\\b", "[a%]",
            "a:80:80", "\u{e9}",
        ] {
            assert_eq!(validate(text.as_bytes()), None, "{text:?}");
        }
    }
}
