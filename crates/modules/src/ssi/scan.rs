//! Finds the end of a command byte by byte, and what is wrong with how it is written (`ngx_http_ssi_parse`).
//!
//! Quotes hide the end only where a value is expected: behind the first mistake the next `-->` ends the command.

use super::CommandError;
use std::ops::Range;

/// The longest name of a command or parameter.
const LONGEST_NAME: usize = 32;
/// The longest command, which may be read in several parts.
const LONGEST: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    BeforeName,
    Name,
    BeforeKey,
    Key,
    BeforeEqual,
    BeforeValue,
    Value(u8),
    /// Behind a backslash.
    Escaped(u8),
    AfterValue,
    /// Behind one or two dashes.
    End(u8),
    /// Something is wrong; behind so many dashes.
    Lost(u8),
}

/// How far a command was read.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    /// Bytes that were read.
    at: usize,
    name: Range<usize>,
    key: Range<usize>,
    value: Range<usize>,
    longest_value: usize,
    /// What is wrong with it.
    pub(super) fault: Option<CommandError>,
}

impl Scanner {
    /// No value may be longer than `longest_value`.
    pub(super) fn new(longest_value: usize) -> Scanner {
        let nothing = || 0..0;
        Scanner { state: State::BeforeName, at: 0, name: nothing(), key: nothing(), value: nothing(), longest_value, fault: None }
    }

    /// Reads what is new of the text behind a command's first mark. Answers where the command ends, once it does.
    pub(super) fn go_on(&mut self, text: &[u8]) -> Option<usize> {
        while let Some(&byte) = text.get(self.at) {
            if self.ends(text, byte) {
                return Some(self.at + 1);
            }
            self.at += 1;
        }
        if self.at > LONGEST && self.fault.is_none() {
            self.fail("the SSI command is too long".to_owned(), b' ');
        }
        None
    }

    /// What was read is not needed any more: the next text begins with what is new. False: it is needed.
    pub(super) fn discard_read(&mut self) -> bool {
        if self.fault.is_some() {
            self.at = 0;
        }
        self.fault.is_some()
    }

    fn fail(&mut self, why: String, byte: u8) {
        self.fault = Some(CommandError(why));
        // A dash where a parameter should go on may be the first of the end.
        let may_end = matches!(self.state, State::Key | State::BeforeEqual | State::BeforeValue);
        self.state = State::Lost(u8::from(may_end && byte == b'-'));
    }

