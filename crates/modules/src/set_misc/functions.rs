//! The functions behind the directives.

use base::clock;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use std::io::Write;
use wire::uri::escape::{Class, Unescape, escape, unescape};

/// Appends the function's value for the text.
pub(super) type Function = fn(&[u8], &mut Vec<u8>);

/// Name, line for the manual, function. What cannot be decoded becomes empty.
pub(super) const ALL: &[(&str, &str, Function)] = &[
    ("set_escape_uri", "Assigns a text percent-encoded.", |text, out| escape(text, Class::UriComponent, out)),
    ("set_unescape_uri", "Assigns a text percent-decoded.", |text, out| unescape(text, Unescape::Form, out)),
    ("set_quote_sql_str", "Assigns a text as a literal of MySQL.", wire::sql::push_literal),
    ("set_quote_json_str", "Assigns a text as a literal of JSON.", push_json),
    ("set_encode_base64", "Assigns a text in Base64.", |text, out| out.extend(STANDARD.encode(text).bytes())),
    ("set_decode_base64", "Assigns a text decoded from Base64.", |text, out| decode(&alphabet::STANDARD, text, out)),
    ("set_encode_base64url", "Assigns a text in Base64 for URLs.", |text, out| out.extend(URL_SAFE_NO_PAD.encode(text).bytes())),
    ("set_decode_base64url", "Assigns a text decoded from Base64 for URLs.", |text, out| decode(&alphabet::URL_SAFE, text, out)),
    ("set_encode_hex", "Assigns a text in hexadecimal digits.", push_hex),
    ("set_decode_hex", "Assigns a text decoded from hexadecimal digits.", decode_hex),
    ("set_md5", "Assigns the MD5 of a text.", |text, out| push_hex(&Md5::digest(text), out)),
    ("set_sha1", "Assigns the SHA-1 of a text.", |text, out| push_hex(&Sha1::digest(text), out)),
];

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

fn decode_hex(text: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let start = out.len();
    for pair in text.chunks(2) {
        let byte = match pair {
            [high, low] => digit(*high).zip(digit(*low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            _ => None,
        };
        match byte {
            Some(byte) => out.push(byte),
            None => return out.truncate(start),
        }
    }
}

/// Lenient as nginx: padding may be there or not, and left-over bits do not count.
fn decode(alphabet: &alphabet::Alphabet, text: &[u8], out: &mut Vec<u8>) {
    let lenient =
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent);
    if let Ok(bytes) = GeneralPurpose::new(alphabet, lenient).decode(text) {
        out.extend_from_slice(&bytes);
    }
}

/// An empty text is `null`.
fn push_json(text: &[u8], out: &mut Vec<u8>) {
    if text.is_empty() {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    for &byte in text {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'\\' | b'"' => byte,
            0..0x20 => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
    out.push(b'"');
}

/// RFC 2104 with SHA-1.
pub(super) fn hmac_sha1(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Any key is a key: the error cannot come.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// `2026-11-23`, local.
pub(super) fn push_today(out: &mut Vec<u8>) {
    let now = clock::now().sec;
    let day = clock::civil(now.saturating_add(i64::from(clock::offset(now))));
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{:04}-{:02}-{:02}", day.year, day.month, day.day);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> String {
        let mut out = Vec::new();
        let (_, _, function) = ALL.iter().find(|(known, ..)| *known == name).expect("a known function");
        function(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn values() {
        assert_eq!(of("set_escape_uri", "a b/"), "a%20b%2F");
        assert_eq!(of("set_unescape_uri", "a%20b+c"), "a b c");
        assert_eq!(of("set_quote_sql_str", "it's\n"), "'it\\'s\\n'");
        assert_eq!(of("set_quote_json_str", "a\"\u{1}"), "\"a\\\"\\u0001\"");
        assert_eq!(of("set_quote_json_str", ""), "null");
        assert_eq!(of("set_encode_base64", "moon!"), "bW9vbiE=");
        assert_eq!(of("set_decode_base64", "bW9vbiE"), "moon!");
        assert_eq!(of("set_decode_base64", "?"), "");
        assert_eq!(of("set_decode_hex", "6d6F"), "mo");
        assert_eq!(of("set_decode_hex", "6d6"), "");
        assert_eq!(of("set_md5", "hello"), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(of("set_sha1", "hello"), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    }

    #[test]
    fn keyed_digest() {
        // RFC 2202, test case 2.
        let mut hex = Vec::new();
        push_hex(&hmac_sha1(b"Jefe", b"what do ya want for nothing?"), &mut hex);
        assert_eq!(hex, b"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }
}
