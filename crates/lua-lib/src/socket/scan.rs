//! What a receive looks for in the bytes that have arrived.

use std::borrow::Cow;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Up to a line feed, which is dropped with all carriage returns.
    Line,
    /// Everything up to the end of the stream.
    All,
    /// So many bytes.
    Bytes(usize),
    /// Whatever is there, at most so many bytes.
    Any(usize),
    /// Up to a pattern.
    Until {
        /// The pattern; not empty.
        pattern: Vec<u8>,
        /// The pattern belongs to the result.
        inclusive: bool,
        /// At most so many bytes at once; 0 is no limit.
        size: usize,
    },
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The result; a part of the input unless bytes had to be left out.
    pub data: Cow<'a, [u8]>,
    /// How many bytes of the input it takes.
    pub used: usize,
    /// The pattern was reached.
    pub complete: bool,
}

impl Pattern {
    /// The result, if `input` has it. `seen` bytes were looked through before; it is moved on.
    pub fn find<'a>(&self, input: &'a [u8], seen: &mut usize, eof: bool) -> Option<Match<'a>> {
        let found = |data: &'a [u8], used, complete| Some(Match { data: Cow::Borrowed(data), used, complete });
        match self {
            Pattern::Line => match line(input, *seen) {
                Some((data, used)) => Some(Match { data, used, complete: true }),
                None => {
                    *seen = input.len();
                    None
                }
            },
            Pattern::All if eof => found(input, input.len(), true),
            Pattern::All => None,
            Pattern::Bytes(count) => found(input.get(..*count)?, *count, true),
            Pattern::Any(_) if input.is_empty() => None,
            Pattern::Any(most) => {
                let used = input.len().min(*most);
                found(input.get(..used)?, used, true)
            }
            Pattern::Until { pattern, inclusive, size } => {
                if *size > 0 {
                    let (end, complete) = sized(input, pattern, *size)?;
                    let used = if complete { end + pattern.len() } else { end };
                    return found(input.get(..if complete && *inclusive { used } else { end })?, used, complete);
                }
                match memchr::memmem::find(input.get(*seen..)?, pattern).map(|place| place + *seen) {
                    Some(place) => {
                        let used = place + pattern.len();
                        found(input.get(..if *inclusive { used } else { place })?, used, true)
                    }
                    None => {
                        *seen = input.len() - tail(input, pattern);
                        None
                    }
                }
            }
        }
    }

    /// What an error hands over of the input: the result and how much it takes.
    pub fn partial(&self, input: &[u8], eof: bool) -> (Vec<u8>, usize) {
        match self {
            Pattern::Line => (without_returns(input).into_owned(), input.len()),
            // A pattern that has begun may go on after a timeout.
            Pattern::Until { pattern, .. } if !eof => {
                let used = input.len() - tail(input, pattern);
                (input.get(..used).unwrap_or_default().to_vec(), used)
            }
            _ => (input.to_vec(), input.len()),
        }
    }
}

/// The first line without its end and without carriage returns, and how much of the input it takes; in the first `seen` bytes no
/// line ends.
pub fn line(input: &[u8], seen: usize) -> Option<(Cow<'_, [u8]>, usize)> {
    let rest = input.get(seen..)?;
    let at = memchr::memchr2(b'\r', b'\n', rest)?;
    if seen == 0 && rest.get(at..at + 2) == Some(b"\r\n") {
        // The usual end of a line is found with one look.
        return Some((Cow::Borrowed(input.get(..at)?), at + 2));
    }
    let at = if rest.get(at) == Some(&b'\n') { at } else { memchr::memchr(b'\n', rest)? };
    let end = seen + at;
    Some((without_returns(input.get(..end)?), end + 1))
}

