//! A block of deflate (RFC 1951, 3.2): tokens as words of Huffman codes, those that are fixed or such as suit the tokens.

use base::saturated::Saturated;

/// A literal, or a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Literal(u8),
    /// Length less 3, and distance.
    Match(u8, u16),
}

/// Words for literals, the end of a block and lengths.
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
const END: usize = 256;
/// Words for the lengths of words.
const LENGTHS: usize = 19;
/// The order in which the lengths of those stand.
const ORDER: [usize; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// A Huffman code: how often each symbol comes, how long its word is, and the word, its first bit lowest.
#[derive(Clone, Copy)]
struct Code<const N: usize> {
    counts: [u16; N],
    lengths: [u8; N],
    words: [u16; N],
}

impl<const N: usize> Default for Code<N> {
    fn default() -> Self {
        Code { counts: [0; N], lengths: [0; N], words: [0; N] }
    }
}

impl<const N: usize> Code<N> {
    /// The shortest words for the counts, of at most `longest` bits.
    fn fit(&mut self, longest: usize) {
        self.lengths = [0; N];
        let mut used = [0_u32; N];
        let mut n = 0;
        for (symbol, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if let Some(place) = used.get_mut(n) {
                *place = (u32::from(count) << 16) | u32::saturated(symbol);
                n += 1;
            }
        }
        let used = used.get_mut(..n).unwrap_or_default();
        used.sort_unstable();
        let mut most = [0_u32; LONGEST_WORD + 1];
        match used.len() {
            0 => {}
            // A word has at least a bit.
            1 => most[1] = 1,
            _ => count_lengths(used, longest, &mut most),
        }
        let mut symbols = used.iter();
        for length in (1..=longest).rev() {
            for entry in symbols.by_ref().take(most.get(length).map_or(0, |n| *n as usize)) {
                if let Some(place) = self.lengths.get_mut(*entry as usize & 0xffff) {
                    *place = u8::saturated(length);
                }
            }
        }
        self.assign();
    }

    /// The words that follow from their lengths.
    fn assign(&mut self) {
        let mut next = [0_u32; LONGEST_WORD + 1];
        for length in self.lengths {
            next[usize::from(length) & LONGEST_WORD] += 1;
        }
        next[0] = 0;
        let mut word = 0;
        for place in &mut next {
            let first = word;
            word = (word + *place) << 1;
            *place = first;
        }
        for (word, &length) in self.words.iter_mut().zip(&self.lengths).filter(|(_, length)| **length > 0) {
            let place = &mut next[usize::from(length) & LONGEST_WORD];
            *word = u16::saturated(place.reverse_bits() >> (32 - u32::from(length)));
            *place += 1;
        }
    }

    /// Bits of all words.
    fn bits(&self) -> u32 {
        self.counts.iter().zip(&self.lengths).map(|(&count, &length)| u32::from(count) * u32::from(length)).sum()
    }

    /// How many symbols there are up to the last that is used, at least `least`.
    fn extent(&self, least: usize) -> usize {
        self.lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1).max(least)
    }

    #[inline]
    fn count(&mut self, symbol: usize) {
        if let Some(count) = self.counts.get_mut(symbol) {
            *count += 1;
        }
    }

    #[inline]
    fn put(&self, symbol: usize, bits: &mut Bits<'_>) {
        if let (Some(&word), Some(&length)) = (self.words.get(symbol), self.lengths.get(symbol)) {
            bits.put(word.into(), length.into());
        }
    }
}

/// The longest word that deflate knows.
const LONGEST_WORD: usize = 15;

/// How many words of each length there are in the shortest code for `used`, two counts or more, the rarest first (Moffat and Katajainen's way, in place), with
/// none longer than `longest`.
fn count_lengths(used: &[u32], longest: usize, most: &mut [u32; LONGEST_WORD + 1]) {
    let n = used.len();
    // First sums of two, then where each sum went, then how deep it is.
    let mut tree = [0_u32; LITERALS];
    for (place, entry) in tree.iter_mut().zip(used) {
        *place = entry >> 16;
    }
    let at = |tree: &[u32; LITERALS], index: usize| tree.get(index).copied().unwrap_or(u32::MAX);
    let (mut leaf, mut root) = (0, 0);
    for next in 0..n - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            if leaf >= n || (root < next && at(&tree, root) < at(&tree, leaf)) {
                sum += at(&tree, root);
                if let Some(place) = tree.get_mut(root) {
                    *place = u32::saturated(next);
                }
                root += 1;
            } else {
                sum += at(&tree, leaf);
                leaf += 1;
            }
        }
        if let Some(place) = tree.get_mut(next) {
            *place = sum;
        }
    }
    if let Some(place) = tree.get_mut(n - 2) {
        *place = 0;
    }
    for next in (0..n - 2).rev() {
        let deep = at(&tree, at(&tree, next) as usize).saturating_add(1);
        if let Some(place) = tree.get_mut(next) {
            *place = deep;
        }
    }
    leaves(tree.get(..n - 1).unwrap_or_default(), longest, most);
}

