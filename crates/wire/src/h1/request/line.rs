//! The request line (RFC 9112 section 3), in the forms nginx accepts.

use super::Head;
use crate::h1::error::HeadError;
use crate::h1::method::Method;
use crate::h1::version::Version;
use crate::span::Span;
use crate::uri::shape::{self, Shape};

/// Checks the bytes of a method as they arrive, so that a client that speaks another protocol
/// (TLS on a plain port, for one) is refused by its first byte. Returns where the method ends.
pub(super) fn method_end(buf: &[u8], start: usize, from: usize) -> Result<Option<usize>, HeadError> {
    for (at, &byte) in buf.iter().enumerate().skip(from) {
        match byte {
            b'A'..=b'Z' | b'_' | b'-' => {}
            b' ' if at > start => return Ok(Some(at)),
            _ => return Err(HeadError::InvalidMethod),
        }
    }
    Ok(None)
}

/// Reads the line `start..lf` into `head`; the method ends at `method_end`.
pub(super) fn parse(buf: &[u8], start: usize, method_end: usize, lf: usize, head: &mut Head) -> Result<(), HeadError> {
    let whole = buf.get(..lf).unwrap_or(&[]);
    let line = whole.strip_suffix(b"\r").unwrap_or(whole);
    head.line = Span::new(start, line.len());
    head.method_span = Span::new(start, method_end);
    head.method = Method::of(head.method_span.of(buf));
    let mut cursor = Cursor { line, at: method_end };
    cursor.spaces();
    if head.method == Method::Connect {
        authority(&mut cursor, head)?;
    } else {
        target(&mut cursor, head)?;
    }
    cursor.spaces();
    version(&mut cursor, head)?;
    if head.version.is_09() && head.method != Method::Get {
        return Err(HeadError::InvalidMethod09);
    }
    Ok(())
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn spaces(&mut self) {
        self.skip(|byte| byte == b' ');
    }

    fn skip(&mut self, accept: impl Fn(u8) -> bool) -> Span {
        let rest = self.line.get(self.at..).unwrap_or(&[]);
        let n = rest.iter().take_while(|&&byte| accept(byte)).count();
        self.at += n;
        Span::new(self.at - n, self.at)
    }

    fn skip_literal(&mut self, text: &[u8]) -> Result<(), HeadError> {
        let rest = self.line.get(self.at..).unwrap_or(&[]);
        if !rest.starts_with(text) {
            return Err(HeadError::InvalidRequest);
        }
        self.at += text.len();
        Ok(())
    }
}

fn target(cursor: &mut Cursor<'_>, head: &mut Head) -> Result<(), HeadError> {
    match cursor.peek() {
        Some(b'/') => {}
        Some(byte) if byte.is_ascii_alphabetic() => {
            head.schema = cursor.skip(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
            cursor.skip_literal(b"://")?;
            host(cursor, head, false)?;
            if cursor.peek() == Some(b' ') {
                // The path of `http://host` is `/`: the first slash after the scheme serves.
                head.target = Span::new(head.schema.end as usize + 1, head.schema.end as usize + 2);
                return Ok(());
            }
            if !matches!(cursor.peek(), Some(b'/' | b'?')) {
                return Err(HeadError::InvalidRequest);
            }
        }
        // Asterisk form too: nginx refuses `OPTIONS *`.
        _ => return Err(HeadError::InvalidRequest),
    }
    let rest = cursor.line.get(cursor.at..).unwrap_or(&[]);
    let end = cursor.at + memchr::memchr(b' ', rest).unwrap_or(rest.len());
    head.target = Span::new(cursor.at, end);
    head.shape = shape::scan(head.target.of(cursor.line)).map_err(|_| HeadError::InvalidRequest)?;
    cursor.at = end;
    Ok(())
}

fn authority(cursor: &mut Cursor<'_>, head: &mut Head) -> Result<(), HeadError> {
    host(cursor, head, true)?;
    if cursor.peek() != Some(b' ') {
        return Err(HeadError::InvalidRequest);
    }
    cursor.spaces();
    // There is no path; nginx lets the slash of `HTTP/` stand for it.
    let slash = cursor.at + 4;
    if cursor.line.get(slash) == Some(&b'/') {
        head.target = Span::new(slash, slash + 1);
        head.shape = Shape::default();
    }
    Ok(())
}

/// Host and optional port; CONNECT needs the port (RFC 9112, 3.2.3).
fn host(cursor: &mut Cursor<'_>, head: &mut Head, port_needed: bool) -> Result<(), HeadError> {
    let start = cursor.at;
    if cursor.peek() == Some(b'[') {
        cursor.at += 1;
        cursor.skip(|b| b.is_ascii_alphanumeric() || b":-._~!$&'()*+,;=".contains(&b));
        cursor.skip_literal(b"]")?;
    } else {
        cursor.skip(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    }
    let mut port = Span::default();
    if cursor.peek() == Some(b':') {
        cursor.at += 1;
        port = cursor.skip(|b| b.is_ascii_digit());
    }
    if port_needed && port.is_empty() {
        return Err(HeadError::InvalidRequest);
    }
    head.host = Some(Span::new(start, cursor.at));
    Ok(())
}

fn version(cursor: &mut Cursor<'_>, head: &mut Head) -> Result<(), HeadError> {
    if cursor.peek().is_none() {
        head.version = Version::HTTP_09;
        return Ok(());
    }
    let start = cursor.at;
    cursor.skip_literal(b"HTTP/")?;
    let major = number(cursor.skip(|b| b.is_ascii_digit()).of(cursor.line));
    match major {
        Some(1) if cursor.line.get(start + 5) == Some(&b'1') => {}
        Some(2..) if cursor.line.get(start + 5) != Some(&b'0') => {
            return Err(HeadError::InvalidVersion);
        }
        _ => return Err(HeadError::InvalidRequest),
    }
    cursor.skip_literal(b".")?;
    let minor = number(cursor.skip(|b| b.is_ascii_digit()).of(cursor.line));
    let minor = minor.filter(|&n| n < 1000).ok_or(HeadError::InvalidRequest)?;
    cursor.spaces();
    if cursor.peek().is_some() {
        return Err(HeadError::InvalidRequest);
    }
    head.protocol = Span::new(start, cursor.at);
    head.version = Version { major: 1, minor };
    Ok(())
}

/// A short decimal number; what is too long for nginx's counters saturates.
fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    let add = |n: u16, &d: &u8| n.saturating_mul(10).saturating_add(u16::from(d - b'0'));
    Some(digits.iter().fold(0, add))
}
