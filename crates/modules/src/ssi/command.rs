//! Parses a command: its name and its parameters.

use super::Fault;
use super::marks::{OPEN, end_of_quoted, inner};
use std::borrow::Cow;
use std::ops::Range;

/// What a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Include,
    Echo,
    Config,
    Set,
    If,
    Elif,
    Else,
    Endif,
    Block,
    Endblock,
}

/// A command that there is.
#[derive(PartialEq, Eq)]
pub(super) struct Known {
    pub(super) kind: Kind,
    name: &'static str,
    params: &'static [&'static str],
    /// So many of these, the first ones, must be there.
    mandatory: usize,
}

const fn known(kind: Kind, name: &'static str, params: &'static [&'static str], mandatory: usize) -> Known {
    Known { kind, name, params, mandatory }
}

static KNOWN: [Known; 10] = [
    known(Kind::Include, "include", &["virtual", "file", "wait", "set", "stub"], 0),
    known(Kind::Echo, "echo", &["var", "default", "encoding"], 1),
    known(Kind::Config, "config", &["errmsg", "timefmt"], 0),
    known(Kind::Set, "set", &["var", "value"], 2),
    known(Kind::If, "if", &["expr"], 1),
    known(Kind::Elif, "elif", &["expr"], 1),
    known(Kind::Else, "else", &[], 0),
    known(Kind::Endif, "endif", &[], 0),
    known(Kind::Block, "block", &["name"], 1),
    known(Kind::Endblock, "endblock", &[], 0),
];

/// Most parameters of a command.
const MAX_PARAMS: usize = 5;

/// The name and what follows it, of what stands between a command's marks.
pub(super) fn split_name(text: &[u8]) -> (&[u8], &[u8]) {
    let (_, rest) = skip(text, is_space);
    skip(rest, |b| !is_space(b))
}

/// The command of this name.
pub(super) fn find(name: &[u8]) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name.as_bytes().eq_ignore_ascii_case(name))
}

/// A value of a parameter: where it stands, or what it is if it stands there with escapes.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    At(Range<usize>),
    Unescaped(Box<[u8]>),
}

/// A command that has been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    known: &'static Known,
    values: [Option<Value>; MAX_PARAMS],
}

impl Command {
    pub(super) fn kind(&self) -> Kind {
        self.known.kind
    }

    /// Its parameters; `text` is what it was read from.
    pub(super) fn params<'a>(&'a self, text: &'a [u8]) -> Params<'a> {
        Params { command: self, text }
    }
}

/// A command of a cached page, with its parsed form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CachedCommand {
    /// What it is, if there is such a command.
    pub(super) known: Option<&'static Known>,
    /// What was read.
    pub(super) read: Result<Command, Fault>,
    /// Where the parameters begin.
    params: usize,
}

impl CachedCommand {
    /// Reads a command from its first mark to its last.
    pub(super) fn of(text: &[u8], longest: usize) -> CachedCommand {
        let inner = inner(text);
        let (name, rest) = split_name(inner);
        let known = find(name);
        CachedCommand { known, read: read(name, known, rest, longest), params: OPEN.len() + inner.len() - rest.len() }
    }

    /// The part of its text that was read for parameters.
    pub(super) fn written<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.params..).unwrap_or_default()
    }
}

/// A command's parameters.
#[derive(Debug)]
pub(super) struct Params<'a> {
    command: &'a Command,
    text: &'a [u8],
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Params<'_> {
    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let at = self.command.known.params.iter().position(|param| *param == name)?;
        match self.command.values.get(at)?.as_ref()? {
            Value::At(place) => self.text.get(place.clone()),
            Value::Unescaped(value) => Some(value),
        }
    }

    /// The value of a parameter that must be there.
    pub(super) fn need(&self, name: &str) -> &[u8] {
        self.get(name).unwrap_or_default()
    }
}

/// Reads a command that [`split_name`] has split and [`find`] may have found. No value may be longer than `longest`.
///
/// # Errors
/// nginx's words for what is wrong.
pub(super) fn read(name: &[u8], known: Option<&'static Known>, text: &[u8], longest: usize) -> Result<Command, Fault> {
    let shown = || shown(name);
    let mut command = Command { known: known.unwrap_or(&KNOWN[0]), values: Default::default() };
    // How a command is written is judged before what it says.
    let mut wrong = known.is_none().then(|| Fault(format!("invalid SSI command: \"{}\"", shown())));
    let mut rest = text;
    loop {
        rest = skip(rest, is_space).1;
        if rest.is_empty() {
            break;
        }
        let (key, value, after) = parameter(rest, longest, &shown)?;
        let end = text.len() - after.len() - 1;
        rest = after;
        if wrong.is_some() {
            continue;
        }
        let at = command.known.params.iter().position(|param| param.as_bytes().eq_ignore_ascii_case(key));
        let key = || String::from_utf8_lossy(key).to_ascii_lowercase();
        wrong = match at.and_then(|at| command.values.get_mut(at)) {
            None => Some(Fault(format!("invalid parameter name: \"{}\" in \"{}\" SSI command", key(), shown()))),
            Some(Some(_)) => Some(Fault(format!("duplicate \"{}\" parameter in \"{}\" SSI command", key(), shown()))),
            Some(slot) => {
                *slot = Some(match value {
                    Cow::Borrowed(value) => Value::At(end - value.len()..end),
                    Cow::Owned(value) => Value::Unescaped(value.into()),
                });
                None
            }
        };
    }
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    let needed = command.known.params.iter().zip(&command.values).take(command.known.mandatory);
    if let Some((param, _)) = needed.into_iter().find(|(_, value)| value.is_none()) {
        return Err(Fault(format!("mandatory \"{param}\" parameter is absent in \"{}\" SSI command", shown())));
    }
    Ok(command)
}

