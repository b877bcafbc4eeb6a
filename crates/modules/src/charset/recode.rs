//! Tables between two character sets: of single bytes, or of single bytes and UTF-8.

use base::saturated::Saturated;
use foldhash::HashMap;
use std::rc::Rc;

/// Most bytes of a character.
const WIDEST: usize = 4;

/// A `charset_map`.
pub(super) struct Map {
    from: String,
    to: String,
    utf8: bool,
    /// Bytes of `from` in `to`: up to [`WIDEST`] each, and how many.
    forth: [([u8; WIDEST], u8); 256],
    /// Those that are the same in both.
    same: [bool; 256],
    /// Bytes of `to` in `from`, if `to` is a set of single bytes; of ASCII in any case.
    back: [u8; 256],
    /// Characters in `from`, if `to` is UTF-8.
    characters: HashMap<char, u8>,
}

/// Bytes given in hexadecimal, one to four.
pub(super) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    let padded: Vec<u8> = if text.len() % 2 == 1 { [b"0", text].concat() } else { text.to_vec() };
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    padded.chunks(2).map(|pair| pair.iter().try_fold(0, |sum, b| Some(sum << 4 | digit(b)?))).collect()
}

impl Map {
    /// A table that knows ASCII only.
    pub(super) fn new(from: String, to: String) -> Map {
        let utf8 = to.eq_ignore_ascii_case("utf-8");
        let ascii = std::array::from_fn(|b| u8::try_from(b).ok().filter(u8::is_ascii).unwrap_or(b'?'));
        let (forth, same) = (ascii.map(|b| ([b, 0, 0, 0], 1)), std::array::from_fn(|b| b < 128));
        Map { from, to, utf8, forth, same, back: ascii, characters: HashMap::default() }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.from.eq_ignore_ascii_case(name)
    }

    pub(super) fn is_target(&self, name: &str) -> bool {
        self.to.eq_ignore_ascii_case(name)
    }

    /// Adds a line; false if the value fits no character.
    pub(super) fn add(&mut self, source: u8, target: &[u8]) -> bool {
        if self.utf8 {
            let Some(character) = std::str::from_utf8(target).ok().and_then(|t| t.chars().next()) else { return false };
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() => self.back[usize::from(byte)] = source,
                _ => drop(self.characters.insert(character, source)),
            }
        } else {
            let &[byte] = target else { return false };
            self.back[usize::from(byte)] = source;
        }
        let (bytes, length) = &mut self.forth[usize::from(source)];
        let Some(place) = bytes.get_mut(..target.len()) else { return false };
        place.copy_from_slice(target);
        *length = u8::saturated(target.len());
        self.same[usize::from(source)] = target == [source];
        true
    }

    /// Recodes from `from` to `to`.
    fn convert(&self, mut data: &[u8], out: &mut Vec<u8>) {
        out.reserve(data.len());
        while !data.is_empty() {
            // What stays as it is goes over as a whole.
            let same = data.iter().position(|byte| !self.same[usize::from(*byte)]).unwrap_or(data.len());
            let (run, rest) = data.split_at(same);
            out.extend_from_slice(run);
            let other = rest.iter().position(|byte| self.same[usize::from(*byte)]).unwrap_or(rest.len());
            let (run, rest) = rest.split_at(other);
            self.others(run, out);
            data = rest;
        }
    }

    fn others(&self, data: &[u8], out: &mut Vec<u8>) {
        // Each character is written with all its room, and the next one over what of that was too much.
        let mut end = out.len();
        out.resize(end + WIDEST * data.len(), 0);
        for byte in data {
            let (bytes, length) = &self.forth[usize::from(*byte)];
            if let Some(place) = out.get_mut(end..).and_then(|rest| rest.first_chunk_mut()) {
                *place = *bytes;
            }
            end += usize::from(*length);
        }
        out.truncate(end);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Conversion {
    Forth,
    Back,
    FromUtf8,
}

/// A text on its way through a table.
pub(super) struct Recoder {
    map: Rc<Map>,
    conversion: Conversion,
    /// The beginning of a character that is not complete.
    tail: Vec<u8>,
}

impl Recoder {
    /// The way from one set to the other, if this is their map.
    pub(super) fn between(map: &Rc<Map>, from: &str, to: &str) -> Option<Recoder> {
        let way = match () {
            () if map.is(from) && map.is_target(to) => Conversion::Forth,
            () if map.is(to) && map.is_target(from) && map.utf8 => Conversion::FromUtf8,
            () if map.is(to) && map.is_target(from) => Conversion::Back,
            () => return None,
        };
        Some(Recoder { map: map.clone(), conversion: way, tail: Vec::new() })
    }

    /// Whether the result may be longer or shorter.
    pub(super) fn changes_length(&self) -> bool {
        self.map.utf8
    }

    /// Recodes a piece.
    pub(super) fn recode(&mut self, data: &[u8], out: &mut Vec<u8>) {
        match self.conversion {
            Conversion::Forth => self.map.convert(data, out),
            Conversion::Back => out.extend(data.iter().map(|b| self.map.back[usize::from(*b)])),
            Conversion::FromUtf8 => {
                let mut text = std::mem::take(&mut self.tail);
                text.extend_from_slice(data);
                let mut chunks = text.utf8_chunks().peekable();
                while let Some(chunk) = chunks.next() {
                    self.characters(chunk.valid(), out);
                    let invalid = chunk.invalid();
                    if chunks.peek().is_none() && !invalid.is_empty() && incomplete(invalid) {
                        self.tail = invalid.to_vec();
                    } else if !invalid.is_empty() {
                        out.push(b'?');
                    }
                }
            }
        }
    }

    fn characters(&self, text: &str, out: &mut Vec<u8>) {
        out.reserve(text.len());
        for character in text.chars() {
            if character.is_ascii() {
                out.push(self.map.back[character as usize & 127]);
                continue;
            }
            match self.map.characters.get(&character) {
                Some(byte) => out.push(*byte),
                None => out.extend_from_slice(format!("&#{};", u32::from(character)).as_bytes()),
            }
        }
    }

    /// The text has ended.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.tail).is_empty() {
            out.push(b'?');
        }
    }
}

