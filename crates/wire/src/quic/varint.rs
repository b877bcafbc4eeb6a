//! Integers of variable length (RFC 9000, 16).

/// The largest number that can be encoded: 2^62 - 1 (RFC 9000, 16).
pub const MOST: u64 = (1 << 62) - 1;

/// The number at the beginning of `bytes`, and what stands behind it.
#[must_use]
pub fn take(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (number, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let value = number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((value & (u64::MAX >> (66 - 8 * number.len())), rest))
}

/// How many bytes a number takes.
#[must_use]
pub fn size(number: u64) -> usize {
    match number {
        0..64 => 1,
        64..16_384 => 2,
        16_384..1_073_741_824 => 4,
        _ => 8,
    }
}

/// Appends a number; one that is too large becomes the largest.
pub fn put(out: &mut Vec<u8>, number: u64) {
    let number = number.min(MOST);
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    match size(number) {
        1 => out.push(h),
        2 => out.extend_from_slice(&[g | 1 << 6, h]),
        4 => out.extend_from_slice(&[e | 2 << 6, f, g, h]),
        _ => out.extend_from_slice(&[a | 3 << 6, b, c, d, e, f, g, h]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_as_few_bytes_as_they_need() {
        for (number, length) in [(0, 1), (63, 1), (64, 2), (16_383, 2), (16_384, 4), (1 << 29, 4), (1 << 30, 8), (MOST, 8)] {
            let mut out = Vec::new();
            put(&mut out, number);
            assert_eq!((out.len(), size(number)), (length, length));
            out.push(9);
            assert_eq!(take(&out), Some((number, &[9][..])));
            assert_eq!(take(&out[..length - 1]), None);
        }
        assert_eq!(take(&[0x40, 0x01]), Some((1, &[][..])));
        assert_eq!(take(&[]), None);
    }
}
