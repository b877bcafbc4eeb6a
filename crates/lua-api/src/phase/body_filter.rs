//! `body_filter_by_lua*`: Lua on each run of response data. `ngx.arg[1]` is the data, `ngx.arg[2]` whether it is the end.

use crate::host::Host;
use crate::phase::entry::{Entry, Run};
use crate::state::State;
use base::saturated::Saturated;
use conf::context::Context;
use conf::row::Row;
use conf::tree::Error;
use http::location::Filtered;
use http::{Attach, Chain, Levels, Module, Outcome, Request, Step};
use lua::{LuaError, LuaPhase};
use lua_session::{PhaseCode, directive};
use std::rc::Rc;

/// `body_filter_by_lua`, `body_filter_by_lua_file`, `body_filter_by_lua_block`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("lua_body_filter") };

/// The code of a location.
pub type Conf = PhaseCode<Request, { LuaPhase::BODY_FILTER.bit }>;

fn rows() -> Vec<Row> {
    directive::rows("body_filter_by_lua", Context::HTTP_IF, "Runs Lua on the response body.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    })
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.conf::<Conf>().code.clone() {
        let entry = Entry::new(place, code, LuaPhase::BODY_FILTER);
        // It may read the body: a large file comes to it in pieces.
        place.header_filter(|request| {
            request.flags.reads_body.set(true);
            Step::Now(Outcome::Ok)
        });
        if entry.may_wait() {
            place.body_filter(move |request, chain| run_waiting(&entry, request, chain));
        } else {
            place.body_filter(move |request, chain| Filtered::Now(run(&entry, request, chain)));
        }
    }
    Ok(())
}

/// `ngx.ERROR`, which code may return to break off the response, as it may any status from 300 on.
const FAILED: i64 = -1;

/// What passes without the code: bodies that nobody gets, and what comes behind the end that the code declared.
fn pass_through(request: &Rc<Request>, state: &State, chain: Chain) -> Result<Chain, Chain> {
    if request.flags.header_only.get() {
        return Ok(chain);
    }
    if state.filter_ended.get() {
        // The end has left with what the code called the last.
        return Ok(Chain { flush: chain.flush, ..Chain::default() });
    }
    Err(chain)
}

fn run_waiting(entry: &Rc<Entry>, request: &Rc<Request>, chain: Chain) -> Filtered {
    let chain = match pass_through(request, &State::of(request), chain) {
        Ok(chain) => return Filtered::Now(Ok(chain)),
        Err(chain) => chain,
    };
    let before = |host: &Host| drop(host.arguments.body.replace(chain));
    let after = |_: &Rc<Request>, host: &Host, ended: Result<(), LuaError>| {
        let out = host.arguments.body.take();
        ended.map_err(|_| Outcome::Error)?;
        if out.last {
            host.state.filter_ended.set(true);
        }
        Ok(out)
    };
    match entry.run_waiting(request, before, |_| 0, after) {
        Run::Now(answer) => Filtered::Now(answer),
        Run::Wait(future) => Filtered::Wait(future),
        Run::Refused(_) => Filtered::Now(Err(Outcome::Error)),
    }
}

fn run(entry: &Entry, request: &Rc<Request>, chain: Chain) -> Result<Chain, Outcome> {
    let state = State::of(request);
    let chain = match pass_through(request, &state, chain) {
        Ok(chain) => return Ok(chain),
        Err(chain) => chain,
    };
    let mut out = Chain::default();
    let answer = entry
        .run_now(
            request,
            state.clone(),
            |host| {
                host.arguments.body.replace(chain);
            },
            |_| 0,
            |stack| i64::saturated(stack.number(1).unwrap_or(0.0)),
            |host| out = host.arguments.body.take(),
        )
        .map_err(|_| Outcome::Error)?;
    if answer == FAILED || answer >= 300 {
        return Err(Outcome::Error);
    }
    if out.last {
        state.filter_ended.set(true);
    }
    Ok(out)
}
