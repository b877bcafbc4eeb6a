//! Setters that store one value into a field, for types without a ready-made setter in [`conf::row`].

use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::core::{Core, ServerCore};
use http::{Complex, Variables};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// `http` and `server`, where the server-level values stand.
pub(super) const SERVERS: Context = Context::HTTP.union(Context::SERVER);

/// Reads an argument into a value.
pub(super) type Read<T> = fn(&Cx<'_>, usize) -> Result<T, Error>;

/// A row with one argument that sets a server field.
pub(super) fn server<T: 'static>(
    name: &'static str,
    arity: Arity,
    doc: &'static str,
    read: Read<T>,
    field: fn(&mut ServerCore) -> &mut Option<T>,
) -> Row {
    Row::new(name, SERVERS, arity, doc, move |cx| {
        let value = read(cx, 0)?;
        cx.once(field(&mut cx.server::<ServerCore>()), value)
    })
}

/// A row with one argument of few words that sets a location field.
pub(super) fn choice<T: Clone + 'static>(
    name: &'static str,
    doc: &'static str,
    choices: &'static [(&'static str, T)],
    field: fn(&mut Core) -> &mut Option<T>,
) -> Row {
    Row::new(name, Context::HTTP_ALL, Arity::exactly(1), doc, move |cx| {
        let value = cx.choice(0, choices)?;
        cx.once(field(&mut cx.location::<Core>()), value)
    })
}

/// Compiles argument `i`.
pub(super) fn complex(cx: &Cx<'_>, i: usize) -> Result<Complex, Error> {
    compile(cx, i, cx.arg(i))
}

/// Compiles part of argument `i`.
pub(super) fn compile(cx: &Cx<'_>, i: usize, text: &[u8]) -> Result<Complex, Error> {
    Complex::compile(text, &mut cx.global::<Variables>()).map_err(|message| cx.error_at(i, message))
}

/// The names of directives that were given in a block, for those whose value is kept nowhere.
#[derive(Default)]
struct SeenDirectives {
    names: BTreeSet<Cow<'static, str>>,
}

/// Notes that the directive stands in this block.
///
/// # Errors
/// It stood there before.
pub(super) fn reject_duplicate(cx: &Cx<'_>) -> Result<(), Error> {
    let name = Cow::Owned(cx.name().into_owned());
    if cx.frame.location.get::<SeenDirectives>().names.insert(name) { Ok(()) } else { Err(cx.duplicate()) }
}
