//! Parses a command: its name and its parameters.

use super::CommandError;
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
pub(super) struct CommandSpec {
    pub(super) kind: Kind,
    name: &'static str,
    params: &'static [&'static str],
    /// So many of these, the first ones, must be there.
    mandatory: usize,
}

const fn known(kind: Kind, name: &'static str, params: &'static [&'static str], mandatory: usize) -> CommandSpec {
    CommandSpec { kind, name, params, mandatory }
}

static KNOWN: [CommandSpec; 10] = [
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
/// Most parameters that may be written.
const MAX_WRITTEN: usize = 16;

/// The name and what follows it, of what stands between a command's marks.
pub(super) fn split_name(text: &[u8]) -> (&[u8], &[u8]) {
    let (_, rest) = skip(text, is_space);
    skip(rest, |b| !is_space(b))
}

/// The command of this name.
pub(super) fn find(name: &[u8]) -> Option<&'static CommandSpec> {
    KNOWN.iter().find(|known| known.name.as_bytes() == name)
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
    spec: &'static CommandSpec,
    values: [Option<Value>; MAX_PARAMS],
}

impl Command {
    pub(super) fn kind(&self) -> Kind {
        self.spec.kind
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
    pub(super) spec: Option<&'static CommandSpec>,
    /// What was read.
    pub(super) read: Result<Command, CommandError>,
    /// Where the parameters begin.
    params: usize,
}

impl CachedCommand {
    /// Reads a command from its first mark to its last.
    pub(super) fn of(text: &[u8]) -> CachedCommand {
        let inner = inner(text);
        let (name, rest) = split_name(inner);
        let known = find(name);
        CachedCommand { spec: known, read: read(name, known, rest), params: OPEN.len() + inner.len() - rest.len() }
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

impl std::fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Params<'_> {
    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let at = self.command.spec.params.iter().position(|param| *param == name)?;
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

/// Reads a command that is written well, which [`split_name`] has split and [`find`] may have found.
///
/// # Errors
/// nginx's words for what is wrong.
pub(super) fn read(name: &[u8], known: Option<&'static CommandSpec>, text: &[u8]) -> Result<Command, CommandError> {
    let name = String::from_utf8_lossy(name);
    let known = known.ok_or_else(|| CommandError(format!("invalid SSI command: \"{name}\"")))?;
    let mut command = Command { spec: known, values: Default::default() };
    let mut wrong = None;
    let (mut rest, mut count) = (text, 0);
    while let Some((key, value, after)) = parameter(rest) {
        let end = text.len() - after.len() - 1;
        (rest, count) = (after, count + 1);
        let at = known.params.iter().position(|param| param.as_bytes() == key);
        let fault = match at.and_then(|at| command.values.get_mut(at)) {
            None => Some("invalid parameter name:"),
            Some(Some(_)) => Some("duplicate"),
            Some(slot) => {
                *slot = Some(match value {
                    Cow::Borrowed(value) => Value::At(end - value.len()..end),
                    Cow::Owned(value) => Value::Unescaped(value.into()),
                });
                None
            }
        };
        wrong = wrong.or(fault.map(|what| (what, key)));
    }
    if count > MAX_WRITTEN {
        return Err(CommandError(format!("too many SSI command parameters: \"{name}\"")));
    }
    match wrong.map(|(what, key)| (what, String::from_utf8_lossy(key))) {
        Some((what @ "duplicate", key)) => return Err(CommandError(format!("{what} \"{key}\" parameter in \"{name}\" SSI command"))),
        Some((what, key)) => return Err(CommandError(format!("{what} \"{key}\" in \"{name}\" SSI command"))),
        None => {}
    }
    let needed = known.params.iter().zip(&command.values).take(known.mandatory);
    if let Some((param, _)) = needed.into_iter().find(|(_, value)| value.is_none()) {
        return Err(CommandError(format!("mandatory \"{param}\" parameter is absent in \"{name}\" SSI command")));
    }
    Ok(command)
}

/// A parameter's name and value, and what follows it.
fn parameter(text: &[u8]) -> Option<(&[u8], Cow<'_, [u8]>, &[u8])> {
    let (key, after) = skip(skip(text, is_space).1, |b| !is_space(b) && b != b'=');
    let after = skip(after, is_space).1.strip_prefix(b"=")?;
    let (&quote, body) = skip(after, is_space).1.split_first()?;
    let end = end_of_quoted(body, quote)?;
    Some((key, unescape(body.get(..end)?, quote), body.get(end + 1..)?))
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
        read(name, find(name), rest).map_err(|CommandError(why)| why)
    }

    #[test]
    fn commands_are_read() {
        let text = "<!--# echo var=\"a --> b\"  default = 'it\\'s \\$' -->".as_bytes();
        let cached = CachedCommand::of(text);
        let command = cached.read.as_ref().unwrap();
        let params = command.params(cached.written(text));
        assert_eq!(command.kind(), Kind::Echo);
        assert_eq!((params.need("var"), params.get("default")), (&b"a --> b"[..], Some(&b"it's \\$"[..])));
        assert_eq!((params.get("encoding"), params.get("nothing")), (None, None));
        assert_eq!(parse("endif").unwrap().kind(), Kind::Endif);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let many = "set".to_owned() + &" var='1'".repeat(17);
        for (text, why) in [
            ("set var=\"1\" var=\"2\"", "duplicate \"var\" parameter in \"set\" SSI command"),
            ("set var=\"1\"", "mandatory \"value\" parameter is absent in \"set\" SSI command"),
            ("echo name=\"1\"", "invalid parameter name: \"name\" in \"echo\" SSI command"),
            ("echo VAR=\"1\"", "invalid parameter name: \"VAR\" in \"echo\" SSI command"),
            ("ECHO var=\"1\"", "invalid SSI command: \"ECHO\""),
            ("exec cmd=\"ls\"", "invalid SSI command: \"exec\""),
            (&many, "too many SSI command parameters: \"set\""),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(why), "{text}");
        }
    }
}
