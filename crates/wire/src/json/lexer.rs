//! The lexer of JSON texts.

use super::number::{self, ParsedNumber};
use super::{JsonError, Rules, Token};
use crate::block::{self, mark, repeat};

/// So many NULs stand behind a text, that a block of this size can be looked at wherever a string goes on.
pub(super) const BLOCK: usize = block::SIZE;

/// A word.
pub(super) enum Lexeme {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Value(Token),
    Error(&'static str),
}

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    decoded: &'a mut Vec<u8>,
    rules: Rules,
    at: &'a mut usize,
    /// Where the last word began, or what is wrong with it.
    index: usize,
    integer: bool,
}

impl<'a> Lexer<'a> {
    /// Reads from `at` on, which it moves behind each word.
    pub(super) fn new(text: &'a [u8], decoded: &'a mut Vec<u8>, rules: Rules, at: &'a mut usize) -> Self {
        let index = *at;
        Self { text, decoded, rules, at, index, integer: false }
    }

    /// The message about a word that should not be there.
    pub(super) fn expected(&self, what: &str, found: &Lexeme) -> JsonError {
        let found = match found {
            Lexeme::ObjectBegin => "T_OBJ_BEGIN",
            Lexeme::ObjectEnd => "T_OBJ_END",
            Lexeme::ArrayBegin => "T_ARR_BEGIN",
            Lexeme::ArrayEnd => "T_ARR_END",
            Lexeme::Colon => "T_COLON",
            Lexeme::Comma => "T_COMMA",
            Lexeme::End => "T_END",
            Lexeme::Value(Token::Null) => "T_NULL",
            Lexeme::Value(Token::Bool(_)) => "T_BOOLEAN",
            Lexeme::Value(Token::Number(_)) if self.integer => "T_INTEGER",
            Lexeme::Value(Token::Number(_)) => "T_NUMBER",
            Lexeme::Value(_) => "T_STRING",
            Lexeme::Error(text) => text,
        };
        format!("Expected {what} but found {found} at character {}", self.index + 1).into()
    }

