//! One header line, of a request, a response or a trailer section (RFC 9112 section 5).

use crate::known::Known;
use crate::narrow;
use crate::span::Span;
use std::fmt;

/// A header field as it stood in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderSpan {
    /// The name, in the sender's case.
    pub name: Span,
    /// The value without surrounding spaces; may be empty.
    pub value: Span,
    /// The name's id.
    pub known: Known,
    /// False when the name holds a byte outside letters, digits and `-` (and `_` where that is
    /// allowed): such a line is dropped and logged under `ignore_invalid_headers on`. Where that is off,
    /// the lines of a request are all valid.
    pub valid: bool,
    /// True when the value holds a control byte other than a tab. nginx accepts these; they
    /// must not be sent on to another server (RFC 9110, 5.5).
    pub control: bool,
}

/// What one line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A field.
    Field(HeaderSpan),
    /// The empty line that ends the section.
    End,
    /// A repeated status line, which IIS is known to send; only in responses, and ignored.
    Repeated,
}

/// A line that is not a header field: where it went wrong, in bytes from the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The part before the offending byte.
    pub before: Span,
    /// The offending byte.
    pub byte: u8,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid header line")
    }
}

impl std::error::Error for BadLine {}

/// How lenient the reader of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `_` in a name is a letter (`underscores_in_headers`; always so for upstreams).
    pub underscores: bool,
    /// The line comes from an upstream: a name without a colon has an empty value and a repeated
    /// status line is skipped, as nginx does.
    pub upstream: bool,
}

const BAD: u8 = 0;
const NAME: u8 = 1;
const UNDERSCORE: u8 = 2;
const COLON: u8 = 3;
const ODD: u8 = 4;

const CLASS: [u8; 256] = {
    let mut class = [ODD; 256];
    let mut i = 0;
    while i < 256 {
        let byte = narrow::byte(i);
        class[i] = match byte {
            0..=0x20 | 0x7f => BAD,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => NAME,
            b'_' => UNDERSCORE,
            b':' => COLON,
            _ => ODD,
        };
        i += 1;
    }
    class
};

/// Reads the line that starts at `start` and whose line feed stands at `lf`.
///
/// # Errors
/// Control bytes or spaces in the name, an empty name, a missing colon (requests only), NUL or a
/// CR that is not part of the line end: all of them are ways to smuggle (RFC 9112, 11.2).
pub fn parse(buf: &[u8], start: usize, lf: usize, rules: Rules) -> Result<Line, BadLine> {
    let line = buf.get(start..lf).unwrap_or(&[]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Ok(Line::End);
    }
    let line = if rules.upstream { without_line_end(line) } else { line };
    let bad = |at: usize| BadLine { before: Span::new(start, start + at), byte: buf.get(start + at).copied().unwrap_or(b'\n') };
    // Most names hold nothing but letters and dashes, and that can be seen without branches.
    let plain = plain_name(line);
    let mut valid = true;
    let mut colon = plain;
    let slow = if plain.is_some() { &[][..] } else { line };
    for (at, &byte) in slow.iter().enumerate() {
        match CLASS.get(usize::from(byte)).copied().unwrap_or(BAD) {
            NAME => {}
            COLON if at > 0 => {
                colon = Some(at);
                break;
            }
            UNDERSCORE => valid &= rules.underscores,
            ODD if rules.upstream && at == 4 && byte == b'/' && line.starts_with(b"HTTP") => {
                return Ok(Line::Repeated);
            }
            ODD => valid = false,
            _ => return Err(bad(at)),
        }
    }
    let (name_end, value_at) = match colon {
        Some(at) => (at, at + 1),
        None if rules.upstream => (line.len(), line.len()),
        None => return Err(bad(line.len())),
    };
    let (first, last) = trim(line, value_at);
    let value = line.get(first..last).unwrap_or(&[]);
    let control = has_control(value);
    if control && let Some(at) = value.iter().position(|&byte| byte == 0 || byte == b'\r') {
        return Err(bad(first + at));
    }
    let name = line.get(..name_end).unwrap_or(&[]);
    Ok(Line::Field(HeaderSpan {
        name: Span::new(start, start + name_end),
        value: Span::new(start + first, start + last),
        known: Known::of(name),
        valid,
        control,
    }))
}

/// Applications that write `\r\n` in text mode send `\r\r\n`. nginx takes any number of CRs before the line feed for the line's
/// end; from clients they are refused, since not every server in front of this one reads them so (RFC 9112, 2.2).
fn without_line_end(line: &[u8]) -> &[u8] {
    let ends = line.iter().rev().take_while(|&&byte| byte == b'\r').count();
    line.get(..line.len() - ends).filter(|rest| !rest.is_empty()).unwrap_or(line)
}

/// Where the colon is when everything before it is plain.
fn plain_name(line: &[u8]) -> Option<usize> {
    let at = memchr::memchr(b':', line).filter(|&at| at > 0)?;
    all_bytes::<8>(line.get(..at)?, |byte| {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        letter | (byte.wrapping_sub(b'0') < 10) | (byte == b'-')
    })
    .then_some(at)
}

/// True when every byte passes. Pieces of fixed size, the last of which overlaps the one before
/// it, let the compiler use wide registers and leave no tail to loop over.
fn all_bytes<const N: usize>(text: &[u8], pass: impl Fn(u8) -> bool) -> bool {
    let piece = |bytes: &[u8; N]| bytes.iter().fold(true, |all, &byte| all & pass(byte));
    match text.last_chunk::<N>() {
        Some(last) => text.as_chunks::<N>().0.iter().all(piece) && piece(last),
        None => text.iter().fold(true, |all, &byte| all & pass(byte)),
    }
}

