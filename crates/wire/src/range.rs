//! Byte ranges (RFC 9110 section 14), satisfied the way nginx's range filter does.

/// What a `Range` header asks of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The whole body: the header is not about bytes, or serving the ranges would cost more than
    /// serving everything.
    Whole,
    /// These half-open byte ranges, in the order asked; one makes a plain 206, several a
    /// `multipart/byteranges`.
    Parts(Vec<(u64, u64)>),
    /// No part can be served: 416.
    NotSatisfiable,
}

/// Reads the `Range` header `value` for a body of `length` bytes. `max_ranges` is the directive:
/// `None` when it is not set, and then small ranges that would outweigh the body are refused too.
#[must_use]
pub fn parse(value: &[u8], length: u64, max_ranges: Option<u32>) -> Ranges {
    if max_ranges == Some(0) {
        return Ranges::Whole;
    }
    match value.split_at_checked(6) {
        Some((unit, list)) if !list.is_empty() && unit.eq_ignore_ascii_case(b"bytes=") => {
            read(list, length, max_ranges).unwrap_or_else(|refused| refused)
        }
        _ => Ranges::Whole,
    }
}

fn read(list: &[u8], length: u64, max_ranges: Option<u32>) -> Result<Ranges, Ranges> {
    let mut parts = Vec::new();
    let mut sum = 0u64;
    for spec in list.split(|&byte| byte == b',') {
        let (start, end) = one(trim(spec), length).ok_or(Ranges::NotSatisfiable)?;
        if start < end {
            sum = sum.checked_add(end - start).ok_or(Ranges::NotSatisfiable)?;
            if max_ranges.is_some_and(|max| parts.len() >= max as usize) {
                return Err(Ranges::Whole);
            }
            parts.push((start, end));
        } else if start == 0 {
            return Err(Ranges::Whole);
        }
    }
    if parts.is_empty() {
        return Err(Ranges::NotSatisfiable);
    }
    // Overlapping ranges made a small request expensive (CVE-2011-3192).
    if parts.len() > 1 && sum > length {
        return Err(Ranges::Whole);
    }
    let overhead = (parts.len() as u64).saturating_mul(256);
    if parts.len() > 1 && max_ranges.is_none() && sum.saturating_add(overhead) > length.saturating_add(4096) {
        return Err(Ranges::Whole);
    }
    Ok(Ranges::Parts(parts))
}

/// `first-last`, `first-` or `-suffix`; `None` when it is none of them.
fn one(spec: &[u8], length: u64) -> Option<(u64, u64)> {
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (spec.get(..dash)?, spec.get(dash + 1..)?);
    if first.is_empty() {
        // Spaces around the dash pass only behind a first position, as in nginx.
        let suffix = number(last)?;
        return Some((length.saturating_sub(suffix), length));
    }
    let start = number(trim(first))?;
    let last = trim(last);
    if last.is_empty() {
        return Some((start, length));
    }
    Some((start, number(last)?.saturating_add(1).min(length)))
}

fn trim(text: &[u8]) -> &[u8] {
    let lead = text.iter().take_while(|&&byte| byte == b' ').count();
    let text = text.get(lead..).unwrap_or(&[]);
    let trail = text.iter().rev().take_while(|&&byte| byte == b' ').count();
    text.get(..text.len() - trail).unwrap_or(&[])
}

fn number(digits: &[u8]) -> Option<u64> {
    crate::h1::framing::content_length(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(u64, u64)]) -> Ranges {
        Ranges::Parts(list.to_vec())
    }

    #[test]
    fn single() {
        for (value, expected) in [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("Bytes=5-9", parts(&[(5, 10)])),
            ("bytes=5-", parts(&[(5, 1000)])),
            ("bytes=-5", parts(&[(995, 1000)])),
            ("bytes=-5000", parts(&[(0, 1000)])),
            ("bytes=5-5000", parts(&[(5, 1000)])),
            ("bytes= 5 - 9 ", parts(&[(5, 10)])),
            ("bytes=1000-", Ranges::NotSatisfiable),
            ("bytes=9-5", Ranges::NotSatisfiable),
            ("bytes=-0", Ranges::NotSatisfiable),
            ("bytes=", Ranges::Whole),
            ("bytes=0-,x", Ranges::NotSatisfiable),
            ("bytes=-", Ranges::NotSatisfiable),
            ("bytes=a-b", Ranges::NotSatisfiable),
            ("bytes=0x1-2", Ranges::NotSatisfiable),
            ("bytes=--5", Ranges::NotSatisfiable),
            ("bytes=-9223372036854775808", Ranges::NotSatisfiable),
            ("bytes=18446744073709551616-", Ranges::NotSatisfiable),
            ("lines=0-1", Ranges::Whole),
            ("bytes", Ranges::Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 1000, None), expected, "{value}");
        }
    }

    #[test]
    fn several() {
        assert_eq!(parse(b"bytes=0-1, 5-6,-1", 1000, None), parts(&[(0, 2), (5, 7), (999, 1000)]));
        assert_eq!(parse(b"bytes=0-1,2000-", 1000, None), parts(&[(0, 2)]));
        assert_eq!(parse(b"bytes=0-,0-", 1000, None), Ranges::Whole);
        let many = format!("bytes={}", vec!["0-"; 200].join(","));
        assert_eq!(parse(many.as_bytes(), 1000, None), Ranges::Whole);
        let many = format!("bytes={}", vec!["1-1"; 1500].join(","));
        assert_eq!(parse(many.as_bytes(), 100_000, None), Ranges::Whole);
        assert_eq!(parse(b"bytes=0-1,,3-4", 1000, None), Ranges::NotSatisfiable);
    }

    #[test]
    fn the_directive() {
        assert_eq!(parse(b"bytes=0-1", 1000, Some(0)), Ranges::Whole);
        assert_eq!(parse(b"bytes=0-1,3-4", 1000, Some(1)), Ranges::Whole);
        assert_eq!(parse(b"bytes=0-1,3-4", 1000, Some(2)), parts(&[(0, 2), (3, 5)]));
    }

    #[test]
    fn empty_bodies() {
        assert_eq!(parse(b"bytes=0-", 0, None), Ranges::Whole);
        assert_eq!(parse(b"bytes=-1", 0, None), Ranges::Whole);
        assert_eq!(parse(b"bytes=1-", 0, None), Ranges::NotSatisfiable);
    }
}
