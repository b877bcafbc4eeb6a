//! Packs short bodies in one go (RFC 1951, RFC 1952). What the encoder for streams clears before each body is more than such a body is long; these tables are
//! never cleared: places in the text count on from one body to the next, and so tell what an earlier one left.

use super::block::{Block, Token, write_stored};
use base::saturated::Saturated;

/// The longest body that is packed here.
pub(super) const LONGEST: usize = REACH as usize;

/// As many places does a body take among those of the bodies before it.
const REACH: u32 = 8192;

/// Buckets of texts that were seen.
const BUCKETS: usize = 4096;
/// Lengths of repetitions.
const SHORTEST_MATCH: usize = 4;
const LONGEST_MATCH: usize = 258;
/// No earlier place.
const NONE: u16 = u16::MAX;

/// How long repetitions are looked for.
#[derive(Clone, Copy, Debug)]
struct MatchEffort {
    /// Most earlier places that are looked at.
    depth: u32,
    /// Whether a repetition one byte later is preferred if it is longer.
    lazy: bool,
    /// One of this length is taken without a look for a longer one.
    enough: usize,
    /// Places inside of a longer repetition are not noted.
    noted: usize,
}

impl MatchEffort {
    fn of(level: u32) -> Self {
        match level {
            0..=1 => MatchEffort { depth: 4, lazy: false, enough: 16, noted: 8 },
            2..=3 => MatchEffort { depth: 4, lazy: false, enough: 64, noted: LONGEST_MATCH },
            4..=6 => MatchEffort { depth: 16, lazy: true, enough: 128, noted: LONGEST_MATCH },
            _ => MatchEffort { depth: 128, lazy: true, enough: LONGEST_MATCH, noted: LONGEST_MATCH },
        }
    }
}

/// What packs short bodies.
pub(super) struct ShortEncoder {
    /// The last place of each bucket, counted on from `base`.
    heads: Box<[u32; BUCKETS]>,
    /// For each place the one before it in its bucket.
    previous: Box<[u16; LONGEST]>,
    /// Where this body begins; what is below is of earlier ones.
    base: u32,
    tokens: Vec<Token>,
    block: Block,
}

impl Default for ShortEncoder {
    fn default() -> Self {
        ShortEncoder {
            heads: Box::new([0; BUCKETS]),
            previous: Box::new([NONE; LONGEST]),
            base: 1,
            tokens: Vec::new(),
            block: Block::default(),
        }
    }
}

impl ShortEncoder {
    /// Puts `body`, of at most [`LONGEST`] bytes, behind what is in `out`, as a whole file of gzip.
    pub(super) fn pack(&mut self, body: &[u8], level: u32, out: &mut Vec<u8>) {
        out.reserve(body.len() / 2 + 64);
        // No name, no time; the system is Unix, as in what zlib writes.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        self.find(body, MatchEffort::of(level));
        if !self.block.write(&self.tokens, body.len(), out) {
            write_stored(body, out);
        }
        out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// Makes tokens of a body.
    fn find(&mut self, body: &[u8], effort: MatchEffort) {
        self.tokens.clear();
        let mut at = 0;
        let mut waiting: Option<(usize, u16)> = None;
        while let Some(&byte) = body.get(at) {
            let found = self.longest(body, at, effort, waiting.map_or(0, |(length, _)| length));
            if let (Some((length, distance)), None) = (waiting, found) {
                // It began a byte before, whose place and this one's are noted already.
                self.repeat(body, at + 1, (length, distance), at - 1 + length, effort);
                at = at - 1 + length;
                waiting = None;
                continue;
            }
            if waiting.take().is_some() {
                self.tokens.push(Token::Literal(body.get(at - 1).copied().unwrap_or_default()));
            }
            match found {
                Some(found) if effort.lazy && found.0 < 32 => waiting = Some(found),
                Some((length, distance)) => {
                    self.repeat(body, at + 1, (length, distance), at + length, effort);
                    at += length;
                    continue;
                }
                None => self.tokens.push(Token::Literal(byte)),
            }
            at += 1;
        }
        let base = self.base.checked_add(REACH).filter(|base| *base < u32::MAX - 2 * REACH);
        self.base = base.unwrap_or_else(|| {
            self.heads.fill(0);
            1
        });
    }

    /// A repetition, of length and distance, with the places from `from` to `to` of it noted.
    fn repeat(&mut self, body: &[u8], from: usize, (length, distance): (usize, u16), to: usize, effort: MatchEffort) {
        self.tokens.push(Token::Match(u8::try_from(length.saturating_sub(3)).unwrap_or(u8::MAX), distance));
        if length > effort.noted {
            return;
        }
        for place in from..to {
            if let Some(word) = word(body, place) {
                self.insert(word, place);
            }
        }
    }

    /// Notes a place, and tells the one before it in its bucket.
    #[inline]
    fn insert(&mut self, word: u32, place: usize) -> u16 {
        let bucket = (word.wrapping_mul(0x9e37_79b1) >> 20) as usize & (BUCKETS - 1);
        let before = match self.heads[bucket].checked_sub(self.base) {
            Some(before) => u16::saturated(before),
            None => NONE,
        };
        self.heads[bucket] = self.base + u32::saturated(place);
        self.previous[place & (LONGEST - 1)] = before;
        before
    }

    /// The longest repetition at this place that is longer than `least`: length and distance.
    #[inline]
    fn longest(&mut self, body: &[u8], at: usize, effort: MatchEffort, least: usize) -> Option<(usize, u16)> {
        let wanted = word(body, at)?;
        let mut candidate = self.insert(wanted, at);
        let (mut best, mut found) = (least.max(SHORTEST_MATCH - 1), None);
        let mut left = effort.depth;
        while candidate != NONE && left > 0 {
            let place = usize::from(candidate);
            // A longer one than the best goes on alike behind it.
            if body.get(place + best) == body.get(at + best) && word(body, place) == Some(wanted) {
                let length = common(body, place, at);
                if length > best {
                    best = length;
                    found = Some((length, u16::saturated(at - place)));
                    if length >= effort.enough {
                        break;
                    }
                }
            }
            candidate = self.previous[place & (LONGEST - 1)];
            left -= 1;
        }
        found
    }
}

#[inline]
fn word(body: &[u8], at: usize) -> Option<u32> {
    body.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// How many bytes are the same at both places, of which `earlier` is before `later`.
#[inline]
fn common(body: &[u8], earlier: usize, later: usize) -> usize {
    let (Some(mut a), Some(mut b)) = (body.get(earlier..), body.get(later..)) else { return 0 };
    b = b.get(..LONGEST_MATCH).unwrap_or(b);
    let all = b.len();
    while let (Some((x, more_a)), Some((y, more_b))) = (a.split_first_chunk::<8>(), b.split_first_chunk::<8>()) {
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            return all - b.len() + (differ.trailing_zeros() / 8) as usize;
        }
        (a, b) = (more_a, more_b);
    }
    all - b.len() + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
        text
    }

