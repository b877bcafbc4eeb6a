//! A compiled `log_format`.

use super::logged::{Direct, Logged};
use conf::tree::SettingError;
use session::variable::{self, VarIndex, Variables};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Default,
    Json,
    None,
}

enum Part<S> {
    Literal(Box<[u8]>),
    Variable(VarIndex),
    /// A number that changes until the line is written although the variable is cached.
    Direct(Direct<S>),
}

/// A format.
pub(super) struct Format<S> {
    parts: Vec<Part<S>>,
    escape: Escape,
}

impl<S: Logged> Format<S> {
    /// Compiles the arguments of `log_format` after the name.
    pub(super) fn compile(args: &[&[u8]], variables: &mut Variables<S>) -> Result<Format<S>, SettingError> {
        let (escape, texts) = match args.split_first() {
            Some((first, rest)) => match first.strip_prefix(b"escape=") {
                Some(b"default") => (Escape::Default, rest),
                Some(b"json") => (Escape::Json, rest),
                Some(b"none") => (Escape::None, rest),
                Some(other) => return Err(format!("unknown log format escaping \"{}\"", String::from_utf8_lossy(other)).into()),
                None => (Escape::Default, args),
            },
            None => (Escape::Default, args),
        };
        let mut parts = Vec::new();
        for text in texts {
            compile_text(text, &mut parts, variables)?;
        }
        Ok(Format { parts, escape })
    }

    /// Appends the line of a session, without its end. Bytes from 128 on are escaped where `non_ascii` says so.
    pub(super) fn push_line(&self, session: &S, non_ascii: bool, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Direct(f) => {
                    f(session, out);
                }
                Part::Variable(index) => {
                    let start = out.len();
                    if !variable::get_flushed(session, *index, out) {
                        if self.escape == Escape::Default {
                            out.push(b'-');
                        }
                        continue;
                    }
                    match self.escape {
                        Escape::Default => escape_from(out, start, if non_ascii { push_default } else { push_ascii }),
                        Escape::Json => escape_from(out, start, push_json),
                        Escape::None => {}
                    }
                }
            }
        }
    }
}

fn compile_text<S: Logged>(text: &[u8], parts: &mut Vec<Part<S>>, variables: &mut Variables<S>) -> Result<(), SettingError> {
    let mut rest = text;
    while !rest.is_empty() {
        let dollar = memchr::memchr(b'$', rest).unwrap_or(rest.len());
        let (literal, tail) = rest.split_at(dollar);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        let Some(tail) = tail.strip_prefix(b"$") else { return Ok(()) };
        let (inner, bracket) = tail.strip_prefix(b"{").map_or((tail, false), |inner| (inner, true));
        let length = inner.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let (name, after) = inner.split_at(length);
        let shown = String::from_utf8_lossy(name);
        rest = match (bracket, after.strip_prefix(b"}")) {
            (true, Some(after)) => after,
            (true, None) => return Err(format!("the closing bracket in \"{shown}\" variable is missing").into()),
            (false, _) => after,
        };
        if name.is_empty() {
            return Err(format!("invalid parameter \"{}\"", String::from_utf8_lossy(text)).into());
        }
        parts.push(match S::uncached(&shown.to_ascii_lowercase()) {
            Some(direct) => Part::Direct(direct),
            None => Part::Variable(variables.index(&shown)),
        });
    }
    Ok(())
}

/// Escapes what was appended from `start` on; most values need nothing.
fn escape_from(out: &mut Vec<u8>, start: usize, push: fn(&mut Vec<u8>, u8)) {
    let Some(first) = out.get(start..).and_then(first_special) else { return };
    let tail = out.split_off(start + first);
    for byte in tail {
        push(out, byte);
    }
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte >= 0x7f)
}

/// Looks at 16 bytes at once, without a branch between them, which the compiler makes vector instructions of.
fn first_special(value: &[u8]) -> Option<usize> {
    let mut from = 0;
    for run in value.chunks(16) {
        if run.iter().fold(false, |found, byte| found | is_special(*byte)) {
            return run.iter().position(|byte| is_special(*byte)).map(|at| from + at);
        }
        from += run.len();
    }
    None
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend(DIGITS.get(usize::from(byte >> 4)));
    out.extend(DIGITS.get(usize::from(byte & 15)));
}

fn push_default(out: &mut Vec<u8>, byte: u8) {
    if !(0x20..0x7f).contains(&byte) || matches!(byte, b'"' | b'\\') {
        out.extend_from_slice(b"\\x");
        push_hex(out, byte);
    } else {
        out.push(byte);
    }
}

/// As [`push_default`], but for bytes that are not ASCII.
fn push_ascii(out: &mut Vec<u8>, byte: u8) {
    if byte.is_ascii() { push_default(out, byte) } else { out.push(byte) }
}

/// JSON strings (RFC 8259 section 7); bytes from 0x7f on pass.
fn push_json(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        0..=0x1f => {
            out.extend_from_slice(b"\\u00");
            return push_hex(out, byte);
        }
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_bytes_are_found_wherever_they_are() {
        for length in [0, 1, 15, 16, 17, 40] {
            assert_eq!(first_special(&vec![b'a'; length]), None);
            for at in 0..length {
                for byte in [0, 0x1f, b'"', b'\\', 0x7f, 0xff] {
                    let mut value = vec![b' '; length];
                    value[at] = byte;
                    assert_eq!(first_special(&value), Some(at), "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn escapes() {
        let mut out = b"keep\" ".to_vec();
        let start = out.len();
        out.extend_from_slice(b"a\"b\\c\n\xc3\x7f");
        escape_from(&mut out, start, push_default);
        assert_eq!(out, b"keep\" a\\x22b\\x5Cc\\x0A\\xC3\\x7F");
        let mut json = b"a\"\\\n\x01\xc3".to_vec();
        escape_from(&mut json, 0, push_json);
        assert_eq!(json, b"a\\\"\\\\\\n\\u0001\xc3");
    }

    #[test]
    fn errors() {
        let mut variables = Variables::<http::Request>::default();
        let compile = |args: &[&[u8]], variables: &mut Variables<http::Request>| Format::compile(args, variables).err();
        assert_eq!(compile(&[b"escape=x", b"y"], &mut variables).unwrap(), "unknown log format escaping \"x\"".into());
        assert_eq!(compile(&[b"a${b"], &mut variables).unwrap(), "the closing bracket in \"b\" variable is missing".into());
        assert_eq!(compile(&[b"a$"], &mut variables).unwrap(), "invalid parameter \"a$\"".into());
        assert!(compile(&[b"escape=json", b"${uri}x$args"], &mut variables).is_none());
    }
}