/// Counts leaves by depth, of a tree whose inner nodes have these depths, the root last; those deeper than `longest` come up, and others go down for them.
fn leaves(inner: &[u32], longest: usize, most: &mut [u32; LONGEST_WORD + 1]) {
    let mut free = 1;
    let mut nodes = inner.iter().rev().peekable();
    let mut depth = 0;
    while free > 0 {
        let mut taken = 0;
        while nodes.next_if(|node| **node == depth).is_some() {
            taken += 1;
        }
        if let Some(place) = most.get_mut((depth as usize).min(longest)) {
            *place += free - taken;
        }
        free = taken * 2;
        depth += 1;
    }
    let mut room: u32 = most.iter().enumerate().take(longest + 1).skip(1).map(|(length, n)| n << (longest - length)).sum();
    while room > 1 << longest {
        most[longest & LONGEST_WORD] -= 1;
        if let Some(length) = (1..longest).rev().find(|length| most[*length & LONGEST_WORD] > 0) {
            most[length & LONGEST_WORD] -= 1;
            most[(length + 1) & LONGEST_WORD] += 2;
        }
        room -= 1;
    }
}

/// Bits that gather to bytes.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    bits: u64,
    count: u32,
}

impl Bits<'_> {
    /// At most 32 bits.
    #[inline]
    fn put(&mut self, value: u64, count: u32) {
        self.bits |= value << self.count;
        self.count += count;
        if self.count >= 32 {
            let [a, b, c, d, ..] = self.bits.to_le_bytes();
            self.out.extend_from_slice(&[a, b, c, d]);
            self.bits >>= 32;
            self.count -= 32;
        }
    }

    fn end(self) {
        let bytes = self.bits.to_le_bytes();
        self.out.extend_from_slice(bytes.get(..self.count.div_ceil(8) as usize).unwrap_or_default());
    }
}

/// A symbol, and the extra bits behind it (RFC 1951, 3.2.5).
struct Symbol {
    number: usize,
    extra_bits: u32,
    extra: u64,
}

impl Symbol {
    fn new(number: usize, extra_bits: u32, extra: u64) -> Symbol {
        Symbol { number, extra_bits, extra }
    }
}

/// The symbol of a length less 3.
#[inline]
fn length_symbol(length: u8) -> Symbol {
    match u32::from(length) {
        less @ 0..8 => Symbol::new(257 + less as usize, 0, 0),
        255 => Symbol::new(285, 0, 0),
        more => {
            let extra = more.ilog2() - 2;
            Symbol::new(261 + 4 * extra as usize + ((more >> extra) & 3) as usize, extra, u64::from(more & ((1 << extra) - 1)))
        }
    }
}

/// The symbol of a distance.
#[inline]
fn distance_symbol(distance: u16) -> Symbol {
    match u32::from(distance).saturating_sub(1) {
        less @ 0..4 => Symbol::new(less as usize, 0, 0),
        more => {
            let extra = more.ilog2() - 1;
            Symbol::new(2 + 2 * extra as usize + ((more >> extra) & 1) as usize, extra, u64::from(more & ((1 << extra) - 1)))
        }
    }
}

/// What one block needs.
pub(super) struct Block {
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
    lengths: Code<LENGTHS>,
    /// The lengths of both codes' words: symbol, and what follows it.
    runs: Vec<(u8, u8)>,
    fixed: Box<(Code<288>, Code<DISTANCES>)>,
}

impl Default for Block {
    fn default() -> Self {
        let mut fixed = Box::new((Code::default(), Code::default()));
        for (symbol, length) in fixed.0.lengths.iter_mut().enumerate() {
            *length = match symbol {
                0..=143 | 280.. => 8,
                144..=255 => 9,
                _ => 7,
            };
        }
        fixed.1.lengths = [5; DISTANCES];
        fixed.0.assign();
        fixed.1.assign();
        Block { literals: Code::default(), distances: Code::default(), lengths: Code::default(), runs: Vec::new(), fixed }
    }
}