/// Where a piece of at least `size` bytes ends, and whether the pattern follows it. A piece grows by single bytes and by
/// beginnings of the pattern that turned out to be none, which are not cut: as in OpenResty it may become longer.
fn sized(input: &[u8], pattern: &[u8], size: usize) -> Option<(usize, bool)> {
    // `matched` bytes before `at` may be the pattern's beginning; what is before them is `sure`.
    let (mut at, mut matched) = (0, 0);
    while let Some(byte) = input.get(at) {
        if pattern.get(matched) == Some(byte) {
            at += 1;
            matched += 1;
            if matched == pattern.len() {
                return Some((at - matched, true));
            }
            continue;
        }
        // The longest shorter beginning that goes on with this byte.
        let begun = pattern.get(..matched)?;
        let shorter = (1..matched).rev().find(|n| begun.ends_with(pattern.get(..*n).unwrap_or_default()) && pattern.get(*n) == Some(byte));
        match shorter {
            Some(shorter) => {
                at += 1;
                matched = shorter + 1;
            }
            None if matched > 0 => matched = 0,
            None => at += 1,
        }
        if at - matched >= size {
            return Some((at - matched, false));
        }
    }
    None
}

fn without_returns(line: &[u8]) -> Cow<'_, [u8]> {
    let bare = line.strip_suffix(b"\r").unwrap_or(line);
    match memchr::memchr(b'\r', bare) {
        None => Cow::Borrowed(bare),
        Some(_) => Cow::Owned(bare.iter().copied().filter(|byte| *byte != b'\r').collect()),
    }
}

/// The length of the longest end of `input` with which `pattern` begins.
fn tail(input: &[u8], pattern: &[u8]) -> usize {
    let most = pattern.len().saturating_sub(1).min(input.len());
    (1..=most).rev().find(|n| input.get(input.len() - n..) == pattern.get(..*n)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(want: &Pattern, input: &[u8]) -> Option<(String, usize, bool)> {
        want.find(input, &mut 0, false).map(|f| (String::from_utf8(f.data.into_owned()).unwrap(), f.used, f.complete))
    }

    #[test]
    fn lines_and_bytes() {
        assert_eq!(find(&Pattern::Line, b"a\rb\r\nc"), Some(("ab".into(), 5, true)));
        assert_eq!(find(&Pattern::Line, b"ab\r\nc\rd\ne"), Some(("ab".into(), 4, true)));
        assert_eq!(find(&Pattern::Line, b"ab\nc\r\n"), Some(("ab".into(), 3, true)));
        assert_eq!(find(&Pattern::Line, b"a\r\rb\r"), None);
        assert_eq!(find(&Pattern::Line, b"ab"), None);
        let mut seen = 0;
        assert_eq!(Pattern::Line.find(b"a\rb\r", &mut seen, false), None);
        assert_eq!(Pattern::Line.find(b"a\rb\r\n", &mut seen, false).map(|f| f.data.into_owned()), Some(b"ab".to_vec()));
        assert_eq!(find(&Pattern::Bytes(3), b"ab"), None);
        assert_eq!(find(&Pattern::Bytes(2), b"abc"), Some(("ab".into(), 2, true)));
        assert_eq!(find(&Pattern::Any(2), b"abc"), Some(("ab".into(), 2, true)));
        assert_eq!(Pattern::All.find(b"ab", &mut 0, true).map(|f| f.used), Some(2));
        assert_eq!(find(&Pattern::All, b"ab"), None);
    }

    #[test]
    fn patterns_in_pieces() {
        let until = |size, inclusive| Pattern::Until { pattern: b"--x".to_vec(), inclusive, size };
        assert_eq!(find(&until(0, false), b"ab---xc"), Some(("ab-".into(), 6, true)));
        assert_eq!(find(&until(0, true), b"ab--xc"), Some(("ab--x".into(), 5, true)));
        assert_eq!(find(&until(2, false), b"ab--x"), Some(("ab".into(), 2, false)));
        assert_eq!(find(&until(4, false), b"ab--x"), Some(("ab".into(), 5, true)));
        assert_eq!(find(&until(3, false), b"ab--"), None);
        assert_eq!(find(&until(3, false), b"ab--y"), Some(("ab--".into(), 4, false)));
        let twice = Pattern::Until { pattern: b"ab1ab2".to_vec(), inclusive: false, size: 2 };
        assert_eq!(find(&twice, b"ab1ab1"), Some(("ab1".into(), 3, false)));
        let mut seen = 0;
        assert_eq!(until(0, false).find(b"ab--", &mut seen, false), None);
        assert_eq!(seen, 2);
        assert_eq!(until(0, false).partial(b"ab--", false), (b"ab".to_vec(), 2));
        assert_eq!(until(0, false).partial(b"ab--", true), (b"ab--".to_vec(), 4));
    }
}
