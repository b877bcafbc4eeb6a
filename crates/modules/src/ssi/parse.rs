//! Finding commands in a page that comes in pieces.

use super::command::Command;
use bytes::Bytes;

/// A part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Text that goes out as it is.
    Text(Bytes),
    /// A command.
    Command(Command),
    /// What looked like a command; why it is none, for the log.
    Broken(String),
}

impl Token {
    /// Bytes of memory that it holds, about; a page's text is its own.
    pub(super) fn size(&self) -> usize {
        match self {
            Token::Text(_) => size_of::<Token>(),
            Token::Command(command) => command.size(),
            Token::Broken(why) => size_of::<Token>() + why.len(),
        }
    }
}

/// Keeps what may be the beginning of a command.
#[derive(Debug)]
pub(super) struct Parser {
    tail: Bytes,
    value_length: usize,
}

const OPEN: &[u8] = b"<!--#";
/// Longest command; what goes on longer is taken for text.
const LONGEST: usize = 64 * 1024;

impl Parser {
    /// A parser that takes values up to this length.
    pub(super) fn new(value_length: usize) -> Parser {
        Parser { tail: Bytes::new(), value_length }
    }

    /// The longest value that it takes.
    pub(super) fn value_length(&self) -> usize {
        self.value_length
    }

    /// Whether nothing of the page waits for more.
    pub(super) fn is_fresh(&self) -> bool {
        self.tail.is_empty()
    }

    /// Adds a piece of the page; appends what is complete.
    pub(super) fn feed(&mut self, data: &Bytes, out: &mut Vec<Token>) {
        let text = if self.tail.is_empty() { data.clone() } else { [&*self.tail, &**data].concat().into() };
        let used = self.run(&text, out);
        self.tail = text.slice(used.min(text.len())..);
    }

    /// The page has ended: what is left is text.
    pub(super) fn finish(&mut self, out: &mut Vec<Token>) {
        let rest = std::mem::take(&mut self.tail);
        if !rest.is_empty() {
            out.push(Token::Text(rest));
        }
    }

    fn run(&self, text: &Bytes, out: &mut Vec<Token>) -> usize {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            let start = memchr::memmem::find(rest, OPEN).unwrap_or_else(|| rest.len() - partial(rest));
            if start > 0 {
                out.push(Token::Text(text.slice(at..at + start)));
                at += start;
                continue;
            }
            let Some(inner) = rest.strip_prefix(OPEN) else { break };
            match end_of_command(inner) {
                Some(end) => {
                    out.push(command(inner.get(..end).unwrap_or_default(), self.value_length));
                    at += OPEN.len() + end + 3;
                }
                None if rest.len() > LONGEST => {
                    out.push(Token::Broken("the SSI command is too long".to_owned()));
                    at = text.len();
                }
                None => break,
            }
        }
        at
    }
}

/// How many bytes at the end of `text` may begin a command.
fn partial(text: &[u8]) -> usize {
    (1..OPEN.len()).rev().find(|n| OPEN.get(..*n).is_some_and(|head| text.ends_with(head))).unwrap_or(0)
}

/// Where `-->` stands outside of quotes.
fn end_of_command(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (i, &byte) in text.iter().enumerate() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(q) if byte == q => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if text.get(i..).is_some_and(|t| t.starts_with(b"-->")) => return Some(i),
            None => {}
        }
    }
    None
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip(text: &[u8], while_true: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !while_true(*b)).unwrap_or(text.len());
    text.split_at(end)
}

fn command(text: &[u8], value_length: usize) -> Token {
    let (_, rest) = skip(text, is_space);
    let (name, mut rest) = skip(rest, |b| !is_space(b));
    let name = name.to_ascii_lowercase();
    let shown = String::from_utf8_lossy(&name).into_owned();
    let mut params: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        rest = skip(rest, is_space).1;
        if rest.is_empty() {
            return Token::Command(Command::new(&name, params));
        }
        let (key, after) = skip(rest, |b| !is_space(b) && b != b'=');
        let after = skip(after, is_space).1;
        let Some(after) = after.strip_prefix(b"=") else {
            let key = String::from_utf8_lossy(key);
            return Token::Broken(format!("unexpected symbol after \"{key}\" parameter in \"{shown}\" SSI command"));
        };
        let after = skip(after, is_space).1;
        let (quote, body) = match after.split_first() {
            Some((quote @ (b'"' | b'\''), body)) => (*quote, body),
            _ => {
                let key = String::from_utf8_lossy(key);
                return Token::Broken(format!("unexpected symbol before value of \"{key}\" parameter in \"{shown}\" SSI command"));
            }
        };
        let Some((value, after)) = quoted(body, quote) else {
            return Token::Broken(format!("unexpected symbol in \"{shown}\" SSI command"));
        };
        if value.len() > value_length {
            let (start, key) = (String::from_utf8_lossy(value.get(..20).unwrap_or(&value)).into_owned(), String::from_utf8_lossy(key));
            return Token::Broken(format!("too long \"{start}...\" value of \"{key}\" parameter in \"{shown}\" SSI command"));
        }
        let key = key.to_ascii_lowercase();
        if params.iter().any(|(k, _)| *k == key) {
            let key = String::from_utf8_lossy(&key);
            return Token::Broken(format!("duplicate \"{key}\" parameter in \"{shown}\" SSI command"));
        }
        params.push((key, value));
        rest = after;
    }
}

/// The value up to its quote, in which only an escaped quote of the same kind loses its backslash; and the rest.
fn quoted(text: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'\\' => {
                let (&next, after) = rest.split_first()?;
                if next != quote {
                    value.push(b'\\');
                }
                value.push(next);
                rest = after;
            }
            byte if byte == quote => return Some((value, rest)),
            byte => value.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str, step: usize) -> Vec<Token> {
        let mut parser = Parser::new(20);
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(step) {
            parser.feed(&Bytes::copy_from_slice(chunk), &mut out);
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
        let text = "a<!-- x --><!--# echo var=\"a --> b\"  default='it\\'s \\$'--> z <!--#";
        let params = vec![(b"var".to_vec(), b"a --> b".to_vec()), (b"default".to_vec(), b"it's \\$".to_vec())];
        let text_token = |text: &'static str| Token::Text(Bytes::from_static(text.as_bytes()));
        let want = vec![text_token("a<!-- x -->"), Token::Command(Command::new(b"echo", params)), text_token(" z <!--#")];
        for step in 1..20 {
            assert_eq!(whole(text, step), want, "{step}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in ["<!--#echo var -->", "<!--#echo var=x -->", "<!--#set a=\"1\" a=\"2\" -->", "<!--#set a=\"123456789012345678901\" -->"]
        {
            assert!(matches!(whole(text, 100).as_slice(), [Token::Broken(_)]), "{text}");
        }
    }
}
