//! Command lines: validation before sending, and parsing of lines that were sent.

use crate::uri::escape::{Class, escape};
use std::fmt;

/// Longest key of the protocol, bytes.
pub const MAX_KEY: usize = 250;
/// What follows the data of a storage command.
pub const DATA_END: &[u8] = b"\r\n";

/// A command of memcached's text protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `get` of one key
    Get,
    /// `set`
    Set,
    /// `add`
    Add,
    /// `replace`
    Replace,
    /// `append`
    Append,
    /// `prepend`
    Prepend,
    /// `delete`
    Delete,
    /// `incr`
    Incr,
    /// `decr`
    Decr,
    /// `flush_all`
    FlushAll,
    /// `version`
    Version,
    /// `stats` without arguments
    Stats,
}

const COMMANDS: [(&str, Command); 12] = [
    ("get", Command::Get),
    ("set", Command::Set),
    ("add", Command::Add),
    ("replace", Command::Replace),
    ("append", Command::Append),
    ("prepend", Command::Prepend),
    ("delete", Command::Delete),
    ("incr", Command::Incr),
    ("decr", Command::Decr),
    ("flush_all", Command::FlushAll),
    ("version", Command::Version),
    ("stats", Command::Stats),
];

impl Command {
    /// The command of this name, in lower case as the protocol has it.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Command> {
        COMMANDS.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, command)| *command)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        COMMANDS.iter().find(|(_, command)| *command == self).map_or("", |(name, _)| *name)
    }

    /// Data follows the line.
    #[must_use]
    pub fn stores(self) -> bool {
        matches!(self, Command::Set | Command::Add | Command::Replace | Command::Append | Command::Prepend)
    }

    /// Done twice it leaves and answers what it does once (`delete`: as far as HTTP's is).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Command::Add | Command::Append | Command::Prepend | Command::Incr | Command::Decr)
    }

    /// The line names a key.
    #[must_use]
    pub fn has_key(self) -> bool {
        !matches!(self, Command::FlushAll | Command::Version | Command::Stats)
    }
}

/// Why a key cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It has no byte.
    Empty,
    /// It has more than [`MAX_KEY`] bytes.
    TooLong,
    /// It holds a space or a control byte, which would end it.
    Byte(u8),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Empty => f.write_str("empty key"),
            KeyError::TooLong => f.write_str("too long key"),
            KeyError::Byte(byte) => write!(f, "invalid byte {byte:#04x} in key"),
        }
    }
}

impl std::error::Error for KeyError {}

/// Checks a key as it would stand in a line.
///
/// # Errors
/// The server would refuse the key, or see another command.
pub fn check_key(key: &[u8]) -> Result<(), KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    if key.len() > MAX_KEY {
        return Err(KeyError::TooLong);
    }
    key.iter().find(|byte| **byte <= b' ').map_or(Ok(()), |byte| Err(KeyError::Byte(*byte)))
}

/// Appends a key, with spaces, control bytes and `%` percent-encoded.
///
/// # Errors
/// It is empty, or too long once it is encoded; nothing is appended.
pub fn push_key(key: &[u8], out: &mut Vec<u8>) -> Result<(), KeyError> {
    let start = out.len();
    escape(key, Class::Memcached, out);
    let checked = check_key(out.get(start..).unwrap_or_default());
    if checked.is_err() {
        out.truncate(start);
    }
    checked
}

/// Whether a text is an unsigned number of at most `digits` digits; an empty one is not.
#[must_use]
pub fn is_number(text: &[u8], digits: usize) -> bool {
    !text.is_empty() && text.len() <= digits && text.iter().all(u8::is_ascii_digit)
}

/// What a request line asked for.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The command.
    pub command: Command,
    /// The key as it stands in the line; empty for commands without one.
    pub key: &'a [u8],
}

impl<'a> RequestLine<'a> {
    /// Reads a line that was made for sending; `None` for anything else.
    #[must_use]
    pub fn of(line: &'a [u8]) -> Option<RequestLine<'a>> {
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\r'));
        let command = Command::of(words.next()?)?;
        let key = if command.has_key() { words.next()? } else { b"" };
        Some(RequestLine { command, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_end_their_line() {
        assert_eq!(check_key(b"a b"), Err(KeyError::Byte(b' ')));
        assert_eq!(check_key(b"a\r\nflush_all"), Err(KeyError::Byte(b'\r')));
        assert_eq!(check_key(b"a\0"), Err(KeyError::Byte(0)));
        assert_eq!(check_key(b""), Err(KeyError::Empty));
        assert_eq!(check_key(&[b'k'; 250]), Ok(()));
        assert_eq!(check_key(&[b'k'; 251]), Err(KeyError::TooLong));
        let mut out = b"get ".to_vec();
        assert_eq!(push_key(b"a b%\r\n\xff", &mut out), Ok(()));
        assert_eq!(out, b"get a%20b%25%0D%0A\xff");
        // Encoded it no longer fits.
        assert_eq!(push_key(&[b' '; 84], &mut out), Err(KeyError::TooLong));
        assert_eq!(out, b"get a%20b%25%0D%0A\xff");
    }

    #[test]
    fn a_line_tells_what_was_asked() {
        let asked = RequestLine::of(b"set a%20b 0 0 5\r\n").unwrap();
        assert_eq!((asked.command, asked.key), (Command::Set, &b"a%20b"[..]));
        assert_eq!(RequestLine::of(b"flush_all 5\r\n").unwrap().key, b"");
        assert!(RequestLine::of(b"quit\r\n").is_none() && RequestLine::of(b"").is_none());
        for (name, command) in COMMANDS {
            assert_eq!((Command::of(name.as_bytes()), command.name()), (Some(command), name));
        }
    }
}
