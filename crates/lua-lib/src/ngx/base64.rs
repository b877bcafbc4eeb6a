//! `ngx.encode_base64`, `ngx.decode_base64`, `ngx.decode_base64mime`, and the module `ngx.base64` (RFC 4648).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use lua::{CallContext, Group, PhaseSet, Row};

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.base64",
        rows: vec![
            Row::fast::<ALL, _, _>("encode_base64", encode),
            Row::fast::<ALL, _, _>("decode_base64", decode),
            Row::constant("PLAIN", PLAIN),
            Row::constant("NO_PADDING", NO_PADDING),
            Row::constant("URL", URL),
            Row::constant("MIME", MIME),
        ],
        glue: include_str!("base64.lua"),
    }
}

/// Alphabets and strictness.
const PLAIN: i32 = 0;
const NO_PADDING: i32 = 1;
const URL: i32 = 2;
const MIME: i32 = 3;

fn encode(cx: &CallContext, text: &[u8], how: i32) {
    let engine = match how {
        NO_PADDING => &STANDARD_NO_PAD,
        URL => &URL_SAFE_NO_PAD,
        _ => &STANDARD,
    };
    cx.fill(|out| {
        out.resize(text.len().div_ceil(3) * 4, 0);
        let length = engine.encode_slice(text, out).unwrap_or(0);
        out.truncate(length);
    });
}

/// The value of a digit; `None` for a byte that is none.
fn digit(byte: u8, how: i32) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' if how != URL => 62,
        b'/' if how != URL => 63,
        b'-' if how == URL => 62,
        b'_' if how == URL => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Whether the text could be decoded: the result is in the output buffer then. Like nginx: what follows a `=` does not count, nor do left-over bits.
fn decode(cx: &CallContext, text: &[u8], how: i32) -> bool {
    let mut good = true;
    cx.fill(|out| good = decode_into(text, how, out));
    good
}

fn decode_into(text: &[u8], how: i32, out: &mut Vec<u8>) -> bool {
    let (mut bits, mut count) = (0, 0);
    for &byte in text {
        if byte == b'=' && how != MIME {
            break;
        }
        let Some(value) = digit(byte, how) else {
            if how == MIME {
                continue;
            }
            return false;
        };
        bits = bits << 6 | value;
        count += 1;
        if count % 4 == 0 {
            out.extend_from_slice(&bytes(bits));
            bits = 0;
        }
    }
    match count % 4 {
        1 => return false,
        2 => out.extend_from_slice(&bytes(bits << 12)[..1]),
        3 => out.extend_from_slice(&bytes(bits << 6)[..2]),
        _ => {}
    }
    true
}

/// The three bytes that four digits make.
fn bytes(bits: u32) -> [u8; 3] {
    let [_, bytes @ ..] = bits.to_be_bytes();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngx::tests::evaluate;

    #[test]
    fn encoding() {
        assert_eq!(evaluate("ngx.encode_base64('hello'), ngx.encode_base64('hello', true), ngx.encode_base64(nil)"), "aGVsbG8= aGVsbG8 ");
        assert_eq!(evaluate("require 'ngx.base64'.encode_base64url('\\255\\254\\253\\252')"), "__79_A");
        assert_eq!(
            evaluate("select(2, pcall(function() ngx.encode_base64('a', 1) end))"),
            "test:1: bad no_padding: boolean expected, got number"
        );
    }

    #[test]
    fn decoding() {
        let plain = |text: &[u8], how| {
            let mut out = Vec::new();
            decode_into(text, how, &mut out).then(|| String::from_utf8_lossy(&out).into_owned())
        };
        assert_eq!(plain(b"aGVsbG8=", PLAIN).as_deref(), Some("hello"));
        assert_eq!(plain(b"aGVsbG8", PLAIN).as_deref(), Some("hello"));
        assert_eq!(plain(b"aGVsbG8=garbage!", PLAIN).as_deref(), Some("hello"));
        assert_eq!(plain(b"aGVs bG8=", PLAIN), None);
        assert_eq!(plain(b"aGVs\r\nbG8=", MIME).as_deref(), Some("hello"));
        assert_eq!(plain(b"a", PLAIN), None);
        assert_eq!(evaluate("ngx.decode_base64('?'), require 'ngx.base64'.decode_base64url('_-')"), "nil \u{fffd}");
    }
}
