//! Base32 (RFC 4648, 6 and 7) with an alphabet of the configuration's.

use conf::configs::ConfMap;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::set_function::CallError;

/// The digits of "base32hex" in small letters.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// A location's Base32 settings.
#[derive(Default)]
pub(super) struct Options {
    padding: Option<bool>,
    alphabet: Option<[u8; 32]>,
}

impl Config for Options {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; padding, alphabet);
    }
}

pub(super) fn rows(at: Context) -> Vec<Row> {
    let at = at | Context::HTTP;
    vec![
        row::flag("set_base32_padding", at, "Whether Base32 is padded with \"=\".", |o: &mut Options| &mut o.padding),
        row::flag("set_misc_base32_padding", at, "Old name of \"set_base32_padding\".", |o: &mut Options| &mut o.padding),
        Row::new("set_base32_alphabet", at, Arity::exactly(1), "The 32 digits of Base32.", alphabet),
    ]
}

fn alphabet(cx: &mut Cx<'_>) -> Result<(), Error> {
    let Ok(digits) = <[u8; 32]>::try_from(cx.arg(0)) else {
        let length = cx.arg(0).len();
        return Err(cx.error_at(0, format!("\"set_base32_alphabet\" directive takes an alphabet of {length} bytes but 32 expected")));
    };
    cx.once(&mut cx.location::<Options>().alphabet, digits)
}

pub(super) fn encode(conf: &ConfMap, text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    let options = conf.share::<Options>().unwrap_or_default();
    push(text, options.alphabet.as_ref().unwrap_or(DIGITS), options.padding.unwrap_or(true), out);
    Ok(())
}

pub(super) fn decode(conf: &ConfMap, text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    read(text, conf.share::<Options>().unwrap_or_default().alphabet.as_ref().unwrap_or(DIGITS), out);
    Ok(())
}

fn push(text: &[u8], digits: &[u8; 32], padding: bool, out: &mut Vec<u8>) {
    for group in text.chunks(5) {
        let bits = group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - group.len()));
        let count = (group.len() * 8).div_ceil(5);
        let at = |i: usize| digits.get((bits >> (35 - 5 * i) & 31) as usize).copied().unwrap_or_default();
        out.extend((0..count).map(at));
        if padding {
            out.extend(std::iter::repeat_n(b'=', 8 - count));
        }
    }
}

/// Appends nothing where a digit is foreign or the length is one that no text has.
fn read(text: &[u8], digits: &[u8; 32], out: &mut Vec<u8>) {
    let start = out.len();
    let end = memchr::memchr(b'=', text).unwrap_or(text.len());
    for group in text.get(..end).unwrap_or_default().chunks(8) {
        let bits = group.iter().try_fold(0u64, |bits, digit| {
            let value = digits.iter().position(|known| known == digit)?;
            Some(bits << 5 | value as u64)
        });
        match bits {
            Some(bits) if !matches!(group.len(), 1 | 3 | 6) => {
                let bytes = (bits << (5 * (8 - group.len()))).to_be_bytes();
                out.extend(bytes.iter().skip(3).take(group.len() * 5 / 8));
            }
            _ => return out.truncate(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        // RFC 4648, 10, in small letters.
        let cases = [
            ("", ""),
            ("f", "co======"),
            ("fo", "cpng===="),
            ("foo", "cpnmu==="),
            ("foob", "cpnmuog="),
            ("fooba", "cpnmuoj1"),
            ("foobar", "cpnmuoj1e8======"),
        ];
        for (text, encoded) in cases {
            let mut out = Vec::new();
            push(text.as_bytes(), DIGITS, true, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), encoded);
            for given in [encoded, encoded.trim_end_matches('=')] {
                let mut back = Vec::new();
                read(given.as_bytes(), DIGITS, &mut back);
                assert_eq!(String::from_utf8_lossy(&back), text);
            }
        }
        for bad in ["c", "cpn", "cpnmuo", "cz", "c\u{e9}"] {
            let mut back = b"x".to_vec();
            read(bad.as_bytes(), DIGITS, &mut back);
            assert_eq!(back, b"x", "{bad}");
        }
    }
}
