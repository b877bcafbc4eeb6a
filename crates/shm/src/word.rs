//! Words of shared memory as what they stand for.

/// A place or a number. What no memory has is the most that a place can be, which is checked like all others.
#[inline(always)]
pub(crate) fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// The lower half.
#[inline(always)]
pub(crate) fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

/// The upper half.
#[inline(always)]
pub(crate) fn high(word: u64) -> u32 {
    (word >> 32) as u32
}
