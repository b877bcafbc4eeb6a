//! `rewrite_by_lua*`, `access_by_lua*`, `precontent_by_lua*`: Lua behind the other handlers of its phase, or before them.

use crate::code::Code;
use crate::exit;
use crate::phase::entry::{Finish, PhaseHandler};
use conf::context::Context;
use conf::row::{Row, flag};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Phase};
use lua::LuaPhase;
use lua_session::directive;
use std::rc::Rc;

/// `rewrite_by_lua`, `rewrite_by_lua_file`, `rewrite_by_lua_block`, `rewrite_by_lua_no_postpone`.
pub const REWRITE: Module = module::<Rewrite>("lua_rewrite");

/// `access_by_lua`, `access_by_lua_file`, `access_by_lua_block`, `access_by_lua_no_postpone`.
pub const ACCESS: Module = module::<Access>("lua_access");

/// `precontent_by_lua`, `precontent_by_lua_file`, `precontent_by_lua_block`, `precontent_by_lua_no_postpone`.
pub const PRECONTENT: Module = module::<Precontent>("lua_precontent");

/// A phase whose handlers may be code.
trait PhaseSlot: Default + 'static {
    /// The directive, and what it does.
    const CODE: (&'static str, &'static str);
    /// The directive that puts the code first.
    const NO_POSTPONE: (&'static str, &'static str);
    const RUNS_AS: LuaPhase;
    const PHASE: Phase;
    const FINISH: Finish;
}

#[derive(Default)]
struct Rewrite;

impl PhaseSlot for Rewrite {
    const CODE: (&'static str, &'static str) = ("rewrite_by_lua", "Runs Lua in the rewrite phase, after the rewrite directives.");
    const NO_POSTPONE: (&'static str, &'static str) =
        ("rewrite_by_lua_no_postpone", "Runs rewrite_by_lua before other handlers of its phase.");
    const RUNS_AS: LuaPhase = LuaPhase::REWRITE;
    const PHASE: Phase = Phase::Rewrite;
    const FINISH: Finish = exit::after_rewrite;
}

#[derive(Default)]
struct Access;

impl PhaseSlot for Access {
    const CODE: (&'static str, &'static str) = ("access_by_lua", "Runs Lua in the access phase.");
    const NO_POSTPONE: (&'static str, &'static str) =
        ("access_by_lua_no_postpone", "Runs access_by_lua before other handlers of its phase.");
    const RUNS_AS: LuaPhase = LuaPhase::ACCESS;
    const PHASE: Phase = Phase::Access;
    const FINISH: Finish = exit::after_access;
}

#[derive(Default)]
struct Precontent;

impl PhaseSlot for Precontent {
    const CODE: (&'static str, &'static str) = ("precontent_by_lua", "Runs Lua in the precontent phase.");
    const NO_POSTPONE: (&'static str, &'static str) =
        ("precontent_by_lua_no_postpone", "Runs precontent_by_lua before other handlers of its phase.");
    const RUNS_AS: LuaPhase = LuaPhase::PRECONTENT;
    const PHASE: Phase = Phase::Precontent;
    const FINISH: Finish = exit::after_rewrite;
}

/// A location's directives of a phase.
#[derive(Default)]
struct Conf<P> {
    code: Option<Rc<Code>>,
    no_postpone: Option<bool>,
    _place: P,
}

impl<P: PhaseSlot> Config for Conf<P> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; code, no_postpone);
    }
}

const fn module<P: PhaseSlot>(name: &'static str) -> Module {
    Module { rows: rows::<P>, levels: levels::<P>, attach: attach::<P>, ..Module::named(name) }
}

fn rows<P: PhaseSlot>() -> Vec<Row> {
    let (name, doc) = P::CODE;
    let mut rows = directive::rows(name, Context::HTTP_IF, doc, |cx, code| cx.once(&mut cx.location::<Conf<P>>().code, code));
    let (name, doc) = P::NO_POSTPONE;
    rows.push(flag(name, Context::HTTP, doc, |conf: &mut Conf<P>| &mut conf.no_postpone));
    rows
}

fn levels<P: PhaseSlot>(levels: &mut Levels) {
    levels.location::<Conf<P>>();
}

fn attach<P: PhaseSlot>(place: &mut Attach<'_>) -> Result<(), Error> {
    let conf = place.conf::<Conf<P>>();
    if let Some(code) = conf.code.clone() {
        PhaseHandler::new(place, code, P::RUNS_AS).join(place, P::PHASE, P::FINISH, conf.no_postpone == Some(true));
    }
    Ok(())
}