    fn remaining(&self) -> &'a [u8] {
        self.text.get(*self.at..).unwrap_or_default()
    }

    fn fail(&mut self, text: &'static str) -> Lexeme {
        self.index = *self.at;
        Lexeme::Error(text)
    }

    fn skip_comment(&mut self) -> Result<bool, &'static str> {
        let rest = self.remaining();
        if rest.starts_with(b"//") {
            let line = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
            *self.at += line.unwrap_or(rest.len());
            return Ok(true);
        }
        if !rest.starts_with(b"/*") {
            return Ok(false);
        }
        let body = rest.get(2..).unwrap_or_default();
        let body = body.split(|byte| *byte == 0).next().unwrap_or_default();
        match memchr::memmem::find(body, b"*/") {
            Some(length) => {
                *self.at += length + 4;
                Ok(true)
            }
            None => {
                *self.at += body.len() + 2;
                Err("unclosed multi-line comment")
            }
        }
    }

    /// Skips white space and comments.
    fn skip(&mut self) -> Result<(), &'static str> {
        loop {
            while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(*self.at) {
                *self.at += 1;
            }
            if !self.rules.comments {
                break;
            }
            match self.skip_comment() {
                Ok(true) => {}
                Ok(false) => break,
                Err(text) => return Err(text),
            }
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> Lexeme {
        if let Err(text) = self.skip() {
            return self.fail(text);
        }
        self.index = *self.at;
        let Some(byte) = self.text.get(*self.at) else { return Lexeme::End };
        let single = match byte {
            0 => return Lexeme::End,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            b'{' => Lexeme::ObjectBegin,
            b'}' => Lexeme::ObjectEnd,
            b'[' => Lexeme::ArrayBegin,
            b']' => Lexeme::ArrayEnd,
            b':' => Lexeme::Colon,
            b',' => Lexeme::Comma,
            _ => return self.word(),
        };
        *self.at += 1;
        single
    }

    fn word(&mut self) -> Lexeme {
        for (word, token) in [("true", Token::Bool(true)), ("false", Token::Bool(false)), ("null", Token::Null)] {
            if self.remaining().starts_with(word.as_bytes()) {
                *self.at += word.len();
                return Lexeme::Value(token);
            }
        }
        // As odd numbers these may begin; `i` and `n` in either case, as strtod has it.
        if self.rules.odd_numbers
            && matches!(self.text.get(*self.at), Some(b'+' | b'i' | b'I' | b'n' | b'N'))
            && number::is_odd(self.remaining())
        {
            return self.number();
        }
        self.fail("invalid token")
    }

    fn number(&mut self) -> Lexeme {
        self.index = *self.at;
        let rest = self.remaining();
        if !self.rules.odd_numbers && number::is_odd(rest) {
            return self.fail("invalid number");
        }
        match number::read(rest) {
            Some(ParsedNumber { value, length, integer }) => {
                *self.at += length;
                self.integer = integer;
                Lexeme::Value(Token::Number(value))
            }
            None => self.fail("invalid number"),
        }
    }

    /// A string, from its quote on.
    fn string(&mut self) -> Lexeme {
        let start = *self.at + 1;
        let length = plain(self.text.get(start..).unwrap_or_default());
        *self.at = start + length;
        match self.text.get(*self.at) {
            Some(b'"') => {
                *self.at += 1;
                Lexeme::Value(Token::Plain(offset(start), offset(length)))
            }
            Some(b'\\') => self.escaped(self.text.get(start..*self.at).unwrap_or_default()),
            _ => self.fail("unexpected end of string"),
        }
    }

    /// The rest of a string from its first escape on.
    fn escaped(&mut self, before: &[u8]) -> Lexeme {
        let start = self.decoded.len();
        self.decoded.extend_from_slice(before);
        loop {
            let rest = self.remaining();
            let length = plain(rest);
            self.decoded.extend_from_slice(rest.get(..length).unwrap_or_default());
            *self.at += length;
            match rest.get(length..) {
                Some([b'"', ..]) => {
                    *self.at += 1;
                    return Lexeme::Value(Token::Decoded(offset(start), offset(self.decoded.len() - start)));
                }
                Some([b'\\', b'u', digits @ ..]) => match code_point(digits) {
                    Some((letter, more)) => {
                        *self.at += 2 + more;
                        self.decoded.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    None => return self.fail("invalid unicode escape code"),
                },
                Some([b'\\', letter, ..]) => {
                    let byte = match letter {
                        b'"' | b'\\' | b'/' => *letter,
                        b'b' => 8,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 12,
                        b'r' => b'\r',
                        _ => return self.fail("invalid escape code"),
                    };
                    *self.at += 2;
                    self.decoded.push(byte);
                }
                Some([b'\\']) => return self.fail("invalid escape code"),
                _ => return self.fail("unexpected end of string"),
            }
        }
    }
}

/// Goes to the next byte that is no white space, where only that one decides; 0 at the end.
#[inline]
pub(super) fn peek(text: &[u8], at: &mut usize, rules: Rules) -> u8 {
    let first = text.get(*at).copied().unwrap_or(0);
    if first > b' ' && first != b'/' {
        return first;
    }
    let mut end = *at;
    let byte = peek_beyond(text, &mut end, rules);
    *at = end;
    byte
}

fn peek_beyond(text: &[u8], at: &mut usize, rules: Rules) -> u8 {
    let from = *at;
    // Nothing that is skipped is decoded.
    let mut nothing = Vec::new();
    if Lexer::new(text, &mut nothing, rules, at).skip().is_err() {
        // Nothing expects this byte, so the next word is read, which fails likewise.
        *at = from;
        return b'/';
    }
    text.get(*at).copied().unwrap_or(0)
}

/// A number that is written as most are; otherwise `at` stays.
#[inline]
pub(super) fn plain_number(text: &[u8], at: &mut usize, tokens: &mut Vec<Token>) -> bool {
    let Some(ParsedNumber { value, length, .. }) = number::read_usual(text.get(*at..).unwrap_or_default()) else { return false };
    *at += length;
    tokens.push(Token::Number(value));
    true
}

/// A string without escapes, from its quote on; otherwise `at` stays.
#[inline]
pub(super) fn plain_string(text: &[u8], at: &mut usize, tokens: &mut Vec<Token>) -> bool {
    let start = *at + 1;
    let length = plain(text.get(start..).unwrap_or_default());
    let end = start + length;
    if text.get(end) != Some(&b'"') {
        return false;
    }
    *at = end + 1;
    tokens.push(Token::Plain(offset(start), offset(length)));
    true
}

/// A place or a length in the text, or in what was decoded of it, which is not longer.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a longer text is refused before it is read (`Document::parse`)")]
fn offset(bytes: usize) -> u32 {
    bytes as u32
}

/// What may end a run of plain bytes in a block, as [`mark`] has it.
#[inline]
fn ends(block: [u8; BLOCK]) -> u64 {
    let block = u64::from_le_bytes(block);
    mark(block, repeat(b'"')) | mark(block, repeat(b'\\')) | mark(block, 0)
}

/// How many bytes a string has until its end, or its next escape.
#[inline]
fn plain(text: &[u8]) -> usize {
    if let Some(block) = text.first_chunk::<BLOCK>() {
        let found = ends(*block);
        if found != 0 {
            return found.trailing_zeros() as usize / 8;
        }
    }
    plain_beyond(text)
}

/// The same, for a string that has no end in its first block.
fn plain_beyond(text: &[u8]) -> usize {
    const SHORT: usize = 4 * BLOCK;
    let (blocks, _) = text.as_chunks::<BLOCK>();
    for (at, block) in blocks.iter().enumerate().take(SHORT / BLOCK) {
        let found = ends(*block);
        if found != 0 {
            return at * BLOCK + found.trailing_zeros() as usize / 8;
        }
    }
    let from = SHORT.min(text.len() / BLOCK * BLOCK);
    let rest = text.get(from..).unwrap_or_default();
    memchr::memchr3(b'"', b'\\', 0, rest).map_or(text.len(), |at| from + at)
}

/// Four hexadecimal digits.
fn unit(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..4)?;
    digits.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
}

/// The character behind `\u`, the other half of a pair included, and how many bytes that was.
fn code_point(digits: &[u8]) -> Option<(char, usize)> {
    let first = unit(digits)?;
    if !(0xd800..0xe000).contains(&first) {
        return char::from_u32(first).map(|letter| (letter, 4));
    }
    let Some([b'\\', b'u', more @ ..]) = digits.get(4..) else { return None };
    let second = unit(more).filter(|second| (0xdc00..0xe000).contains(second))?;
    if first >= 0xdc00 {
        return None;
    }
    char::from_u32(((first & 0x3ff) << 10 | (second & 0x3ff)) + 0x10000).map(|letter| (letter, 10))
}