/// Whether more bytes could make a character of this (RFC 3629 section 3).
fn incomplete(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(recoder: Option<Recoder>, text: &[u8], step: usize) -> Vec<u8> {
        let mut recoder = recoder.unwrap();
        let mut out = Vec::new();
        text.chunks(step).for_each(|chunk| recoder.recode(chunk, &mut out));
        recoder.end(&mut out);
        out
    }

    #[test]
    fn single_bytes_both_ways() {
        let mut map = Map::new("B".into(), "A".into());
        assert!(map.add(0x58, &[0x59]));
        assert!(!map.add(0x58, &[0x59, 0x5a]));
        let map = Rc::new(map);
        assert_eq!(run(Recoder::between(&map, "b", "a"), b"X\xffz", 2), b"Y?z");
        assert_eq!(run(Recoder::between(&map, "A", "B"), b"Yz", 1), b"Xz");
        assert!(Recoder::between(&map, "A", "C").is_none());
    }

    #[test]
    fn utf8_both_ways_however_it_is_cut() {
        let mut map = Map::new("koi8-r".into(), "utf-8".into());
        assert!(map.add(0xc1, &hex(b"D0B0").unwrap()));
        assert!(map.add(b'~', b"!") && map.add(0xff, &hex(b"F09F9880").unwrap()));
        let map = Rc::new(map);
        for step in 1..6 {
            assert_eq!(run(Recoder::between(&map, "koi8-r", "UTF-8"), b"~\xff", step), "!\u{1f600}".as_bytes());
            assert_eq!(run(Recoder::between(&map, "utf-8", "koi8-r"), "!\u{1f600}~".as_bytes(), step), b"~\xff~");
            assert_eq!(run(Recoder::between(&map, "koi8-r", "UTF-8"), b"a\xc1b", step), "aаb".as_bytes());
            assert_eq!(run(Recoder::between(&map, "utf-8", "koi8-r"), "aаbж\u{20ac}".as_bytes(), step), b"a\xc1b&#1078;&#8364;");
            assert_eq!(run(Recoder::between(&map, "utf-8", "koi8-r"), b"a\xffb\xd0", step), b"a?b?");
        }
    }
}
