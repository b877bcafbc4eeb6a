//! JSON strings with their escapes.

use wire::block::{HIGH, SIZE as BLOCK, mark, repeat};

/// What to write for each byte: 0 itself, `u` its number, otherwise this letter behind a backslash.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 32 {
        table[byte] = b'u';
        byte += 1;
    }
    table[127] = b'u';
    table[8] = b'b';
    table[9] = b't';
    table[10] = b'n';
    table[12] = b'f';
    table[13] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table
};

/// How strings are written.
#[derive(Clone, Copy)]
pub(super) struct Quoting {
    /// A block of slashes, if these are escaped, otherwise of bytes that are in any case.
    slashes: u64,
}

/// A block that begins with a text shorter than it, and goes on with bytes that need no escape.
#[inline]
fn short(text: &[u8]) -> u64 {
    let length = text.len();
    let bytes = match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (length & 7) - 32)
        }
        _ => match *text {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, ..] => u64::from(u32::from_le_bytes([a, b, c, 0])),
        },
    };
    bytes | repeat(b' ') << (8 * (length & 7))
}

impl Quoting {
    pub(super) fn new(escape_slashes: bool) -> Self {
        Self { slashes: repeat(if escape_slashes { b'/' } else { b'"' }) }
    }

    /// The bytes of a block that must be escaped, as [`mark`] has it.
    #[inline]
    fn special(self, block: u64) -> u64 {
        let control = block.wrapping_sub(repeat(32)) & !block & HIGH;
        control | mark(block, repeat(b'"')) | mark(block, repeat(b'\\')) | mark(block, repeat(127)) | mark(block, self.slashes)
    }

    /// Appends a string of any bytes.
    #[inline(never)]
    pub(super) fn push(self, out: &mut Vec<u8>, text: &[u8]) {
        if text.len() < BLOCK {
            let block = short(text);
            if self.special(block) == 0 {
                // The space behind the text becomes the last quote.
                let quoted = block ^ (u64::from(b' ' ^ b'"') << (8 * (text.len() & 7)));
                let end = out.len() + text.len() + 2;
                out.extend_from_slice(&(u128::from(quoted) << 8 | u128::from(b'"')).to_le_bytes());
                return out.truncate(end);
            }
        }
        self.push_long(out, text);
    }

    fn push_long(self, out: &mut Vec<u8>, text: &[u8]) {
        out.reserve(text.len() + 2 + BLOCK);
        out.push(b'"');
        let mut rest = text;
        loop {
            let (block, length) = match rest.first_chunk::<BLOCK>() {
                Some(block) => (u64::from_le_bytes(*block), BLOCK),
                None => (short(rest), rest.len()),
            };
            let special = self.special(block);
            let plain = if special == 0 { length } else { special.trailing_zeros() as usize / 8 };
            let end = out.len() + plain;
            out.extend_from_slice(&block.to_le_bytes());
            out.truncate(end);
            rest = rest.get(plain..).unwrap_or_default();
            if special != 0 {
                rest = escape(out, rest);
            } else if length < BLOCK {
                break;
            }
        }
        out.push(b'"');
    }
}

/// Appends the escape of the first byte; what is behind it.
#[cold]
fn escape<'t>(out: &mut Vec<u8>, text: &'t [u8]) -> &'t [u8] {
    let Some((byte, rest)) = text.split_first() else { return text };
    match ESCAPES.get(usize::from(*byte)).copied().unwrap_or(0) {
        b'u' => {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        letter => out.extend_from_slice(&[b'\\', letter]),
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::Quoting;

    /// Byte by byte.
    fn expected(text: &[u8], slash: bool) -> Vec<u8> {
        let mut out = vec![b'"'];
        for byte in text {
            match byte {
                b'"' | b'\\' => out.extend([b'\\', *byte]),
                b'/' if slash => out.extend(b"\\/"),
                8 => out.extend(b"\\b"),
                9 => out.extend(b"\\t"),
                10 => out.extend(b"\\n"),
                12 => out.extend(b"\\f"),
                13 => out.extend(b"\\r"),
                0..32 | 127 => out.extend(format!("\\u{byte:04x}").bytes()),
                _ => out.push(*byte),
            }
        }
        out.push(b'"');
        out
    }

    fn check(text: &[u8]) {
        for slash in [true, false] {
            let mut out = b"before".to_vec();
            Quoting::new(slash).push(&mut out, text);
            assert_eq!(out, [b"before".as_slice(), &expected(text, slash)].concat(), "{text:?}");
        }
    }

    #[test]
    fn each_byte_at_each_place() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'!'; length];
                    text[at] = byte;
                    check(&text);
                    // Neighbours that differ by one, and those of the highest bit, are what such searches get wrong.
                    text.fill(byte ^ 1);
                    text[at] = byte;
                    check(&text);
                    text.fill(byte ^ 128);
                    text[at] = byte;
                    check(&text);
                }
            }
        }
        check(b"");
    }

    #[test]
    fn all_escapes() {
        for length in 0..30 {
            check(&vec![b'"'; length]);
            check(&vec![0; length]);
            check(&vec![255; length]);
        }
        check(&(0..=255).chain((0..=255).rev()).collect::<Vec<u8>>());
    }
}
