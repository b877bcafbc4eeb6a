//! The path that locations are matched against: decoded, slashes merged, dot segments resolved.

use super::shape::Shape;
use super::{BadUri, hex};
use crate::span::Span;

/// Where the parts of a normalised target are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The path when it stands unchanged in the raw target; `None` when it was written to the
    /// buffer given to [`normalise`].
    pub plain: Option<Span>,
    /// The arguments in the raw target, without `?` and without a fragment; empty when there are none.
    pub args: Span,
    /// The extension of the last segment (`html`), in the path; empty when there is none.
    pub exten: Span,
    /// The path held a `%`.
    pub quoted: bool,
    /// The path held a `+`, plain or escaped.
    pub plus: bool,
    /// The path was rewritten for a reason other than a `%`.
    pub complex: bool,
}

impl Parts {
    /// The normalised path, in whichever of the two buffers it is.
    #[must_use]
    pub fn path<'a>(&self, raw: &'a [u8], out: &'a [u8]) -> &'a [u8] {
        self.plain.map_or(out, |span| span.of(raw))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Usual,
    Slash,
    Dot,
    DotDot,
}

/// Normalises `raw`, whose shape is `shape`. `out` is cleared; it is written only when the path
/// changes, and its capacity is kept from use to use. `merge_slashes` is the directive of that name.
///
/// A path that passes starts with `/` and has no `.` or `..` segment, however it was escaped
/// (with `merge_slashes` off, `//` counts as a segment that `..` can remove, as in nginx).
///
/// # Errors
/// A bad escape, an escaped NUL, or a `..` that leaves the root.
pub fn normalise(raw: &[u8], shape: &Shape, merge_slashes: bool, out: &mut Vec<u8>) -> Result<Parts, BadUri> {
    out.clear();
    if shape.is_plain() {
        return Ok(plain(raw, shape));
    }
    out.reserve(raw.len() + 1);
    if shape.empty_path {
        out.push(b'/');
    }
    let mut walk = Walk { out, exten: None, plus: false, quoted: false, merge_slashes, at: At::Usual };
    let stop = walk.run(raw)?;
    let exten = walk.exten.map_or(Span::default(), |start| Span::new(start, walk.out.len()));
    let args = match raw.get(stop) {
        Some(b'?') => {
            let from = stop + 1;
            let rest = raw.get(from..).unwrap_or(&[]);
            Span::new(from, from + memchr::memchr(b'#', rest).unwrap_or(rest.len()))
        }
        _ => Span::default(),
    };
    let (plus, quoted) = (walk.plus, walk.quoted);
    Ok(Parts { plain: None, args, exten, quoted, plus, complex: shape.complex || shape.empty_path })
}

fn plain(raw: &[u8], shape: &Shape) -> Parts {
    let end = shape.args.map_or(raw.len(), |args| (args as usize).saturating_sub(1));
    let args = shape.args.map_or(Span::default(), |args| Span::new(args as usize, raw.len()));
    let exten = shape.exten.map_or(Span::default(), |start| Span::new(start as usize, end));
    Parts { plain: Some(Span::new(0, end)), args, exten, plus: shape.plus, ..Parts::default() }
}

struct Walk<'a> {
    out: &'a mut Vec<u8>,
    exten: Option<usize>,
    plus: bool,
    quoted: bool,
    merge_slashes: bool,
    at: At,
}

