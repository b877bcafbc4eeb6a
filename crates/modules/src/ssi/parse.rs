//! Finds commands in a page that arrives in pieces.

use super::CommandError;
use super::command::CachedCommand;
use super::marks::OPEN;
use super::scan::Scanner;
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
    /// One that is written wrong.
    Malformed(Bytes, CommandError),
    /// The page ends in a command, maybe in one that is written wrong: nobody sees it.
    Cut(Bytes, Option<CommandError>),
}

/// Keeps what may be the beginning of a command.
#[derive(Debug)]
pub(super) struct Parser {
    tail: Vec<u8>,
    /// How far the command was read that `tail` begins with.
    scanner: Option<Scanner>,
    longest_value: usize,
}

/// To make one costs more than most searches.
static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(OPEN));

impl Parser {
    /// No value of a parameter may be longer than `longest_value`.
    pub(super) fn new(longest_value: usize) -> Parser {
        Parser { tail: Vec::new(), scanner: None, longest_value }
    }

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
            let start = if self.scanner.is_some() { 0 } else { FINDER.find(rest).unwrap_or_else(|| rest.len() - partial(rest)) };
            if start > 0 {
                out.extend([Token::Text(text.slice(at..at + start))]);
                at += start;
                continue;
            }
            let Some(inner) = rest.strip_prefix(OPEN) else { break };
            let mut scanner = self.scanner.take().unwrap_or_else(|| Scanner::new(self.longest_value));
            let Some(end) = scanner.go_on(inner) else {
                self.scanner = Some(scanner);
                break;
            };
            let command = text.slice(at..at + OPEN.len() + end);
            at += command.len();
            out.extend([match scanner.fault {
                Some(fault) => Token::Malformed(command, fault),
                None => Token::Command(command),
            }]);
        }
        let rest = text.get(at..).unwrap_or_default();
        let forgets = self.scanner.as_mut().is_some_and(Scanner::discard_read);
        self.tail.extend_from_slice(if forgets { OPEN } else { rest });
    }

    /// Nothing of the page is kept.
    pub(super) fn is_new(&self) -> bool {
        self.tail.is_empty()
    }

    /// The page has ended: what is left is nothing.
    pub(super) fn finish(&mut self, out: &mut impl Extend<Token>) {
        let fault = self.scanner.take().and_then(|scanner| scanner.fault);
        if !self.tail.is_empty() {
            out.extend([Token::Cut(std::mem::take(&mut self.tail).into(), fault)]);
        }
    }
}

/// How many bytes at the end of `text` may begin a command.
fn partial(text: &[u8]) -> usize {
    (1..OPEN.len()).rev().find(|n| OPEN.get(..*n).is_some_and(|head| text.ends_with(head))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::marks::inner;
    use super::*;

    fn whole(text: &'static str, step: usize) -> Vec<Token> {
        let mut parser = Parser::new(256);
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
        const COMMAND: &str = "<!--# echo var=\"a --> b\"  default='it\\'s \\$' -->";
        let text = "a<!-- x --><!--# echo var=\"a --> b\"  default='it\\'s \\$' --> z <!--#";
        let want = [
            Token::Text("a<!-- x -->".into()),
            Token::Command(COMMAND.into()),
            Token::Text(" z ".into()),
            Token::Cut("<!--#".into(), None),
        ];
        for step in 1..20 {
            assert_eq!(whole(text, step), want, "{step}");
        }
        assert_eq!(inner(COMMAND.as_bytes()).len(), COMMAND.len() - 8);
    }

    #[test]
    fn a_command_that_is_written_wrong_is_given_up_at_once() {
        for step in 1..20 {
            let all = whole("a<!--#echo x \"-->b<!-- <!--#echo x \"", step);
            let [Token::Text(_), Token::Malformed(_, first), Token::Text(between), Token::Cut(_, Some(second))] = &*all else {
                panic!("{all:?}")
            };
            assert_eq!((first, &**between), (second, &b"b<!-- "[..]));
        }
        let mut parser = Parser::new(256);
        let mut out = Vec::new();
        parser.feed(Bytes::from_static(b"<!--#echo x "), &mut out);
        for _ in 0..100 {
            parser.feed(vec![b'x'; 1000].into(), &mut out);
        }
        assert!(out.is_empty() && parser.tail == OPEN);
    }
}
