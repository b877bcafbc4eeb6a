//! Targets named by the configuration, Lua code or an upstream: `X-Accel-Redirect`, `ngx.exec`, `ngx.location.capture`, SSI includes, DAV
//! destinations.

use super::BadUri;
use super::escape::{Unescape, unescape};
use crate::span::Span;

/// An internal target that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path in the text given, when it holds no escape; `None` when it was decoded to the
    /// buffer given to [`check`].
    pub plain: Option<Span>,
    /// The arguments in the text given; `None` when there is no `?`.
    pub args: Option<Span>,
}

impl Target {
    /// The path, in whichever of the two buffers it is.
    #[must_use]
    pub fn path<'a>(&self, text: &'a [u8], out: &'a [u8]) -> &'a [u8] {
        self.plain.map_or(out, |span| span.of(text))
    }
}

/// Splits and decodes `text`. `out` is cleared and receives the path when it had escapes.
///
/// # Errors
/// An empty path, a NUL, or a `..` segment, before or after decoding: nginx logs these as
/// `unsafe URI "..." was detected`.
pub fn check(text: &[u8], out: &mut Vec<u8>) -> Result<Target, BadUri> {
    out.clear();
    let question = memchr::memchr(b'?', text);
    let path = text.get(..question.unwrap_or(text.len())).unwrap_or(&[]);
    if path.is_empty() || has_parent_segment(path) {
        return Err(BadUri);
    }
    let args = question.map(|at| Span::new(at + 1, text.len()));
    if memchr::memchr(b'%', path).is_none() {
        return Ok(Target { plain: Some(Span::new(0, path.len())), args });
    }
    unescape(path, Unescape::Plain, out);
    if out.is_empty() || has_parent_segment(out) {
        return Err(BadUri);
    }
    Ok(Target { plain: None, args })
}

fn has_parent_segment(path: &[u8]) -> bool {
    memchr::memchr(0, path).is_some() || path.split(|&byte| byte == b'/').any(|part| part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut out = Vec::new();
        let target = check(text.as_bytes(), &mut out).ok()?;
        let path = target.path(text.as_bytes(), &out).to_vec();
        Some((path, target.args.map(|span| span.of(text.as_bytes()).to_vec())))
    }

    #[test]
    fn safe_ones() {
        assert_eq!(split("/a/b?c"), Some((b"/a/b".to_vec(), Some(b"c".to_vec()))));
        assert_eq!(split("/a%20b"), Some((b"/a b".to_vec(), None)));
        assert_eq!(split("/a/..b/c.."), Some((b"/a/..b/c..".to_vec(), None)));
        assert_eq!(split("/a?/../"), Some((b"/a".to_vec(), Some(b"/../".to_vec()))));
        assert_eq!(split("/a%3fb?"), Some((b"/a?b".to_vec(), Some(Vec::new()))));
    }

    #[test]
    fn unsafe_ones() {
        for text in ["", "?a", "..", "../a", "/../a", "/a/..", "/a/../b", "/%2e%2e/a", "/a%2f..", "/a\0b", "/a%00b", "%2e%2e", "%"] {
            assert_eq!(split(text), None, "{text:?}");
        }
    }
}
