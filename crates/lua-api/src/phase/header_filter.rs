//! `header_filter_by_lua*`: Lua on the response head before it leaves.

use crate::dev_page;
use crate::exit;
use crate::host::Host;
use crate::options::Options;
use crate::phase::entry::{Entry, Run};
use crate::state::State;
use conf::context::Context;
use conf::row::Row;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome, Request, Step};
use lua::{LuaError, LuaPhase};
use lua_session::{PhaseCode, directive};
use std::rc::Rc;

/// `header_filter_by_lua`, `header_filter_by_lua_file`, `header_filter_by_lua_block`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("lua_header_filter") };

/// The code of a location.
pub type Conf = PhaseCode<Request, { LuaPhase::HEADER_FILTER.bit }>;

fn rows() -> Vec<Row> {
    directive::rows("header_filter_by_lua", Context::HTTP_IF, "Runs Lua on the response head.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    })
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.conf::<Conf>().code.clone() {
        let entry = Entry::new(place, code, LuaPhase::HEADER_FILTER);
        if place.conf::<Options>().dev_errors == Some(true) {
            place.body_filter_on_demand(dev_page::MARK, dev_page::body);
        }
        if entry.may_wait() {
            place.header_filter(move |request| run_waiting(&entry, request));
        } else {
            place.header_filter(move |request| run(&entry, request));
        }
    }
    Ok(())
}

/// Code that failed does not run again for the same answer: what comes then is the page about it, or nothing.
fn run(entry: &Entry, request: &Rc<Request>) -> Step {
    let state = State::of(request);
    if state.header_failed.get() {
        return Step::Now(dev_page::head(request, &state));
    }
    let before = state.filter_exit.get();
    match entry.run_now(request, state.clone(), |_| {}, |_| 0, |_| (), |_| {}) {
        Ok(()) => Step::Now(verdict(request, &state, before)),
        Err(error) => Step::Now(fail(request, &state, &error)),
    }
}

fn fail(request: &Request, state: &State, error: &LuaError) -> Outcome {
    state.header_failed.set(true);
    dev_page::replace(request, state, LuaPhase::HEADER_FILTER.name, error)
}

fn run_waiting(entry: &Rc<Entry>, request: &Rc<Request>) -> Step {
    let state = State::of(request);
    if state.header_failed.get() {
        return Step::Now(dev_page::head(request, &state));
    }
    let before = state.filter_exit.get();
    let after = move |request: &Rc<Request>, host: &Host, ended: Result<(), LuaError>| match ended {
        Ok(()) => verdict(request, &host.state, before),
        Err(error) => fail(request, &host.state, &error),
    };
    match entry.run_waiting(request, |_| {}, |_| 0, after) {
        Run::Now(outcome) => Step::Now(outcome),
        Run::Wait(future) => Step::Wait(future),
        Run::Refused(error) => Step::Now(fail(request, &state, &error)),
    }
}

/// What `ngx.exit` asked for; `before` is what it had asked for before this run.
fn verdict(request: &Request, state: &State, before: Option<i32>) -> Outcome {
    match state.filter_exit.get() {
        // The answer to an exit passes this filter too; the same exit again is the one that is being answered.
        code if code == before => Outcome::Ok,
        Some(code) if code == exit::ERROR => {
            state.header_failed.set(true);
            Outcome::Error
        }
        Some(code @ (201 | 204 | 300..=999)) => {
            request.flags.header_sent.set(false);
            u16::try_from(code).map_or(Outcome::Error, Outcome::Status)
        }
        _ => Outcome::Ok,
    }
}
