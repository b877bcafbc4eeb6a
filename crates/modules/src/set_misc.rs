//! `set_*`: directives that assign a function of their argument (set-misc-nginx-module's README). They run where they
//! stand among `set`, `if` and `rewrite`.

mod functions;

use crate::compile::complex;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use functions::Function;
use http::program::{Flow, Program};
use http::{Complex, Module, Variables};
use session::variable::{self, CHANGEABLE, VarIndex, WEAK};
use std::cell::Cell;

/// Assigning functions of values. Their operations belong to the rewrite module's program.
pub const MODULE: Module = Module { rows, ..Module::named("set_misc") };

const HERE: Context = Context::HTTP_EVERYWHERE.difference(Context::HTTP).difference(Context::LIMIT_EXCEPT);

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = functions::ALL
        .iter()
        .map(|(name, doc, function)| Row::new(*name, HERE, Arity::Between(1, 2), doc, move |cx| of_one(cx, *function)))
        .collect();
    rows.extend([
        Row::new("set_if_empty", HERE, Arity::exactly(2), "Assigns a value to a variable that has none.", if_empty),
        Row::new("set_hmac_sha1", HERE, Arity::exactly(3), "Assigns a keyed digest, binary.", hmac_sha1),
        Row::new("set_random", HERE, Arity::exactly(3), "Assigns a random number of a range.", random),
        Row::new("set_rotate", HERE, Arity::exactly(3), "Assigns the next number of a range.", rotate),
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

/// The variable that the first argument names, defined if nobody did.
fn target(cx: &Cx<'_>) -> Result<VarIndex, Error> {
    let Some(name) = cx.arg(0).strip_prefix(b"$").filter(|name| !name.is_empty()) else {
        return Err(cx.error_at(0, format!("invalid variable name \"{}\"", cx.text(0))));
    };
    let name = String::from_utf8_lossy(name).into_owned();
    let mut variables = cx.global::<Variables>();
    let index = variables.add(&name, None, CHANGEABLE | WEAK).map_err(|message| cx.error_at(0, message))?;
    variables.define_default(&name, http::variables::getter(|_, _| true));
    Ok(index)
}

/// `set_x $target [value]`: without a value the variable's own is taken.
fn of_one(cx: &mut Cx<'_>, function: Function) -> Result<(), Error> {
    let target = target(cx)?;
    let source = complex(cx, cx.args().len() - 1)?;
    cx.location::<Program>().push(move |request, _| {
        let mut out = Vec::new();
        function(&source.to_vec(&**request), &mut out);
        variable::assign(&**request, target, &out);
        Flow::Next
    });
    Ok(())
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

fn hmac_sha1(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, key, text) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    cx.location::<Program>().push(move |request, _| {
        let sum = functions::hmac_sha1(&key.to_vec(&**request), &text.to_vec(&**request));
        variable::assign(&**request, target, &sum);
        Flow::Next
    });
    Ok(())
}

/// Both ends of a range, in order; what is no number counts as 0.
fn range(request: &http::Request, from: &Complex, to: &Complex) -> (u64, u64) {
    let number = |value: &Complex| base::text::parse_number(&value.to_vec(request)).unwrap_or(0);
    let (from, to) = (number(from), number(to));
    (from.min(to), from.max(to))
}

fn random(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, from, to) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    cx.location::<Program>().push(move |request, _| {
        let (from, to) = range(request, &from, &to);
        // Without random bytes there is nothing better than the start of the range.
        let drawn = getrandom::u64().unwrap_or(0);
        let value = from + drawn % (to - from).saturating_add(1);
        variable::assign(&**request, target, value.to_string().as_bytes());
        Flow::Next
    });
    Ok(())
}

fn rotate(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, from, to) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    let last = Cell::new(None);
    cx.location::<Program>().push(move |request, _| {
        let (from, to) = range(request, &from, &to);
        let value = match last.get() {
            Some(last) if last >= from && last < to => last + 1,
            _ => from,
        };
        last.set(Some(value));
        variable::assign(&**request, target, value.to_string().as_bytes());
        Flow::Next
    });
    Ok(())
}