impl Block {
    /// Writes the only block of a body of `length` bytes; not if it is shorter as it is.
    pub(super) fn write(&mut self, tokens: &[Token], length: usize, out: &mut Vec<u8>) -> bool {
        let extra = self.count(tokens);
        self.literals.fit(LONGEST_WORD);
        self.distances.fit(LONGEST_WORD);
        self.gather_runs();
        self.lengths.fit(7);
        let words = 4 + ORDER.iter().rposition(|symbol| self.lengths.lengths[*symbol] > 0).unwrap_or(0).max(3) - 3;
        let more: u32 = self.runs.iter().map(|(symbol, _)| run_bits(*symbol)).sum();
        let suited = 14 + 3 * u32::saturated(words) + self.lengths.bits() + more + self.literals.bits() + self.distances.bits();
        let fixed = bits_with(&self.literals, &self.fixed.0.lengths) + bits_with(&self.distances, &self.fixed.1.lengths);
        if (suited.min(fixed) + extra + 3).div_ceil(8) as usize > length + 5 {
            return false;
        }
        let mut bits = Bits { out, bits: 0, count: 0 };
        if suited < fixed {
            bits.put(0b101, 3);
            self.write_codes(words, &mut bits);
            write_tokens(tokens, &self.literals, &self.distances, &mut bits);
        } else {
            bits.put(0b011, 3);
            write_tokens(tokens, &self.fixed.0, &self.fixed.1, &mut bits);
        }
        bits.end();
        true
    }

    /// Counts symbols, and the bits that follow them.
    fn count(&mut self, tokens: &[Token]) -> u32 {
        self.literals.counts = [0; LITERALS];
        self.distances.counts = [0; DISTANCES];
        self.literals.count(END);
        let mut extra = 0;
        for token in tokens {
            match *token {
                Token::Literal(byte) => self.literals.count(byte.into()),
                Token::Match(length, distance) => {
                    let (length, distance) = (length_symbol(length), distance_symbol(distance));
                    self.literals.count(length.number);
                    self.distances.count(distance.number);
                    extra += length.extra_bits + distance.extra_bits;
                }
            }
        }
        extra
    }

    /// The lengths of both codes' words as runs.
    fn gather_runs(&mut self) {
        let Block { literals, distances, lengths, runs, .. } = self;
        runs.clear();
        lengths.counts = [0; LENGTHS];
        let mut run = |symbol: u8, more: usize| {
            lengths.count(symbol.into());
            runs.push((symbol, u8::saturated(more)));
            more
        };
        let literals = literals.lengths.iter().take(literals.extent(257));
        let mut all = literals.chain(distances.lengths.iter().take(distances.extent(1))).copied().peekable();
        while let Some(length) = all.next() {
            let mut again = 1_usize;
            while all.next_if_eq(&length).is_some() {
                again += 1;
            }
            if length > 0 {
                run(length, 0);
                again -= 1;
            }
            while again > 0 {
                let taken = match (length, again) {
                    (0, 11..) => run(18, again.min(138) - 11) + 11,
                    (0, 3..) => run(17, again - 3) + 3,
                    (1.., 3..) => run(16, again.min(6) - 3) + 3,
                    _ => run(length, 0) + 1,
                };
                again -= taken;
            }
        }
    }

    /// Writes the codes, of which that of the lengths has so many words.
    fn write_codes(&self, words: usize, bits: &mut Bits<'_>) {
        bits.put(self.literals.extent(257) as u64 - 257, 5);
        bits.put(self.distances.extent(1) as u64 - 1, 5);
        bits.put(words as u64 - 4, 4);
        for symbol in ORDER.iter().take(words) {
            bits.put(self.lengths.lengths[*symbol].into(), 3);
        }
        for (symbol, more) in &self.runs {
            self.lengths.put((*symbol).into(), bits);
            bits.put((*more).into(), run_bits(*symbol));
        }
    }
}

/// How many bits follow a symbol of a length.
fn run_bits(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// Bits of all words if they had these lengths.
fn bits_with<const N: usize>(code: &Code<N>, lengths: &[u8]) -> u32 {
    code.counts.iter().zip(lengths).map(|(&count, &length)| u32::from(count) * u32::from(length)).sum()
}

fn write_tokens<const N: usize>(tokens: &[Token], literals: &Code<N>, distances: &Code<DISTANCES>, bits: &mut Bits<'_>) {
    for token in tokens {
        match *token {
            Token::Literal(byte) => literals.put(byte.into(), bits),
            Token::Match(length, distance) => {
                let (length, distance) = (length_symbol(length), distance_symbol(distance));
                literals.put(length.number, bits);
                bits.put(length.extra, length.extra_bits);
                distances.put(distance.number, bits);
                bits.put(distance.extra, distance.extra_bits);
            }
        }
    }
    literals.put(END, bits);
}

/// Writes a body of at most 65,535 bytes as it is.
pub(super) fn write_stored(body: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    out.push(1);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(body);
}
