//! Comparing eight bytes at once, in one register.

/// So many bytes are in a block.
pub const SIZE: usize = 8;
/// One bit in each byte of a block.
const EACH: u64 = u64::MAX / 255;
/// The highest bits of a block's bytes.
pub const HIGH: u64 = EACH << 7;

/// A block of this byte alone.
#[must_use]
#[inline]
pub const fn repeat(byte: u8) -> u64 {
    EACH * byte as u64
}

/// The bytes of `block` that are those of `pattern` by their highest bits. Above the lowest of these there may be wrong ones.
#[must_use]
#[inline]
pub const fn mark(block: u64, pattern: u64) -> u64 {
    let other = block ^ pattern;
    other.wrapping_sub(EACH) & !other & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_byte_is_marked() {
        for at in 0..SIZE {
            let mut bytes = [b'a'; SIZE];
            bytes[at] = b'b';
            assert_eq!(mark(u64::from_le_bytes(bytes), repeat(b'b')).trailing_zeros() as usize / 8, at);
            assert_eq!(mark(u64::from_le_bytes(bytes), repeat(b'c')), 0);
        }
    }
}
