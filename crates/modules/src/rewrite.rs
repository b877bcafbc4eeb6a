//! `set`, `if`, `rewrite`, `return`, `break` (nginx manual, `ngx_http_rewrite_module`).
//!
//! Each directive appends operations to its location's [`Program`]; an `if` block's operations follow its condition
//! in the same program, so that the run is one loop.

mod condition;
mod replace;

use crate::compile::complex;
use crate::set::Assignment;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::assigned::{self, UnassignedWarning};
use http::content_type;
use http::program::{Flow, Program, State};
use http::{Attach, Complex, Levels, Module, Outcome, Phase, Request, Step};
use session::complex::Piece;
use session::variable;
use std::rc::Rc;
use wire::uri::escape::{Class, escape};

/// `set`, `if`, `rewrite`, `return`, `break`.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("rewrite") };

/// `rewrite_log`.
#[derive(Default)]
struct Options {
    log: Option<bool>,
}

impl Config for Options {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; log);
    }
}

const HERE: Context = Context::SERVER.union(Context::LOCATION).union(Context::SERVER_IF).union(Context::LOCATION_IF);

fn rows() -> Vec<Row> {
    vec![
        Row::new("set", HERE, Arity::exactly(2), "Assigns a value to a variable.", set),
        Row::new("rewrite", HERE, Arity::Between(2, 3), "Changes the URI of requests that match an expression.", replace::row),
        Row::new("return", HERE, Arity::Between(1, 2), "Ends processing and sends a response.", return_row),
        Row::new("break", HERE, Arity::exactly(0), "Ends the current set of rewrite directives.", break_row),
        Row::new("if", Context::SERVER | Context::LOCATION, Arity::AtLeast(1), "Directives under a condition.", if_row).with_block(),
        row::flag("rewrite_log", Context::HTTP_EVERYWHERE, "Logs what rewrites do, at notice.", |o: &mut Options| &mut o.log),
        row::flag(
            "uninitialized_variable_warn",
            Context::HTTP_EVERYWHERE,
            "Warns of variables that were never set.",
            |warning: &mut UnassignedWarning| &mut warning.on,
        ),
    ]
}

fn levels(levels: &mut Levels) {
    levels.location::<Program>().location::<Options>().location::<UnassignedWarning>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let program = place.conf::<Program>();
    if program.is_empty() {
        return Ok(());
    }
    let log = place.conf::<Options>().log.unwrap_or(false);
    let phase = if place.is_server { Phase::ServerRewrite } else { Phase::Rewrite };
    place.phase(phase, move |request| program.run(request, log));
    Ok(())
}

/// Appends the value of a program's operand; captures are escaped as arguments if `quote` says so and the URI was escaped.
fn push_value(value: &Complex, request: &Request, quote: bool, out: &mut Vec<u8>) {
    let escaped = quote && value.uses_captures() && {
        let line = request.line.borrow();
        line.quoted || line.plus
    };
    if !escaped {
        return value.eval(request, out);
    }
    value.for_each(|piece| match piece {
        Piece::Literal(text) => out.extend_from_slice(text),
        Piece::Variable(index) => {
            variable::get_flushed(request, index, out);
        }
        Piece::Capture(n) => {
            use session::Session;
            if let Some(text) = request.cache().captures().get(n) {
                escape(text, Class::Args, out);
            }
        }
    });
}

fn set(cx: &mut Cx<'_>) -> Result<(), Error> {
    let Assignment { index, value } = Assignment::read(cx, assigned::unassigned)?;
    cx.location::<Program>().push(move |request, state| {
        let mut out = Vec::new();
        push_value(&value, request, state.quote, &mut out);
        variable::assign(&**request, index, &out);
        Flow::Next
    });
    Ok(())
}

fn break_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    cx.location::<Program>().push(|request, _| {
        if request.progress.uri_changed.replace(false) {
            request.line.borrow_mut().location_is_valid = false;
        }
        Flow::End(Outcome::Declined)
    });
    Ok(())
}

fn return_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let first = cx.arg(0);
    let invalid = || cx.error_at(0, format!("invalid return code \"{}\"", cx.text(0)));
    let (status, text) = match base::text::parse_number(first) {
        Some(code) => {
            let status = u16::try_from(code).ok().filter(|code| *code <= 999).ok_or_else(invalid)?;
            (status, if cx.args().len() == 2 { Some(complex(cx, 1)?) } else { None })
        }
        None if cx.args().len() == 1 && replace::is_url(first) => (302, Some(complex(cx, 0)?)),
        None => return Err(invalid()),
    };
    let has_text = text.as_ref().is_some_and(|text| text.literal() != Some(b""));
    let text = text.unwrap_or_else(|| Complex::from_literal(b""));
    cx.location::<Program>().push(move |request, _| {
        if status >= 400 && !has_text {
            return Flow::End(Outcome::Status(status));
        }
        match send(request, status, &text) {
            Step::Now(outcome) => Flow::End(outcome),
            // `Declined` would run on; what was sent ends the program whatever the filters said.
            Step::Wait(future) => Flow::Wait(Box::pin(async move {
                match future.await {
                    Outcome::Declined => Outcome::Ok,
                    other => other,
                }
            })),
        }
    });
    Ok(())
}

/// Answers with a status and a text, which is the target if the status redirects (`ngx_http_send_response`).
pub(crate) fn send(request: &Rc<Request>, status: u16, text: &Complex) -> Step {
    // The text may mention `$status`.
    request.response.borrow_mut().set_status(status);
    let body = text.to_vec(&**request);
    if matches!(status, 301 | 302 | 303 | 307 | 308) {
        request.response.borrow_mut().redirect_to(&body);
        return Step::Now(Outcome::Status(status));
    }
    request.response.borrow_mut().content_length = Some(body.len() as u64);
    content_type::set_by_extension(request);
    let request = request.clone();
    http::output::then(request.send_header(), move |outcome| match outcome {
        Outcome::Ok if request.flags.header_only.get() => Step::Now(Outcome::Ok),
        Outcome::Ok if body.is_empty() => request.output_end(),
        Outcome::Ok => request.output_whole(body),
        other => Step::Now(other),
    })
}

fn if_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let test = condition::compile(cx)?;
    let frame = cx.frame.enter_location();
    let in_location = cx.context.contains(Context::LOCATION);
    let context = if in_location { Context::LOCATION_IF } else { Context::SERVER_IF };
    let block = in_location.then(|| cx.location::<http::blocks::Blocks>().push(frame.clone()));
    cx.read_block(context, &frame)?;
    let inner = frame.location.take::<Program>();
    let length = inner.len();
    let mut program = cx.location::<Program>();
    program.push(move |request, state| match test(request, state) {
        Ok(true) => {
            if let Some(block) = block {
                enter(request, state, block);
            }
            Flow::Next
        }
        Ok(false) => Flow::Skip(length),
        Err(outcome) => Flow::End(outcome),
    });
    program.append(inner);
    Ok(())
}

/// Enters a nameless block of the location that the program belongs to. A content handler chosen outside stays unless the block has one.
fn enter(request: &Rc<Request>, state: &mut State, block: usize) {
    let owner = state.owner.get_or_insert_with(|| request.location());
    let Some(inner) = owner.blocks.get(block).cloned() else { return };
    if let Some(content) = &inner.content {
        request.content.replace(Some(content.clone()));
    }
    request.set_location(inner);
}

#[cfg(test)]
mod tests;
