//! One pass over a raw target that detects whether it needs normalisation at all.

use super::BadUri;
use crate::narrow;

/// What a raw target in origin form (`/path?args`) is made of. Offsets are bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// There may be dot segments, doubled slashes or a fragment: the path must be rewritten.
    pub complex: bool,
    /// The path holds a `%`: it must be decoded, and captures from it are escaped again.
    pub quoted: bool,
    /// The path holds a `+`, which captures escape again.
    pub plus: bool,
    /// The target starts with `?`: an absolute URI without a path, whose path is then `/`.
    pub empty_path: bool,
    /// Where the arguments start, one past the `?`. Only sure when nothing needs rewriting.
    pub args: Option<u32>,
    /// Where the extension of the last segment starts, one past its `.`; sure as above.
    pub exten: Option<u32>,
}

impl Shape {
    /// True when the path can be used as it stands in the buffer.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !(self.complex || self.quoted || self.empty_path)
    }
}

const USUAL: u8 = 0;
const SPECIAL: u8 = 1;
const BAD: u8 = 2;

const CLASS: [u8; 256] = {
    let mut class = [USUAL; 256];
    let mut i = 0;
    while i < 256 {
        class[i] = match narrow::byte(i) {
            0..=0x20 | 0x7f => BAD,
            b'%' | b'/' | b'.' | b'?' | b'#' | b'+' => SPECIAL,
            _ => USUAL,
        };
        i += 1;
    }
    class
};

fn class(byte: u8) -> u8 {
    CLASS.get(usize::from(byte)).copied().unwrap_or(BAD)
}

/// Looks at `raw` once.
///
/// # Errors
/// A target that starts with neither `/` nor `?`, or that holds a space or a control byte.
pub fn scan(raw: &[u8]) -> Result<Shape, BadUri> {
    let mut shape = Shape::default();
    match raw.first() {
        Some(b'/') => {}
        Some(b'?') => {
            shape.empty_path = true;
            shape.args = Some(1);
            return finish(raw, 1, shape);
        }
        _ => return Err(BadUri),
    }
    let mut after_slash = true;
    for (at, &byte) in raw.iter().enumerate().skip(1) {
        match class(byte) {
            USUAL => after_slash = false,
            SPECIAL => match byte {
                b'/' if after_slash => {
                    shape.complex = true;
                    return finish(raw, at, shape);
                }
                b'/' => {
                    after_slash = true;
                    shape.exten = None;
                }
                b'.' if after_slash => {
                    shape.complex = true;
                    return finish(raw, at, shape);
                }
                b'.' => shape.exten = u32::try_from(at + 1).ok(),
                b'+' => {
                    shape.plus = true;
                    after_slash = false;
                }
                b'%' => {
                    shape.quoted = true;
                    return finish(raw, at, shape);
                }
                b'?' => {
                    shape.args = u32::try_from(at + 1).ok();
                    return finish(raw, at, shape);
                }
                _ => {
                    shape.complex = true;
                    return finish(raw, at, shape);
                }
            },
            _ => return Err(BadUri),
        }
    }
    Ok(shape)
}

/// The rest can no longer change the verdict, except for a fragment or a byte that is not allowed.
fn finish(raw: &[u8], from: usize, mut shape: Shape) -> Result<Shape, BadUri> {
    for &byte in raw.get(from..).unwrap_or(&[]) {
        if class(byte) == BAD {
            return Err(BadUri);
        }
        shape.complex |= byte == b'#';
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_targets_need_nothing() {
        let shape = scan(b"/a/b.html?x=../%").unwrap();
        assert!(shape.is_plain());
        assert_eq!((shape.args, shape.exten), (Some(10), Some(5)));
        assert_eq!(scan(b"/a.b/c").unwrap().exten, None);
        assert!(scan(b"/a+b").unwrap().plus);
    }

    #[test]
    fn targets_that_need_work() {
        for raw in ["//", "/a//", "/.", "/a/.b", "/#", "/a?b#c", "/%41", "?x", "/a/../b"] {
            assert!(!scan(raw.as_bytes()).unwrap().is_plain(), "{raw}");
        }
        assert!(scan(b"?x").unwrap().empty_path);
    }

    #[test]
    fn bytes_that_no_target_holds() {
        for raw in [&b"/ "[..], b"/\x01", b"/?\x7f", b"/a\0", b"", b"*", b"a/", b"/a//\t", b"/%4 "] {
            assert_eq!(scan(raw), Err(BadUri), "{raw:?}");
        }
        assert!(scan(b"/\xff\xfe").is_ok());
    }
}
