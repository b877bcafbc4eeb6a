//! `precontent_by_lua*`: Lua in the precontent phase.

use crate::code::Code;
use crate::exit;
use crate::phase::entry::Answering;
use conf::context::Context;
use conf::row::{Row, flag};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Phase};
use lua_session::directive;
use std::rc::Rc;

/// `precontent_by_lua`, `precontent_by_lua_file`, `precontent_by_lua_block`, `precontent_by_lua_no_postpone`.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("lua_precontent") };

/// The code of a location.
#[derive(Default)]
pub struct Conf {
    /// The code; inner locations take it over.
    pub code: Option<Rc<Code>>,
    /// Runs before the handlers of other modules.
    pub no_postpone: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; code, no_postpone);
    }
}

fn rows() -> Vec<Row> {
    let mut rows = directive::rows("precontent_by_lua", Context::HTTP_IF, "Runs Lua in the precontent phase.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    });
    rows.push(flag(
        "precontent_by_lua_no_postpone",
        Context::HTTP,
        "Runs precontent_by_lua before other handlers of its phase.",
        |c: &mut Conf| &mut c.no_postpone,
    ));
    rows
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let conf = place.conf::<Conf>();
    if let Some(code) = conf.code.clone() {
        let entry = Answering::new(place, code, lua::LuaPhase::PRECONTENT);
        entry.join(place, Phase::Precontent, exit::after_rewrite, conf.no_postpone == Some(true));
    }
    Ok(())
}
