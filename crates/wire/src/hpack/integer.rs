//! Integers with a prefix of some bits of their first byte (RFC 7541, 5.1).

/// How many bytes an integer may take, the first included; nginx's limit. It is enough for 2 MiB.
pub const MAX_BYTES: usize = 4;

/// An integer that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadInteger {
    /// The bytes end within it.
    Partial,
    /// It has more than [`MAX_BYTES`] bytes.
    TooLong,
}

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

/// Appends `value` with a prefix of `prefix` bits; `pattern` has the other bits of the first byte.
#[inline]
pub fn encode(mut value: usize, prefix: u32, pattern: u8, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
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
