//! The functions behind the directives.

use super::{base32, numbers};
use base::clock;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use conf::configs::ConfMap;
use hmac::{Hmac, Mac};
use http::set_function::CallError;
use http::set_function::SetFunction;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use std::io::Write;
use wire::sql::push_literal;
use wire::uri::escape::{Class, Unescape, escape, unescape};

/// A function that always has a value.
macro_rules! total {
    ($name:literal, $doc:literal, $call:expr) => {
        SetFunction {
            name: $name,
            doc: $doc,
            call: |_, text, out| {
                let call: fn(&[u8], &mut Vec<u8>) = $call;
                call(text, out);
                Ok(())
            },
        }
    };
}

/// The functions of one value.
// tidy: table
pub(super) const ALL: &[SetFunction] = &[
    total!("set_escape_uri", "Assigns a text percent-encoded.", |text, out| escape(text, Class::UriComponent, out)),
    total!("set_unescape_uri", "Assigns a text percent-decoded.", |text, out| unescape(text, Unescape::Form, out)),
    total!("set_quote_sql_str", "Assigns a text as a literal of MySQL.", |text, out| push_literal(text, b"$", out)),
    total!("set_quote_pgsql_str", "Assigns a text as a literal of PostgreSQL.", push_postgres),
    total!("set_quote_json_str", "Assigns a text as a literal of JSON.", push_json),
    total!("set_encode_base64", "Assigns a text in Base64.", |text, out| out.extend(STANDARD.encode(text).bytes())),
    SetFunction { name: "set_decode_base64", doc: "Assigns a text decoded from Base64.", call: decode_base64 },
    total!("set_encode_base64url", "Assigns a text in Base64 for URLs.", |text, out| out.extend(URL_SAFE_NO_PAD.encode(text).bytes())),
    SetFunction { name: "set_decode_base64url", doc: "Assigns a text decoded from Base64 for URLs.", call: decode_base64url },
    SetFunction { name: "set_encode_base32", doc: "Assigns a text in Base32.", call: base32::encode },
    SetFunction { name: "set_decode_base32", doc: "Assigns a text decoded from Base32.", call: base32::decode },
    total!("set_encode_hex", "Assigns a text in hexadecimal digits.", push_hex),
    SetFunction {
        name: "set_decode_hex",
        doc: "Assigns a text decoded from hexadecimal digits.",
        call: |_, text, out| decode_hex(text, out),
    },
    total!("set_md5", "Assigns the MD5 of a text.", |text, out| push_hex(&Md5::digest(text), out)),
    total!("set_sha1", "Assigns the SHA-1 of a text.", |text, out| push_hex(&Sha1::digest(text), out)),
    total!("set_formatted_gmt_time", "Assigns the time in GMT in a format of strftime(3).", |text, out| push_date(text, false, out)),
    total!("set_formatted_local_time", "Assigns the local time in a format of strftime(3).", |text, out| push_date(text, true, out)),
    SetFunction { name: "set_secure_random_alphanum", doc: "Assigns random letters and digits.", call: numbers::letters_and_digits },
    SetFunction { name: "set_secure_random_lcalpha", doc: "Assigns random small letters.", call: numbers::letters },
];

fn push_date(format: &[u8], local: bool, out: &mut Vec<u8>) {
    base::date::push(format, clock::now().sec, local, out);
}

fn decode_base64(_: &ConfMap, text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    decode(&alphabet::STANDARD, text, out).ok_or_else(|| "set_decode_base64: invalid value".into())
}

fn decode_base64url(_: &ConfMap, text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    decode(&alphabet::URL_SAFE, text, out).ok_or_else(|| "set_decode_base64url: invalid value".into())
}

fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

fn decode_hex(text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for pair in text.chunks(2) {
        let byte = match pair {
            [high, low] => digit(*high).zip(digit(*low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            _ => None,
        };
        out.push(byte.ok_or_else(|| "set_decode_hex: invalid value".to_owned())?);
    }
    Ok(())
}

/// Lenient as nginx: padding may be there or not, and left-over bits do not count.
fn decode(alphabet: &alphabet::Alphabet, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent);
    out.extend_from_slice(&GeneralPurpose::new(alphabet, lenient).decode(text).ok()?);
    Some(())
}

/// A literal with escapes (PostgreSQL manual, 4.1.2.2). A text that is no UTF-8 has its bytes in octal, as `bytea` takes them.
fn push_postgres(text: &[u8], out: &mut Vec<u8>) {
    if text.is_empty() {
        return out.extend_from_slice(b"''");
    }
    out.push(b'E');
    if std::str::from_utf8(text).is_ok() {
        return push_literal(text, b"$", out);
    }
    let mut literal = Vec::new();
    push_literal(text, b"$", &mut literal);
    for byte in literal {
        // Writing to a Vec cannot fail.
        let _ = if byte.is_ascii() { out.write_all(&[byte]) } else { write!(out, "\\\\{byte:03o}") };
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

/// RFC 2104 with SHA-256.
pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
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

    fn output(make: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        make(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn literals() {
        assert_eq!(output(|out| push_json(b"a\"\x01", out)), "\"a\\\"\\u0001\"");
        assert_eq!(output(|out| push_json(b"", out)), "null");
        assert_eq!(output(|out| push_postgres("it's $1 \u{e4}".as_bytes(), out)), "E'it\\'s \\$1 \u{e4}'");
        assert_eq!(output(|out| push_postgres(b"a\xff\x81'", out)), "E'a\\\\377\\\\201\\''");
        assert_eq!(output(|out| push_postgres(b"", out)), "''");
    }

    #[test]
    fn decoding() {
        assert_eq!(output(|out| assert!(decode_hex(b"6d6F", out).is_ok())), "mo");
        for bad in ["6d6", "6x"] {
            assert_eq!(decode_hex(bad.as_bytes(), &mut Vec::new()), Err("set_decode_hex: invalid value".into()));
        }
        assert_eq!(output(|out| assert!(decode(&alphabet::STANDARD, b"bW9vbiE", out).is_some())), "moon!");
        assert_eq!(decode(&alphabet::STANDARD, b"?", &mut Vec::new()), None);
    }

    #[test]
    fn keyed_digest() {
        // RFC 2202, test case 2.
        let mut hex = Vec::new();
        push_hex(&hmac_sha1(b"Jefe", b"what do ya want for nothing?"), &mut hex);
        assert_eq!(hex, b"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }
}
