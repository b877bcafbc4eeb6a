//! The status line of an upstream's response (RFC 9112 section 4).

use super::version::Version;
use crate::span::Span;

/// A status line (RFC 9112, 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusLine {
    /// The version; its major number may be anything the upstream sent.
    pub version: Version,
    /// The three-digit code.
    pub code: u16,
    /// Code and reason (`200 OK`) as sent.
    pub text: Span,
}

/// Reads the line that starts at `start` and whose line feed stands at `lf`; `None` when it is no
/// status line. Several spaces before the code, a missing reason and `403.1` pass, as in nginx.
#[must_use]
pub(crate) fn parse(buf: &[u8], start: usize, lf: usize) -> Option<StatusLine> {
    let line = buf.get(start..lf)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let rest = line.strip_prefix(b"HTTP/")?;
    let dot = memchr::memchr(b'.', rest)?;
    let major = digits(rest.get(..dot)?)?;
    let rest = rest.get(dot + 1..)?;
    let space = memchr::memchr(b' ', rest)?;
    let minor = digits(rest.get(..space)?)?;
    let rest = rest.get(space..)?;
    let lead = rest.iter().take_while(|&&byte| byte == b' ').count();
    let rest = rest.get(lead..)?;
    let code = digits(rest.get(..3)?).filter(|&code| code >= 100)?;
    // A CR within the reason would end the line for some readers and not for others.
    let reason_ok = matches!(rest.get(3), None | Some(b' ' | b'.'));
    if major == 0 || !reason_ok || memchr::memchr2(b'\r', 0, rest).is_some() {
        return None;
    }
    let text = Span::new(start + line.len() - rest.len(), start + line.len());
    Some(StatusLine { version: Version { major: u8::try_from(major).ok()?, minor }, code, text })
}

fn digits(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    text.iter().try_fold(0u16, |n, &byte| byte.is_ascii_digit().then(|| n * 10 + u16::from(byte - b'0')))
}