    /// Takes one byte; whether the command ends with it.
    // tidy: table
    fn ends(&mut self, text: &[u8], byte: u8) -> bool {
        let at = self.at;
        let of = |range: &Range<usize>| String::from_utf8_lossy(text.get(range.clone()).unwrap_or_default());
        let symbol = char::from(byte);
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let why = match self.state {
            State::BeforeName | State::BeforeKey | State::BeforeEqual | State::BeforeValue if is_space => return false,
            State::BeforeName => {
                self.name = at..at + 1;
                self.state = State::Name;
                return false;
            }
            State::Name | State::AfterValue if is_space => {
                self.state = State::BeforeKey;
                return false;
            }
            State::Name | State::BeforeKey | State::AfterValue if byte == b'-' => {
                self.state = State::End(1);
                return false;
            }
            State::Name if self.name.len() == LONGEST_NAME => format!("the \"{}{symbol}...\" SSI command is too long", of(&self.name)),
            State::Name => {
                self.name.end = at + 1;
                return false;
            }
            State::BeforeKey => {
                self.key = at..at + 1;
                self.state = State::Key;
                return false;
            }
            State::Key if is_space => {
                self.state = State::BeforeEqual;
                return false;
            }
            State::Key | State::BeforeEqual if byte == b'=' => {
                self.state = State::BeforeValue;
                return false;
            }
            State::Key if byte != b'-' && self.key.len() == LONGEST_NAME => {
                format!("too long \"{}{symbol}...\" parameter in \"{}\" SSI command", of(&self.key), of(&self.name))
            }
            State::Key if byte != b'-' => {
                self.key.end = at + 1;
                return false;
            }
            State::Key | State::BeforeEqual => {
                format!("unexpected \"{symbol}\" symbol after \"{}\" parameter in \"{}\" SSI command", of(&self.key), of(&self.name))
            }
            State::BeforeValue if matches!(byte, b'"' | b'\'') => {
                self.value = at + 1..at + 1;
                self.state = State::Value(byte);
                return false;
            }
            State::BeforeValue => {
                let (key, name) = (of(&self.key), of(&self.name));
                format!("unexpected \"{symbol}\" symbol before value of \"{key}\" parameter in \"{name}\" SSI command")
            }
            State::Value(quote) if byte == quote => {
                self.state = State::AfterValue;
                return false;
            }
            State::Value(_) | State::Escaped(_) if self.value.len() == self.longest_value => {
                let (value, key, name) = (of(&self.value), of(&self.key), of(&self.name));
                format!("too long \"{value}{symbol}...\" value of \"{key}\" parameter in \"{name}\" SSI command")
            }
            State::Value(quote) | State::Escaped(quote) => {
                let escapes = byte == b'\\' && matches!(self.state, State::Value(_));
                self.state = if escapes { State::Escaped(quote) } else { State::Value(quote) };
                self.value.end = at + 1;
                return false;
            }
            State::AfterValue => {
                let (value, key, name) = (of(&self.value), of(&self.key), of(&self.name));
                format!("unexpected \"{symbol}\" symbol after \"{value}\" value of \"{key}\" parameter in \"{name}\" SSI command")
            }
            State::End(1) if byte == b'-' => {
                self.state = State::End(2);
                return false;
            }
            State::End(2) if byte == b'>' => return true,
            State::End(_) => format!("unexpected \"{symbol}\" symbol in \"{}\" SSI command", of(&self.name)),
            State::Lost(dashes) => {
                self.state = State::Lost(if byte == b'-' && dashes < 2 { dashes + 1 } else { 0 });
                return dashes == 2 && byte == b'>';
            }
        };
        self.fail(why, byte);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text is, read in steps: where the command ends, and what is wrong.
    fn scan(text: &str, step: usize) -> (Option<usize>, Option<String>) {
        let mut scanner = Scanner::new(20);
        let ends = (step..text.len() + step).step_by(step);
        let end = ends.map(|end| scanner.go_on(&text.as_bytes()[..end.min(text.len())])).find_map(|end| end);
        (end, scanner.fault.map(|CommandError(why)| why))
    }

    #[test]
    fn mistakes_and_ends_are_those_of_nginx() {
        let long = "c".repeat(33);
        let table = [
            ("echo var=\"a --> b\" default='it\\'s' -->", None, 0),
            ("echo-->", None, 0),
            (" -->b-->", Some("unexpected \">\" symbol in \"-\" SSI command"), 0),
            ("echo var=x \"-->", Some("unexpected \"x\" symbol before value of \"var\" parameter in \"echo\" SSI command"), 0),
            ("echo var=-->", Some("unexpected \"-\" symbol before value of \"var\" parameter in \"echo\" SSI command"), 0),
            ("echo var x -->", Some("unexpected \"x\" symbol after \"var\" parameter in \"echo\" SSI command"), 0),
            ("echo va-r=\"1\" -->", Some("unexpected \"-\" symbol after \"va\" parameter in \"echo\" SSI command"), 0),
            ("echo var -->", Some("unexpected \"-\" symbol after \"var\" parameter in \"echo\" SSI command"), 0),
            ("echo var=\"a\"x-->", Some("unexpected \"x\" symbol after \"a\" value of \"var\" parameter in \"echo\" SSI command"), 0),
            ("echo var=\"a\" - -->b-->", Some("unexpected \" \" symbol in \"echo\" SSI command"), 4),
            ("echo var=\"uri\"--->b-->", Some("unexpected \"-\" symbol in \"echo\" SSI command"), 0),
            ("ec-ho -->", Some("unexpected \"h\" symbol in \"ec\" SSI command"), 0),
            (
                "set v=\"123456789012345678901\" -->",
                Some("too long \"123456789012345678901...\" value of \"v\" parameter in \"set\" SSI command"),
                0,
            ),
            ("echo =x -->", Some("unexpected \"-\" symbol after \"=x\" parameter in \"echo\" SSI command"), 0),
            (&format!("{long} -->"), Some(&*format!("the \"{long}...\" SSI command is too long")), 0),
            (&format!("echo {long}=\"1\" -->"), Some(&*format!("too long \"{long}...\" parameter in \"echo\" SSI command")), 0),
        ];
        for (text, why, left) in table {
            for step in [1, 7, 100] {
                assert_eq!(scan(text, step), (Some(text.len() - left), why.map(str::to_owned)), "{text} {step}");
            }
        }
        assert_eq!(scan("echo var=\"-->", 3), (None, None));
    }

    #[test]
    fn what_has_no_end_is_not_kept() {
        let mut scanner = Scanner::new(20);
        assert!(scanner.go_on(b"echo ").is_none() && !scanner.discard_read());
        assert!(scanner.go_on(b"echo x x").is_none() && scanner.discard_read());
        assert_eq!((scanner.go_on(b" -->"), scanner.fault.is_some()), (Some(4), true));
        let mut scanner = Scanner::new(20);
        assert!(scanner.go_on(&vec![b' '; LONGEST + 1]).is_none() && scanner.discard_read());
        assert_eq!(scanner.go_on(b"\"-->"), Some(4));
    }
}
