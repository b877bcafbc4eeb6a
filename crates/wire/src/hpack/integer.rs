//! Integers with a prefix of some bits of their first byte (RFC 7541, 5.1).

use std::fmt;

/// How many bytes an integer may take, the first included; nginx's limit. It is enough for 2 MiB.
pub(crate) const MAX_BYTES: usize = 4;

/// An integer that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadInteger {
    /// The bytes end within it.
    Partial,
    /// It has more than [`MAX_BYTES`] bytes.
    TooLong,
}

impl fmt::Display for BadInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadInteger::Partial => "truncated integer",
            BadInteger::TooLong => "too long integer",
        })
    }
}

impl std::error::Error for BadInteger {}

/// Reads the integer at the start of `bytes`, whose first byte has `prefix` bits of it: the value and how many bytes it took.
///
/// # Errors
/// [`BadInteger`].
#[inline]
pub fn decode(bytes: &[u8], prefix: u32) -> Result<(usize, usize), BadInteger> {
    let (&first, rest) = bytes.split_first().ok_or(BadInteger::Partial)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value < mask {
        return Ok((value, 1));
    }
    for (at, &byte) in rest.iter().take(MAX_BYTES - 1).enumerate() {
        value += usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok((value, at + 2));
        }
    }
    Err(if rest.len() < MAX_BYTES - 1 { BadInteger::Partial } else { BadInteger::TooLong })
}

/// So many bytes an integer of 62 bits may take.
const LONG_BYTES: usize = 10;
/// The largest integer of QPACK and QUIC.
pub(crate) const MAX_LONG: u64 = (1 << 62) - 1;

/// As [`decode`], for integers of up to 62 bits (RFC 9204, 4.1.1).
///
/// # Errors
/// [`BadInteger`].
#[inline]
pub(crate) fn decode_long(bytes: &[u8], prefix: u32) -> Result<(u64, usize), BadInteger> {
    let (&first, rest) = bytes.split_first().ok_or(BadInteger::Partial)?;
    let mask = (1u64 << prefix) - 1;
    let mut value = u64::from(first) & mask;
    if value < mask {
        return Ok((value, 1));
    }
    for (at, &byte) in rest.iter().take(LONG_BYTES - 1).enumerate() {
        value = value.saturating_add(u64::from(byte & 0x7f) << (7 * at));
        if value > MAX_LONG {
            return Err(BadInteger::TooLong);
        }
        if byte < 0x80 {
            return Ok((value, at + 2));
        }
    }
    Err(if rest.len() < LONG_BYTES - 1 { BadInteger::Partial } else { BadInteger::TooLong })
}

/// The lowest byte.
#[inline(always)]
fn low(value: usize) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Appends `value` with a prefix of `prefix` bits; `pattern` has the other bits of the first byte.
#[inline]
pub fn encode(mut value: usize, prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(pattern | low(value));
        return;
    }
    out.push(pattern | low(mask));
    value -= mask;
    while value >= 0x80 {
        out.push(low(value) | 0x80);
        value >>= 7;
    }
    out.push(low(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_examples() {
        // RFC 7541, C.1.
        for (value, prefix, bytes) in [(10, 5, &[0b01010u8][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42])] {
            let mut out = vec![];
            encode(value, prefix, 0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(decode(bytes, prefix), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn long_integers() {
        for value in [0, 6, 7, 8, 127, 128, 1337, 1 << 21, 1 << 32, MAX_LONG] {
            for prefix in 3..=8 {
                let mut out = vec![];
                encode(value as usize, prefix, 0, &mut out);
                assert_eq!(decode_long(&out, prefix), Ok((value, out.len())));
                let cut = out.len() - 1;
                assert_eq!(decode_long(&out[..cut], prefix), Err(BadInteger::Partial));
            }
        }
        let mut large = vec![];
        encode(MAX_LONG as usize + 1, 7, 0, &mut large);
        assert_eq!(decode_long(&large, 7), Err(BadInteger::TooLong));
        assert_eq!(decode_long(&[0xff; 12], 7), Err(BadInteger::TooLong));
        assert_eq!(decode_long(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80], 7), Err(BadInteger::TooLong));
    }

    #[test]
    fn every_cut_is_partial_and_the_fifth_byte_too_much() {
        assert_eq!(decode(&[], 7), Err(BadInteger::Partial));
        assert_eq!(decode(&[0x7f, 0x80, 0x80], 7), Err(BadInteger::Partial));
        assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80], 7), Err(BadInteger::TooLong));
        assert_eq!(decode(&[0x7f, 0xff, 0xff, 0x7f], 7), Ok((127 + 0x1f_ffff, 4)));
        for value in (0..200_000).step_by(37) {
            for prefix in 4..=8 {
                let mut out = vec![];
                encode(value, prefix, 0, &mut out);
                assert_eq!(decode(&out, prefix), Ok((value, out.len())));
            }
        }
    }
}