/// nginx trims spaces only: a tab is part of the value.
fn trim(line: &[u8], from: usize) -> (usize, usize) {
    let rest = line.get(from..).unwrap_or(&[]);
    let lead = rest.iter().take_while(|&&byte| byte == b' ').count();
    if lead == rest.len() {
        return (line.len(), line.len());
    }
    let trail = rest.iter().rev().take_while(|&&byte| byte == b' ').count();
    (from + lead, line.len() - trail)
}

fn has_control(value: &[u8]) -> bool {
    let fine = |byte: u8| ((byte >= 0x20) | (byte == b'\t')) & (byte != 0x7f);
    if value.len() < 16 { !all_bytes::<4>(value, fine) } else { !all_bytes::<16>(value, fine) }
}

/// Reads a whole section of fields, such as the trailers of a chunked body, that ends with an
/// empty line or with the buffer.
///
/// # Errors
/// The first line that is not a field.
pub fn parse_section(buf: &[u8], rules: Rules, out: &mut Vec<HeaderSpan>) -> Result<(), BadLine> {
    let mut start = 0;
    while let Some(found) = memchr::memchr(b'\n', buf.get(start..).unwrap_or(&[])) {
        let lf = start + found;
        match parse(buf, start, lf, rules)? {
            Line::Field(field) => out.push(field),
            Line::End => return Ok(()),
            Line::Repeated => {}
        }
        start = lf + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Rules = Rules { underscores: false, upstream: false };
    const UPSTREAM: Rules = Rules { underscores: true, upstream: true };

    fn field(text: &[u8], rules: Rules) -> Result<(Vec<u8>, Vec<u8>, bool, bool), usize> {
        match parse(text, 0, text.len() - 1, rules) {
            Ok(Line::Field(h)) => Ok((h.name.of(text).to_vec(), h.value.of(text).to_vec(), h.valid, h.control)),
            Ok(_) => Err(usize::MAX),
            Err(bad) => Err(bad.before.len()),
        }
    }

    #[test]
    fn values_lose_spaces_and_keep_tabs() {
        let ok = |v: &str| Ok((b"A".to_vec(), v.as_bytes().to_vec(), true, false));
        assert_eq!(field(b"A:  b c \r\n", CLIENT), ok("b c"));
        assert_eq!(field(b"A:\tb\n", CLIENT), ok("\tb"));
        assert_eq!(field(b"A:\r\n", CLIENT), ok(""));
        assert_eq!(field(b"A:   \r\n", CLIENT), ok(""));
        assert_eq!(field(b"A:b:c\r\n", CLIENT), ok("b:c"));
    }

    #[test]
    fn carriage_returns_before_the_end_belong_to_it_where_an_upstream_writes_them() {
        let ok = |v: &str| Ok((b"A".to_vec(), v.as_bytes().to_vec(), true, false));
        for (text, value) in [(&b"A: b\r\r\n"[..], "b"), (b"A: b\r\r\r\n", "b"), (b"A: b \r\r\n", "b"), (b"A:\r\r\n", ""), (b"A\r\r\n", "")]
        {
            assert_eq!(field(text, UPSTREAM), ok(value), "{text:?}");
            assert!(field(text, CLIENT).is_err(), "{text:?}");
        }
        // An empty line has one CR at most, and no line has one inside.
        for text in [&b"\r\r\n"[..], b"A: b\rc\r\n", b"A: b\r \r\n"] {
            assert!(field(text, UPSTREAM).is_err_and(|at| at != usize::MAX), "{text:?}");
        }
    }

    #[test]
    fn names_are_checked() {
        for (text, at) in [
            (&b"A : b\r\n"[..], 1),
            (b" A: b\r\n", 0),
            (b": b\r\n", 0),
            (b"A\x01: b\r\n", 1),
            (b"A\r\n", 1),
            (b"A\0: b\n", 1),
            (b"\tb\r\n", 0),
            (b"A\r: b\n", 1),
        ] {
            assert_eq!(field(text, CLIENT), Err(at), "{text:?}");
        }
        assert_eq!(field(b"A_b: c\n", CLIENT).map(|f| f.2), Ok(false));
        assert_eq!(field(b"A_b: c\n", UPSTREAM).map(|f| f.2), Ok(true));
        assert_eq!(field(b"A(: c\n", UPSTREAM).map(|f| f.2), Ok(false));
    }

    #[test]
    fn control_bytes_in_values() {
        assert_eq!(field(b"A: b\0\n", CLIENT), Err(4));
        assert_eq!(field(b"A: b\rc\r\n", CLIENT), Err(4));
        assert_eq!(field(b"A: b\r\r\n", CLIENT), Err(4));
        assert_eq!(field(b"A: b\x01\x7f\r\n", CLIENT).map(|f| f.3), Ok(true));
    }

    #[test]
    fn upstream_leniency() {
        assert_eq!(field(b"Foo\r\n", UPSTREAM).map(|f| (f.0, f.1)), Ok((b"Foo".to_vec(), vec![])));
        let again = b"HTTP/1.1 200 OK\r\n";
        assert_eq!(parse(again, 0, again.len() - 1, UPSTREAM), Ok(Line::Repeated));
    }

    #[test]
    fn a_section_stops_at_the_empty_line() {
        let mut out = Vec::new();
        assert!(parse_section(b"A: b\r\nC: d\r\n\r\nE: f\r\n", CLIENT, &mut out).is_ok());
        assert_eq!(out.len(), 2);
        assert!(parse_section(b"A b\r\n", CLIENT, &mut out).is_err());
    }
}