impl Walk<'_> {
    /// Consumes the path and returns the offset of the `?` or `#` that ends it, or the length.
    fn run(&mut self, raw: &[u8]) -> Result<usize, BadUri> {
        let mut i = 0;
        while let Some(&byte) = raw.get(i) {
            i += 1;
            match byte {
                b'?' | b'#' => {
                    self.leave_dots()?;
                    return Ok(i - 1);
                }
                b'%' => {
                    let high = raw.get(i).copied().and_then(hex).ok_or(BadUri)?;
                    let low = raw.get(i + 1).copied().and_then(hex).ok_or(BadUri)?;
                    i += 2;
                    self.quoted = true;
                    match (high << 4) | low {
                        0 => return Err(BadUri),
                        literal @ (b'%' | b'#' | b'?') => {
                            self.at = At::Usual;
                            self.out.push(literal);
                        }
                        decoded => self.byte(decoded)?,
                    }
                }
                _ => self.byte(byte)?,
            }
        }
        self.leave_dots()?;
        Ok(raw.len())
    }

    fn byte(&mut self, byte: u8) -> Result<(), BadUri> {
        match (self.at, byte) {
            (At::Slash, b'/') => {
                if !self.merge_slashes {
                    self.out.push(byte);
                }
            }
            (At::Dot | At::DotDot, b'/') => {
                self.leave_dots()?;
                self.at = At::Slash;
            }
            (At::Usual, b'/') => {
                self.exten = None;
                self.out.push(byte);
                self.at = At::Slash;
            }
            (At::Slash, b'.') => {
                self.out.push(byte);
                self.at = At::Dot;
            }
            (At::Dot, b'.') => {
                self.out.push(byte);
                self.at = At::DotDot;
            }
            (At::Usual, b'.') => {
                self.out.push(byte);
                self.exten = Some(self.out.len());
            }
            _ => {
                self.plus |= byte == b'+';
                self.out.push(byte);
                self.at = At::Usual;
            }
        }
        Ok(())
    }

    /// Takes a `.` or `..` segment away again once it is known to be whole.
    fn leave_dots(&mut self) -> Result<(), BadUri> {
        match self.at {
            At::Dot => {
                self.out.pop();
            }
            At::DotDot => {
                let parent = self.out.len().checked_sub(3).ok_or(BadUri)?;
                let before = self.out.get(..parent).unwrap_or(&[]);
                let slash = memchr::memrchr(b'/', before).ok_or(BadUri)?;
                self.out.truncate(slash + 1);
            }
            At::Usual | At::Slash => {}
        }
        self.at = At::Usual;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::scan;
    use super::*;

    fn normalized(raw: &str, merge: bool) -> Option<(String, String, String)> {
        let shape = scan(raw.as_bytes()).ok()?;
        let mut out = Vec::new();
        let parts = normalise(raw.as_bytes(), &shape, merge, &mut out).ok()?;
        let path = parts.path(raw.as_bytes(), &out);
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Some((text(path), text(parts.args.of(raw.as_bytes())), text(parts.exten.of(path))))
    }

    #[test]
    fn table() {
        for (raw, path, args, exten) in [
            ("/", "/", "", ""),
            ("/a.html?b=c", "/a.html", "b=c", "html"),
            ("/a.tar.gz", "/a.tar.gz", "", "gz"),
            ("/a/./b", "/a/b", "", ""),
            ("/a/../b", "/b", "", ""),
            ("/a/b/..", "/a/", "", ""),
            ("/a/b/.", "/a/b/", "", ""),
            ("/a/b/..?x", "/a/", "x", ""),
            ("/a/.#x", "/a/", "", ""),
            ("//a///b", "/a/b", "", ""),
            ("/%61%2Eb?%61", "/a.b", "%61", "b"),
            ("/a/%2e%2E/b", "/b", "", ""),
            ("/a%2f..%2fb", "/b", "", ""),
            ("/a%3Fb%23c%25d?e#f", "/a?b#c%d", "e", ""),
            ("?x=y", "/", "x=y", ""),
            ("/a/...", "/a/...", "", ""),
            ("/a/..b/.c", "/a/..b/.c", "", ""),
            ("/a#b?c", "/a", "", ""),
            ("/%2e%2e%2f/..%252f", "", "", ""),
            ("/a?b?c", "/a", "b?c", ""),
            ("/a.b/?c#d", "/a.b/", "c", ""),
        ] {
            let expected = (!path.is_empty()).then(|| (path.into(), args.into(), exten.into()));
            assert_eq!(normalized(raw, true), expected, "{raw}");
        }
    }

    #[test]
    fn refused() {
        for raw in ["/..", "/../", "/a/../..", "/%00", "/%0", "/%", "/%zz", "/%4g", "/a/%2e%2e/../x"] {
            assert_eq!(normalized(raw, true), None, "{raw}");
        }
    }

    #[test]
    fn slashes_kept_on_demand() {
        assert_eq!(normalized("//a//b", false).map(|p| p.0).as_deref(), Some("//a//b"));
        assert_eq!(normalized("/a//../b", false).map(|p| p.0).as_deref(), Some("/a/b"));
    }

    #[test]
    fn flags() {
        let shape = scan(b"/a%2Bb").unwrap();
        let mut out = Vec::new();
        let parts = normalise(b"/a%2Bb", &shape, true, &mut out).unwrap();
        assert!(parts.plus && parts.quoted && !parts.complex);
        assert_eq!(out, b"/a+b");
    }
}
