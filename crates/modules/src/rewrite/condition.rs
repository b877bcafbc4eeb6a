//! The condition of `if`: a variable, a comparison, an expression, or a test of a file.

use super::push_value;
use crate::compile::{complex, complex_of};
use crate::files::cache::check_links;
use crate::files::open::Failure;
use base::errno;
use base::log::Level;
use conf::row::Cx;
use conf::tree::Error;
use http::program::State;
use http::root::os_path;
use http::{Complex, Outcome, Regex, Request, Variables, log_request};
use session::variable::{self, VarIndex};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

/// A compiled condition; `Err` ends the program with an outcome.
pub(super) type Test = Box<dyn Fn(&Rc<Request>, &mut State) -> Result<bool, Outcome>>;

/// Compiles the condition of the directive, parentheses included.
pub(super) fn compile(cx: &Cx<'_>) -> Result<Test, Error> {
    let words = words(cx)?;
    let invalid = |i: usize| cx.error_at(i, format!("invalid condition \"{}\"", String::from_utf8_lossy(&word(&words, i))));
    let (first, at) = words.first().cloned().ok_or_else(|| invalid(0))?;
    if first.len() > 1 && first.starts_with(b"$") {
        let name = String::from_utf8_lossy(first.get(1..).unwrap_or_default()).into_owned();
        let index = cx.global::<Variables>().index(&name);
        return match &*words {
            [_] => Ok(Box::new(move |request, _| {
                let value = read(request, index);
                Ok(!value.is_empty() && value != b"0")
            })),
            [_, (operator, place), (operand, last)] => comparison(cx, index, operator, *place, operand, *last),
            _ => Err(cx.error_at(at, format!("invalid condition \"{}\"", String::from_utf8_lossy(&first)))),
        };
    }
    match (&*first, &*words) {
        ([b'-' | b'!', ..], [_, (path, last)]) if is_file_test(&first) => file_test(cx, &first, path, *last),
        _ => Err(cx.error_at(at, format!("invalid condition \"{}\"", String::from_utf8_lossy(&first)))),
    }
}

fn word(words: &[(Vec<u8>, usize)], i: usize) -> Vec<u8> {
    words.get(i).map(|(word, _)| word.clone()).unwrap_or_default()
}

/// The arguments without the parentheses around them, each with its place in the directive.
fn words(cx: &Cx<'_>) -> Result<Vec<(Vec<u8>, usize)>, Error> {
    let invalid = |i: usize| cx.error_at(i, format!("invalid condition \"{}\"", cx.text(i)));
    let mut words: Vec<(Vec<u8>, usize)> = cx.args().iter().enumerate().map(|(i, word)| (word.bytes.clone(), i)).collect();
    let Some((first, _)) = words.first_mut() else { return Err(invalid(0)) };
    if first.first() != Some(&b'(') {
        return Err(invalid(0));
    }
    first.remove(0);
    if first.is_empty() {
        words.remove(0);
    }
    match words.last_mut() {
        Some((last, _)) if last.last() == Some(&b')') => {
            last.pop();
            if last.is_empty() {
                words.pop();
            }
            Ok(words)
        }
        _ => Err(invalid(cx.args().len().saturating_sub(1))),
    }
}

fn read(request: &Request, index: VarIndex) -> Vec<u8> {
    let mut out = Vec::new();
    variable::get_flushed(request, index, &mut out);
    out
}

fn comparison(cx: &Cx<'_>, index: VarIndex, operator: &[u8], place: usize, operand: &[u8], last: usize) -> Result<Test, Error> {
    let negative = operator.starts_with(b"!");
    match operator {
        b"=" | b"!=" => {
            let value = complex_of(cx, last, operand)?;
            Ok(Box::new(move |request, state| {
                let left = read(request, index);
                if let Some(text) = value.literal() {
                    return Ok((left == text) != negative);
                }
                let mut right = Vec::new();
                push_value(&value, request, state.quote, &mut right);
                Ok((left == right) != negative)
            }))
        }
        b"~" | b"~*" | b"!~" | b"!~*" => {
            let caseless = operator.ends_with(b"*");
            let regex = Regex::new(operand, caseless, &mut cx.global::<Variables>()).map_err(|message| cx.error_at(last, message))?;
            let name = operand.to_vec();
            Ok(Box::new(move |request, state| Ok(matches(request, &regex, &name, &read(request, index), state.log) != negative)))
        }
        _ => Err(cx.error_at(place, format!("unexpected \"{}\" in condition", String::from_utf8_lossy(operator)))),
    }
}

/// Matches, keeping or clearing the captures, with `rewrite_log`'s line.
pub(super) fn matches(request: &Request, regex: &Regex, name: &[u8], subject: &[u8], log: bool) -> bool {
    use session::Session;
    let matched = regex.exec(request, subject);
    if log {
        let verb = if matched { "matches" } else { "does not match" };
        let (name, subject) = (String::from_utf8_lossy(name), String::from_utf8_lossy(subject));
        log_request!(request, Level::Notice, "\"{name}\" {verb} \"{subject}\"");
    }
    if !matched {
        request.cache().captures_mut().clear();
    }
    matched
}

fn is_file_test(operator: &[u8]) -> bool {
    let letter = operator.strip_prefix(b"!").unwrap_or(operator);
    matches!(letter, [b'-', b'f' | b'd' | b'e' | b'x'])
}

fn file_test(cx: &Cx<'_>, operator: &[u8], path: &[u8], last: usize) -> Result<Test, Error> {
    let path: Complex = if path == cx.arg(last) { complex(cx, last)? } else { complex_of(cx, last, path)? };
    let negative = operator.starts_with(b"!");
    let letter = operator.last().copied().unwrap_or_default();
    Ok(Box::new(move |request, state| {
        let mut name = Vec::new();
        push_value(&path, request, state.quote, &mut name);
        let failed = |failure: Failure| (failure.call, io::Error::from_raw_os_error(failure.errno));
        let found = check_links(request, &name).map_err(failed).and_then(|()| std::fs::metadata(os_path(&name)).map_err(|e| ("stat()", e)));
        let holds = match found {
            Ok(found) => is_kind(&found, letter),
            Err((call, error)) => {
                report(request, call, &name, &error);
                false
            }
        };
        Ok(holds != negative)
    }))
}

fn is_kind(found: &Metadata, letter: u8) -> bool {
    match letter {
        b'f' => found.is_file(),
        b'd' => found.is_dir(),
        b'e' => found.is_file() || found.is_dir(),
        _ => found.permissions().mode() & 0o100 != 0,
    }
}

/// A file that is not there is an answer; anything else is worth a line.
fn report(request: &Request, call: &str, name: &[u8], error: &io::Error) {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    if !matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput) {
        let name = String::from_utf8_lossy(name);
        log_request!(request, Level::Crit, "{call} \"{name}\" failed {}", errno::describe(error));
    }
}
