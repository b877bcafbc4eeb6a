//! Bytes to words: nginx's tokeniser, rule by rule.
//!
//! `{`, `}`, `;`, `#` and quotes are special only where a word may start; behind a closing quote only
//! space, `;`, `{` or `)` may follow; a backslash keeps the next byte from being special and is
//! itself removed only before quotes, backslashes and in `\t`, `\r`, `\n`; `${` belongs to its word.

use crate::tree::{Error, Span, Word};

/// The longest word in a file, in bytes: nginx's read buffer. Words on the command line are free.
pub(crate) const MAX_WORD: usize = 4096;

/// How a run of words ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`; there were no words.
    Close,
    /// The end of the text; there were no words.
    Eof,
}

/// Splits one text into the words of directives.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    file: u32,
    line: u32,
    line_start: usize,
    command_line: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Double,
    Single,
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`, which is file number `file`; `command_line` when it is the
    /// argument of `-g`.
    #[must_use]
    pub fn new(text: &'a [u8], file: u32, command_line: bool) -> Self {
        Self { text, at: 0, file, line: 1, line_start: 0, command_line }
    }

    /// The place of the next byte.
    #[must_use]
    pub fn place(&self) -> Span {
        self.place_of(self.at)
    }

    fn place_of(&self, at: usize) -> Span {
        let column = u32::try_from(at.saturating_sub(self.line_start) + 1).unwrap_or(u32::MAX);
        Span { file: self.file, line: self.line, column }
    }

    /// The text that has not been read.
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or(&[])
    }

    /// Goes on behind the next `count` bytes.
    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            if self.bump().is_none() {
                return;
            }
        }
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied()?;
        self.at += 1;
        if byte == b'\n' {
            self.line = self.line.saturating_add(1);
            self.line_start = self.at;
        }
        Some(byte)
    }

    /// Reads the words of one directive into `words`, which is cleared first.
    ///
    /// # Errors
    /// nginx's messages for misplaced punctuation, text that ends too early and words too long.
    pub fn next(&mut self, words: &mut Vec<Word>) -> Result<End, Error> {
        words.clear();
        loop {
            let span = self.place();
            let Some(byte) = self.bump() else {
                return if words.is_empty() { Ok(End::Eof) } else { Err(self.early_end()) };
            };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'#' => self.comment(),
                b';' | b'{' if words.is_empty() => return Err(self.unexpected(byte, span)),
                b';' => return Ok(End::Semicolon),
                b'{' => return Ok(End::Open),
                b'}' if words.is_empty() => return Ok(End::Close),
                b'}' => return Err(self.unexpected(byte, span)),
                _ => {
                    if let Some(end) = self.word(byte, span, words)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    fn comment(&mut self) {
        let count = memchr::memchr(b'\n', self.remaining()).unwrap_or(self.remaining().len());
        self.skip(count);
    }

    /// Reads on from the first byte of a word; a word may end its directive.
    fn word(&mut self, first: u8, span: Span, words: &mut Vec<Word>) -> Result<Option<End>, Error> {
        let (quote, start) = match first {
            b'"' => (Quote::Double, self.at),
            b'\'' => (Quote::Single, self.at),
            _ => (Quote::None, self.at - 1),
        };
        let mut escaped = first == b'\\';
        let mut variable = first == b'$';
        loop {
            if !self.command_line && self.at - start >= MAX_WORD && !self.remaining().is_empty() {
                return Err(self.too_long(quote, start, span));
            }
            let Some(byte) = self.bump() else {
                return Err(self.early_end());
            };
            if std::mem::take(&mut escaped) || (byte == b'{' && variable) {
                continue;
            }
            variable = byte == b'$';
            let ends = match quote {
                Quote::Double => byte == b'"',
                Quote::Single => byte == b'\'',
                Quote::None => matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{'),
            };
            if byte == b'\\' {
                escaped = true;
            } else if ends {
                let raw = self.text.get(start..self.at - 1).unwrap_or(&[]);
                words.push(Word { bytes: unescape(raw), quoted: quote != Quote::None, span });
                return match (quote, byte) {
                    (Quote::None, b';') => Ok(Some(End::Semicolon)),
                    (Quote::None, b'{') => Ok(Some(End::Open)),
                    (Quote::None, _) => Ok(None),
                    _ => self.behind_quote(),
                };
            }
        }
    }

    /// A closing quote must be followed by something that separates, so that `"a"b` is an error.
    fn behind_quote(&mut self) -> Result<Option<End>, Error> {
        let span = self.place();
        match self.bump() {
            None => Err(self.early_end()),
            Some(b' ' | b'\t' | b'\r' | b'\n') => Ok(None),
            Some(b';') => Ok(Some(End::Semicolon)),
            Some(b'{') => Ok(Some(End::Open)),
            // A word of its own starts at the parenthesis, as in `if ($a = "b")`.
            Some(b')') => {
                self.at -= 1;
                Ok(None)
            }
            Some(byte) => Err(self.unexpected(byte, span)),
        }
    }

    fn unexpected(&self, byte: u8, span: Span) -> Error {
        let shown = String::from_utf8_lossy(&[byte]).into_owned();
        let mut error = Error::new(format!("unexpected \"{shown}\""), span);
        error.line = self.line;
        error
    }

    fn early_end(&self) -> Error {
        let message = if self.command_line {
            "unexpected end of parameter, expecting \";\""
        } else {
            "unexpected end of file, expecting \";\" or \"}\""
        };
        Error::new(message, self.place())
    }

    fn too_long(&self, quote: Quote, start: usize, span: Span) -> Error {
        let message = match quote {
            Quote::None => {
                let lead = self.text.get(start..start + 10).unwrap_or(&[]);
                format!("too long parameter \"{}...\" started", String::from_utf8_lossy(lead))
            }
            Quote::Double => missing_quote('"'),
            Quote::Single => missing_quote('\''),
        };
        Error::new(message, span)
    }
}

fn missing_quote(quote: char) -> String {
    format!("too long parameter, probably missing terminating \"{quote}\" character")
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (run, tail) = rest.split_at(at);
        out.extend_from_slice(run);
        let (byte, len) = match tail.get(1) {
            Some(&byte @ (b'"' | b'\'' | b'\\')) => (byte, 2),
            Some(b't') => (b'\t', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'n') => (b'\n', 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = tail.get(len..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
