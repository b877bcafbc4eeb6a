//! `set_*`: directives that assign a function of their argument (set-misc-nginx-module's README). They run where they
//! stand among `set`, `if` and `rewrite`.

mod base32;
mod functions;
mod hashed;
mod numbers;

use crate::compile::complex;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::assigned;
use http::program::{Flow, Program};
use http::set_function::CallError;
use http::set_function::{SetFunction, SetFunctions};
use http::{Levels, Module, Outcome, Request, Variables, log_request};
use session::variable::{self, VarIndex};

/// Assigning functions of values. Their operations belong to the rewrite module's program.
pub const MODULE: Module = Module { rows, levels, complete, ..Module::named("set_misc") };

/// Where a variable can be assigned; in `http` it is only made known.
pub(crate) const HERE: Context = Context::HTTP_EVERYWHERE.difference(Context::LIMIT_EXCEPT);

fn levels(levels: &mut Levels) {
    levels.main::<SetFunctions>().main::<hashed::UpstreamLists>().location::<base32::Options>().location::<numbers::Rotation>();
}

fn complete(frame: &Frame) -> Result<(), Error> {
    frame.main.get::<SetFunctions>().add(functions::ALL);
    Ok(())
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = functions::ALL.iter().map(row).collect();
    rows.extend(base32::rows(HERE));
    rows.extend(hashed::rows(HERE));
    rows.extend([
        Row::new("set_if_empty", HERE, Arity::exactly(2), "Assigns a value to a variable that has none.", if_empty),
        Row::new("set_hmac_sha1", HERE, Arity::exactly(3), "Assigns a keyed digest, binary.", |cx| hmac(cx, functions::hmac_sha1)),
        Row::new("set_hmac_sha256", HERE, Arity::exactly(3), "Assigns a keyed digest, binary.", |cx| hmac(cx, functions::hmac_sha256)),
        Row::new("set_random", HERE, Arity::exactly(3), "Assigns a random number of a range.", numbers::random),
        Row::new("set_rotate", HERE, Arity::exactly(3), "Assigns the next number of a range.", numbers::rotate),
        Row::new("set_local_today", HERE, Arity::exactly(1), "Assigns the local date.", |cx| {
            let target = target(cx)?;
            cx.location::<Program>().push(move |request, _| {
                let mut out = Vec::new();
                functions::push_today(&mut out);
                variable::assign(&**request, target, &out);
                Flow::Next
            });
            Ok(())
        }),
    ]);
    rows
}

/// The variable named by the first argument, defined if necessary.
pub(crate) fn target(cx: &Cx<'_>) -> Result<VarIndex, Error> {
    target_of(cx, 0, cx.arg(0))
}

/// The variable that `text` of argument `i` names with its `$`, defined if necessary.
pub(crate) fn target_of(cx: &Cx<'_>, i: usize, text: &[u8]) -> Result<VarIndex, Error> {
    let Some(name) = text.strip_prefix(b"$").filter(|name| !name.is_empty()) else {
        return Err(cx.error_at(i, format!("invalid variable name \"{}\"", String::from_utf8_lossy(text))));
    };
    let name = String::from_utf8_lossy(name).into_owned();
    assigned::define(&mut cx.global::<Variables>(), &name).map_err(|message| cx.error_at(i, message))
}

/// The directive of a function: `set_x $target [value]`. Without a value the variable's own is taken.
pub(crate) fn row(function: &'static SetFunction) -> Row {
    Row::new(function.name, HERE, Arity::Between(1, 2), function.doc, move |cx| {
        let target = target(cx)?;
        let source = complex(cx, cx.args().len() - 1)?;
        cx.location::<Program>().push(move |request, _| {
            let mut out = Vec::new();
            if let Err(error) = apply(function, request, &source.to_vec(&**request), &mut out) {
                return fail(request, &error);
            }
            variable::assign(&**request, target, &out);
            Flow::Next
        });
        Ok(())
    })
}

/// The function's value by the values of the request's location.
pub(crate) fn apply(function: &SetFunction, request: &Request, text: &[u8], out: &mut Vec<u8>) -> Result<(), CallError> {
    request.with_location(|location| (function.call)(&location.conf, text, out))
}

/// Ends a request for which a function has no value.
pub(crate) fn fail(request: &Request, error: &CallError) -> Flow {
    log_request!(request, Level::Error, "{error}");
    Flow::End(Outcome::Status(500))
}

fn if_empty(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, value) = (target(cx)?, complex(cx, 1)?);
    cx.location::<Program>().push(move |request, _| {
        let mut out = Vec::new();
        if !variable::get(&**request, target, &mut out) || out.is_empty() {
            variable::assign(&**request, target, &value.to_vec(&**request));
        }
        Flow::Next
    });
    Ok(())
}

fn hmac(cx: &mut Cx<'_>, function: fn(&[u8], &[u8]) -> Vec<u8>) -> Result<(), Error> {
    let (target, key, text) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    cx.location::<Program>().push(move |request, _| {
        variable::assign(&**request, target, &function(&key.to_vec(&**request), &text.to_vec(&**request)));
        Flow::Next
    });
    Ok(())
}