    /// Texts of different kinds: without repetitions, with many, of few bytes and of all.
    fn texts() -> Vec<Vec<u8>> {
        let noise = |n: u32, most: u32| -> Vec<u8> {
            let mut state = n.wrapping_mul(2_654_435_761) | 1;
            (0..n)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    (state % most) as u8
                })
                .collect()
        };
        let list = |n: usize| -> Vec<u8> {
            (0..n)
                .flat_map(|i| format!("{{\"id\":{i},\"name\":\"widget {}\",\"price\":{}.50}},", i * 7 % 31, i * i % 97).into_bytes())
                .collect()
        };
        let mut texts = vec![Vec::new(), b"a".to_vec(), b"abc".to_vec(), vec![b'x'; LONGEST], vec![b'x'; 257], vec![b'y'; 259]];
        texts.extend((0..=255).map(|byte| vec![byte; 5]));
        for n in [1, 2, 3, 4, 5, 7, 8, 9, 30, 255, 256, 300, 1000, 4000, 8191, 8192] {
            texts.extend([2, 5, 20, 100, 256].map(|most| noise(n, most)));
        }
        texts.extend([1, 5, 20, 100].map(list));
        // Words whose counts are as unequal as they can be.
        let mut steep = Vec::new();
        let (mut a, mut b) = (1, 1);
        for byte in 0..17_u8 {
            steep.extend(std::iter::repeat_n(byte, a));
            (a, b) = (b, a + b);
        }
        steep.truncate(LONGEST);
        texts.push(steep);
        texts
    }

    #[test]
    fn what_is_packed_unpacks_whatever_came_before_it() {
        let mut short = ShortEncoder::default();
        for level in [1, 2, 6, 9] {
            for text in texts() {
                let mut packed = b"before".to_vec();
                short.pack(&text, level, &mut packed);
                assert_eq!(unpacked(&packed[6..]), text, "level {level}");
                assert!(packed.len() <= 6 + text.len() + 28, "{} became {}", text.len(), packed.len());
            }
        }
    }

    #[test]
    fn places_count_on_until_their_numbers_end() {
        let mut short = ShortEncoder { base: u32::MAX - 3 * LONGEST as u32, ..ShortEncoder::default() };
        for text in texts().iter().chain(&texts()) {
            let mut packed = Vec::new();
            short.pack(text, 1, &mut packed);
            assert_eq!(unpacked(&packed), *text);
        }
        assert!(short.base < u32::MAX / 2, "{}", short.base);
    }

    #[test]
    fn texts_become_about_as_short_as_zlib_makes_them() {
        let mut short = ShortEncoder::default();
        for level in [1, 2, 6] {
            for text in texts() {
                let mut packed = Vec::new();
                short.pack(&text, level, &mut packed);
                let mut other = flate2::Compress::new_gzip(flate2::Compression::new(level), 15);
                let mut theirs = Vec::with_capacity(20_000);
                other.compress_vec(&text, &mut theirs, flate2::FlushCompress::Finish).unwrap();
                assert!(
                    packed.len() <= theirs.len() + theirs.len() / 16 + 8,
                    "level {level}: {} became {} instead of {}",
                    text.len(),
                    packed.len(),
                    theirs.len()
                );
            }
        }
    }
}
