//! The Huffman code of header strings (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive and in the order of their symbols, so the lengths say everything.

use crate::narrow;
use std::fmt;

/// How many bits each byte's code has; the last is the end of string.
// tidy: table
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10,
    10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6,
    7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23,
    21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27,
    26, 30,
];

const EOS: usize = 256;
const END: u16 = narrow::short(EOS);
const LONGEST: usize = 30;
/// Codes of at most so many bits are found by one look; all of ASCII that is common is among them.
const FAST_BITS: u32 = 9;

static CODES: [u32; 257] = {
    let mut codes = [0; 257];
    let (mut code, mut len) = (0u32, 1);
    while len <= LONGEST {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == len {
                codes[symbol] = code;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        len += 1;
    }
    codes
};

/// By the next bits: the code's length times 256, and the byte; 0 where the code is longer.
static FAST: [u16; 1 << FAST_BITS] = {
    let mut fast = [0; 1 << FAST_BITS];
    let mut symbol = 0;
    while symbol < EOS {
        let len = LENGTHS[symbol] as u32;
        if len <= FAST_BITS {
            let first = (CODES[symbol] << (FAST_BITS - len)) as usize;
            let mut i = 0;
            while i < 1 << (FAST_BITS - len) {
                fast[first + i] = narrow::short((len as usize) << 8 | symbol);
                i += 1;
            }
        }
        symbol += 1;
    }
    fast
};

/// The symbols in the order of their codes.
static SORTED: [u16; 257] = {
    let mut sorted = [0; 257];
    let (mut at, mut len) = (0, 1);
    while len <= LONGEST {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == len {
                sorted[at] = narrow::short(symbol);
                at += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    sorted
};

/// The codes of one length.
#[derive(Clone, Copy)]
struct Row {
    len: u32,
    /// The first code, and the one behind the last, as the highest bits of 32.
    first: u32,
    end: u64,
    /// Where the first stands in `SORTED`.
    at: usize,
}

static ROWS: [Row; LONGEST] = {
    let mut rows = [Row { len: 0, first: 0, end: 0, at: 0 }; LONGEST];
    let (mut at, mut code, mut len) = (0, 0, 1);
    while len <= LONGEST {
        let mut count = 0;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == len {
                count += 1;
            }
            symbol += 1;
        }
        let bits = narrow::word(len);
        let shift = 32 - bits;
        rows[len - 1] = Row { len: bits, first: narrow::word(code << shift), end: ((code + count) << shift) as u64, at };
        at += count;
        code = (code + count) << 1;
        len += 1;
    }
    rows
};

/// A string that is not Huffman code: the end of string within it, or padding that is too long or not all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHuffman;

impl fmt::Display for BadHuffman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid Huffman code")
    }
}

impl std::error::Error for BadHuffman {}

/// The longest padding that RFC 7541, 5.2 allows, in bits.
pub(crate) const PADDING: u32 = 7;

/// Appends the bytes that `code` stands for.
///
/// # Errors
/// [`BadHuffman`]; what was decoded before it stays in `out`.
pub(crate) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), BadHuffman> {
    decode_padded(code, PADDING, out)
}

/// As [`decode`], with up to `padding` bits of padding.
///
/// # Errors
/// [`BadHuffman`]; what was decoded before it stays in `out`.
pub(crate) fn decode_padded(code: &[u8], padding: u32, out: &mut Vec<u8>) -> Result<(), BadHuffman> {
    let mut rest = code;
    let (mut bits, mut have) = (0u64, 0u32);
    out.reserve(code.len() * 8 / 5 + 1);
    loop {
        if have <= 32 {
            if let Some((four, behind)) = rest.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*four)) << (32 - have);
                have += 32;
                rest = behind;
            } else if let Some((&byte, behind)) = rest.split_first() {
                bits |= u64::from(byte) << (56 - have);
                have += 8;
                rest = behind;
                continue;
            }
        }
        let entry = FAST.get((bits >> (64 - FAST_BITS)) as usize).copied().unwrap_or(0);
        let (len, symbol) = if entry == 0 { long(bits) } else { (u32::from(entry >> 8), entry & 0xff) };
        if len > have {
            // The padding is the first bits of the end of string.
            return if have <= padding && bits.leading_ones() >= have { Ok(()) } else { Err(BadHuffman) };
        }
        let Ok(byte) = u8::try_from(symbol) else { return Err(BadHuffman) };
        out.push(byte);
        bits <<= len;
        have -= len;
    }
}

/// The length and the symbol of a code that is too long for `FAST`.
fn long(bits: u64) -> (u32, u16) {
    let window = (bits >> 32) as u32;
    for row in ROWS.iter().skip(FAST_BITS as usize) {
        if u64::from(window) < row.end {
            let at = row.at + (window.wrapping_sub(row.first) >> (32 - row.len)) as usize;
            return (row.len, SORTED.get(at).copied().unwrap_or(END));
        }
    }
    (const { narrow::word(LONGEST) }, END)
}

/// How many bytes `text` takes when encoded.
#[must_use]
pub(crate) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS.get(usize::from(byte)).copied().unwrap_or(0))).sum();
    bits.div_ceil(8)
}

/// Appends `text` encoded.
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut have) = (0u64, 0u32);
    for &byte in text {
        let at = usize::from(byte);
        let (Some(&code), Some(&len)) = (CODES.get(at), LENGTHS.get(at)) else { continue };
        bits = (bits << len) | u64::from(code);
        have += u32::from(len);
        if have >= 32 {
            have -= 32;
            out.extend_from_slice(&(((bits >> have) & 0xffff_ffff) as u32).to_be_bytes());
        }
    }
    while have >= 8 {
        have -= 8;
        out.push(((bits >> have) & 0xff) as u8);
    }
    if have > 0 {
        out.push((((bits << (8 - have)) & 0xff) as u8) | (0xff >> have));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_standards() {
        // Points of appendix B, one of each kind of length.
        for (symbol, code, len) in [
            (b'0', 0, 5),
            (b'a', 3, 5),
            (b' ', 0x14, 6),
            (b'A', 0x21, 6),
            (b'z', 0x7b, 7),
            (0, 0x1ff8, 13),
            (255, 0x3ff_ffee, 26),
            (10, 0x3fff_fffc, 30),
        ] {
            assert_eq!((CODES[usize::from(symbol)], LENGTHS[usize::from(symbol)]), (code, len), "{symbol}");
        }
        assert_eq!(CODES[EOS], 0x3fff_ffff);
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for first in 0..=255 {
            for second in 0..=255 {
                let text = [first, second, b'x'];
                let (mut code, mut back) = (vec![], vec![]);
                encode(&text, &mut code);
                assert_eq!(code.len(), encoded_len(&text));
                assert_eq!(decode(&code, &mut back), Ok(()));
                assert_eq!(back, text);
            }
        }
    }

    #[test]
    fn padding_is_short_and_all_ones() {
        let mut out = vec![];
        for (code, good) in [
            (&[0b0001_1111u8][..], true),
            (&[0b0001_1110], false),
            (&[0b0001_1111, 0xff], false),
            (&[0xff], false),
            (&[], true),
            (&[0xff, 0xff, 0xff, 0xff], false),
            (&[0x3f, 0xff, 0xff, 0xff, 0xff], false),
        ] {
            assert_eq!(decode(code, &mut out).is_ok(), good, "{code:x?}");
        }
        assert!(decode_padded(&[0xff], 8, &mut out).is_ok() && decode_padded(&[0x1f, 0xff], 8, &mut out).is_err());
    }
}
