//! A fast pseudo-random generator, for anything that need not be secret.

/// Marsaglia's xorshift with 64 bits: from the same start the same numbers.
#[derive(Clone, Copy, Debug)]
pub struct Xorshift(u64);

impl Xorshift {
    /// Begins anywhere but at 0, where it would stay.
    #[must_use]
    pub const fn new(start: u64) -> Xorshift {
        Xorshift(if start == 0 { 1 } else { start })
    }

    /// The next number, never 0: another can begin with it where this one goes on.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below `limit`; 0 if there is none.
    #[inline]
    pub fn below(&mut self, limit: usize) -> usize {
        // The upper bits are the better ones.
        usize::try_from(self.draw() >> 33).unwrap_or(0) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_start_gives_the_same_numbers() {
        let (mut one, mut other) = (Xorshift::new(7), Xorshift::new(7));
        let numbers: Vec<_> = (0..100).map(|_| one.below(10)).collect();
        assert!(numbers.iter().all(|number| *number == other.below(10) && *number < 10));
        assert!((0..10).all(|number| numbers.contains(&number)), "{numbers:?}");
        assert_eq!(one.below(0), 0);
        assert_ne!(Xorshift::new(0).draw(), 0);
    }
}
