//! Which names a table may have already: a look at a few bits costs less than one into the table.

/// Words of bits; of a hundred names a handful meet another's bit.
const WORDS: usize = 16;

/// The names that have come so far, as bits. It may take a name for another that has come, never the other way round.
#[derive(Default)]
pub struct Names([u64; WORDS]);

impl Names {
    /// Notes a name; whether it, or another of the same bit, has come before.
    #[inline]
    pub fn note(&mut self, name: &[u8]) -> bool {
        let mixed = mixed(name);
        let (word, bit) = ((mixed >> 58) as usize % WORDS, 1 << (mixed >> 52 & 63));
        let Some(word) = self.0.get_mut(word) else { return true };
        let known = *word & bit != 0;
        *word |= bit;
        known
    }
}

/// A hash.
#[inline]
fn mixed(name: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |mixed: u64, word: u64| (mixed.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    let four = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    let byte = |byte: Option<&u8>| byte.map_or(0, |byte| u64::from(*byte));
    let length = name.len() as u64;
    let mixed = match name.len() {
        8.. => {
            let last = name.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
            let words = name.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
            words.chain([last]).fold(length, mix)
        }
        4.. => mix(length, four(name.first_chunk()) << 32 | four(name.last_chunk())),
        _ => mix(length, byte(name.first()) << 16 | byte(name.get(1)) << 8 | byte(name.last())),
    };
    // The highest bits depend on all others.
    (mixed ^ mixed >> 29).wrapping_mul(MULTIPLIER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_has_come_is_known_and_few_others_are() {
        let kinds: [fn(usize) -> String; 5] = [
            |n| format!("x-field-{n}"),
            |n| format!("a{n}"),
            |n| n.to_string(),
            |n| format!("{n}-a-long-common-end-of-a-name"),
            |n| format!("some-long-name-{n}-with-a-long-end"),
        ];
        for kind in kinds {
            let mut names = Names::default();
            let wrong = (0..100).filter(|n| names.note(kind(*n).as_bytes())).count();
            assert!(wrong < 16, "{wrong} of 100 like {} are taken for others", kind(0));
            assert!((0..100).all(|n| names.note(kind(n).as_bytes())), "{}", kind(0));
        }
        let mut names = Names::default();
        assert!(!names.note(b"") && names.note(b""));
    }
}