/// A parameter's name and value, and what follows it.
fn parameter<'a>(text: &'a [u8], longest: usize, command: &dyn Fn() -> String) -> Result<(&'a [u8], Cow<'a, [u8]>, &'a [u8]), Fault> {
    let (key, after) = skip(text, |b| !is_space(b) && b != b'=');
    let shown = String::from_utf8_lossy;
    let Some(after) = skip(after, is_space).1.strip_prefix(b"=") else {
        return Err(Fault(format!("unexpected symbol after \"{}\" parameter in \"{}\" SSI command", shown(key), command())));
    };
    let (quote, body) = match skip(after, is_space).1.split_first() {
        Some((quote @ (b'"' | b'\''), body)) => (*quote, body),
        _ => {
            let (key, command) = (shown(key), command());
            return Err(Fault(format!("unexpected symbol before value of \"{key}\" parameter in \"{command}\" SSI command")));
        }
    };
    let end = end_of_quoted(body, quote).ok_or_else(|| Fault(format!("unexpected symbol in \"{}\" SSI command", command())))?;
    let value = unescape(body.get(..end).unwrap_or_default(), quote);
    if value.len() > longest {
        let (start, key, command) = (shown(value.get(..20).unwrap_or(&value)), shown(key), command());
        return Err(Fault(format!("too long \"{start}...\" value of \"{key}\" parameter in \"{command}\" SSI command")));
    }
    Ok((key, value, body.get(end + 1..).unwrap_or_default()))
}

/// Only an escaped quote of the same kind loses its backslash.
fn unescape(text: &[u8], quote: u8) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', text).is_none() {
        return text.into();
    }
    let mut value = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, bytes.as_slice().first()) {
            (b'\\', Some(&next)) => {
                bytes.next();
                if next != quote {
                    value.push(byte);
                }
                value.push(next);
            }
            _ => value.push(byte),
        }
    }
    value.into()
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip(text: &[u8], while_true: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !while_true(*b)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command, String> {
        let (name, rest) = split_name(text.as_bytes());
        read(name, find(name), rest, 20).map_err(|Fault(why)| why)
    }

    #[test]
    fn commands_are_read() {
        let text = "<!--# ECHO var=\"a --> b\"  Default = 'it\\'s \\$' -->".as_bytes();
        let kept = CachedCommand::of(text, 20);
        let command = kept.read.as_ref().unwrap();
        let params = command.params(kept.written(text));
        assert_eq!(command.kind(), Kind::Echo);
        assert_eq!((params.need("var"), params.get("default")), (&b"a --> b"[..], Some(&b"it's \\$"[..])));
        assert_eq!((params.get("encoding"), params.get("nothing")), (None, None));
        assert_eq!(parse("endif").unwrap().kind(), Kind::Endif);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("echo var ", "unexpected symbol after \"var\" parameter in \"echo\" SSI command"),
            ("echo var=x", "unexpected symbol before value of \"var\" parameter in \"echo\" SSI command"),
            ("echo var=", "unexpected symbol before value of \"var\" parameter in \"echo\" SSI command"),
            ("echo var=\"a", "unexpected symbol in \"echo\" SSI command"),
            ("set var=\"1\" VAR=\"2\"", "duplicate \"var\" parameter in \"set\" SSI command"),
            ("set var=\"1\"", "mandatory \"value\" parameter is absent in \"set\" SSI command"),
            ("echo name=\"1\"", "invalid parameter name: \"name\" in \"echo\" SSI command"),
            ("exec cmd=\"ls\"", "invalid SSI command: \"exec\""),
            ("exec cmd=ls", "unexpected symbol before value of \"cmd\" parameter in \"exec\" SSI command"),
            ("", "invalid SSI command: \"\""),
            ("set var=\"123456789012345678901\"", "too long \"12345678901234567890...\" value of \"var\" parameter in \"set\" SSI command"),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(why), "{text}");
        }
    }
}
