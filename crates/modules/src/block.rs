//! Blocks of data such as `map { }`: what their directives have in common.

use conf::row::Cx;
use conf::tree::{Directive, Error};
use session::variable::{Get, Session, Variables};

/// The name in argument `i`, a variable with its `$`.
///
/// # Errors
/// `invalid variable name "x"`.
pub(crate) fn variable_name(cx: &Cx<'_>, i: usize) -> Result<String, Error> {
    match cx.arg(i).strip_prefix(b"$") {
        Some(name) if !name.is_empty() => Ok(String::from_utf8_lossy(name).into_owned()),
        _ => Err(cx.error_at(i, format!("invalid variable name \"{}\"", cx.text(i)))),
    }
}

/// Defines the variable that a block computes.
///
/// # Errors
/// A built-in variable has that name.
pub(crate) fn define<S: Session>(cx: &Cx<'_>, name: &str, flags: u8, get: Get<S>) -> Result<(), Error> {
    let mut variables = cx.global::<Variables<S>>();
    variables.add(name, Some(get), flags).map(drop).map_err(|message| cx.error(message))
}

/// The words of a directive in a data block, its name included.
pub(crate) fn words(directive: &Directive) -> Vec<&[u8]> {
    std::iter::once(&directive.name).chain(&directive.args).map(|word| word.bytes.as_slice()).collect()
}

/// An error at a directive in a data block.
pub(crate) fn error(directive: &Directive, message: impl Into<String>) -> Error {
    Error::new(message.into(), directive.name.span)
}

/// The directives of the block.
///
/// # Errors
/// One of them has a block itself.
pub(crate) fn entries<'a>(cx: &Cx<'a>) -> Result<&'a [Directive], Error> {
    let entries: &[Directive] = cx.directive.body.as_ref().map_or(&[], |block| &block.directives);
    match entries.iter().find(|entry| entry.body.is_some()) {
        Some(entry) => Err(error(entry, "unexpected \"{\"")),
        None => Ok(entries),
    }
}
