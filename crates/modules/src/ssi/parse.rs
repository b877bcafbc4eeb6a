//! Finds commands in a page that arrives in pieces.

use super::command::CachedCommand;
use super::marks::{CLOSE, OPEN, end_of_quoted};
use bytes::Bytes;
use memchr::memmem::Finder;
use std::rc::Rc;
use std::sync::LazyLock;

/// A part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Text that goes out as it is.
    Text(Bytes),
    /// A command, from its `<!--#` to its `-->`.
    Command(Bytes),
    /// One of a cached page, parsed before.
    Kept(Bytes, Rc<CachedCommand>),
    /// What looked like a command and has no end.
    TooLong,
}

/// Keeps what may be the beginning of a command.
#[derive(Debug, Default)]
pub(super) struct Parser {
    tail: Vec<u8>,
}

/// To make one costs more than most searches.
static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(OPEN));
/// Longest command; what goes on longer is taken for text.
const LONGEST: usize = 64 * 1024;

impl Parser {
    /// Adds a piece of the page; hands over what is complete.
    pub(super) fn feed(&mut self, data: Bytes, out: &mut impl Extend<Token>) {
        let text = if self.tail.is_empty() {
            data
        } else {
            let mut joined = std::mem::take(&mut self.tail);
            joined.extend_from_slice(&data);
            Bytes::from(joined)
        };
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            let start = FINDER.find(rest).unwrap_or_else(|| rest.len() - partial(rest));
            if start > 0 {
                out.extend([Token::Text(text.slice(at..at + start))]);
                at += start;
                continue;
            }
            match rest.strip_prefix(OPEN).map(end_of_command) {
                Some(Some(end)) => {
                    let length = OPEN.len() + end + CLOSE.len();
                    out.extend([Token::Command(text.slice(at..at + length))]);
                    at += length;
                }
                Some(None) if rest.len() > LONGEST => {
                    out.extend([Token::TooLong]);
                    at = text.len();
                }
                _ => break,
            }
        }
        self.tail.extend_from_slice(text.get(at..).unwrap_or_default());
    }

    /// Nothing of the page is kept.
    pub(super) fn is_new(&self) -> bool {
        self.tail.is_empty()
    }

    /// The page has ended: what is left is text.
    pub(super) fn finish(&mut self, out: &mut impl Extend<Token>) {
        if !self.tail.is_empty() {
            out.extend([Token::Text(std::mem::take(&mut self.tail).into())]);
        }
    }
}

/// How many bytes at the end of `text` may begin a command.
fn partial(text: &[u8]) -> usize {
    (1..OPEN.len()).rev().find(|n| OPEN.get(..*n).is_some_and(|head| text.ends_with(head))).unwrap_or(0)
}

/// Where `-->` stands outside of quotes.
fn end_of_command(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|b| matches!(b, b'"' | b'\'' | b'-'))?;
        let rest = text.get(at..)?;
        match rest.first()? {
            b'-' if rest.starts_with(CLOSE) => return Some(at),
            b'-' => at += 1,
            quote => at += 1 + end_of_quoted(rest.get(1..)?, *quote)? + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::marks::inner;
    use super::*;

    fn whole(text: &'static str, step: usize) -> Vec<Token> {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(step) {
            parser.feed(Bytes::from_static(chunk), &mut out);
        }
        parser.finish(&mut out);
        let mut joined: Vec<Token> = Vec::new();
        for token in out {
            match (joined.last_mut(), token) {
                (Some(Token::Text(before)), Token::Text(text)) => *before = [&**before, &*text].concat().into(),
                (_, token) => joined.push(token),
            }
        }
        joined
    }

    #[test]
    fn however_the_page_is_cut() {
        const COMMAND: &str = "<!--# echo var=\"a --> b\"  default='it\\'s \\$' - -- -->";
        let text = "a<!-- x --><!--# echo var=\"a --> b\"  default='it\\'s \\$' - -- --> z <!--#";
        let want = [Token::Text("a<!-- x -->".into()), Token::Command(COMMAND.into()), Token::Text(" z <!--#".into())];
        for step in 1..20 {
            assert_eq!(whole(text, step), want, "{step}");
        }
        assert_eq!(inner(COMMAND.as_bytes()).len(), COMMAND.len() - 8);
    }

    #[test]
    fn a_command_without_an_end_is_given_up() {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        parser.feed(Bytes::from_static(b"<!--#echo \""), &mut out);
        assert!(out.is_empty());
        for _ in 0..=LONGEST / 1000 {
            parser.feed(vec![b'x'; 1000].into(), &mut out);
        }
        assert_eq!(out.first(), Some(&Token::TooLong));
        parser.feed(Bytes::from_static(b"y"), &mut out);
        parser.finish(&mut out);
        assert!(out.iter().skip(1).all(|t| matches!(t, Token::Text(_))), "{out:?}");
    }

    #[test]
    fn quotes_hide_the_end() {
        for (text, end) in [
            ("a-->", Some(1)),
            ("'-->'-->", Some(5)),
            ("\"'-->\"-->", Some(6)),
            ("'\\'-->'-->", Some(7)),
            ("'\\\\'-->", Some(4)),
            ("'-->", None),
            ("--", None),
            ("'\\", None),
        ] {
            assert_eq!(end_of_command(text.as_bytes()), end, "{text}");
        }
    }
}
