//! `body_filter_by_lua*`: Lua on each run of response data. `ngx.arg[1]` is the data, `ngx.arg[2]` whether it is the end.

use crate::code::Code;
use crate::directive;
use crate::phase::entry::Entry;
use crate::state::State;
use conf::context::Context;
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::location::Filtered;
use http::{Attach, Chain, Levels, Module, Outcome, Request};
use std::rc::Rc;

/// `body_filter_by_lua`, `body_filter_by_lua_file`, `body_filter_by_lua_block`.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("lua_body_filter") };

/// The code of a location.
#[derive(Default)]
pub struct Conf {
    /// The code; inner locations take it over.
    pub code: Option<Rc<Code>>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; code);
    }
}

fn rows() -> Vec<Row> {
    directive::rows("body_filter_by_lua", Context::HTTP_IF, "Runs Lua on the response body.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    })
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.conf::<Conf>().code.clone() {
        let entry = Entry::new(place, code, lua::Phase::BODY_FILTER);
        place.body_filter(move |request, chain| Filtered::Now(run(&entry, request, chain)));
    }
    Ok(())
}

fn run(entry: &Entry, request: &Rc<Request>, chain: Chain) -> Result<Chain, Outcome> {
    let state = request.context::<State>();
    if request.flags.header_only.get() {
        return Ok(chain);
    }
    if state.filter_ended.get() {
        return Ok(Chain { pieces: Vec::new(), ..chain });
    }
    let mut out = Chain::default();
    entry
        .run_now(
            request,
            |host| {
                host.body.replace(chain);
            },
            |_| 0,
            |_| (),
            |host| out = host.body.take(),
        )
        .map_err(|_| Outcome::Error)?;
    if out.last {
        state.filter_ended.set(true);
    }
    Ok(out)
}
