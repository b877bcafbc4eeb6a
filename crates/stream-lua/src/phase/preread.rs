//! `preread_by_lua*`: Lua that looks at the first bytes, behind the other handlers of its phase.

use crate::run::{ERROR, Handler};
use conf::context::Context;
use conf::row::{Row, flag};
use conf::scope::Config;
use conf::tree::Error;
use lua::{Completion, LuaPhase};
use lua_session::{PhaseCode, directive};
use session::{Configured, Outcome, Step};
use std::rc::Rc;
use stream::PrereadHandler;
use stream::{Attach, Levels, Module, Preread, Session, status};

/// `preread_by_lua_block`, `preread_by_lua_file`, `preread_by_lua_no_postpone`.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("lua_preread") };

/// The code of a server.
type Conf = PhaseCode<Session, { LuaPhase::PREREAD.bit }>;

/// What `stream` says.
#[derive(Default)]
struct Order {
    no_postpone: Option<bool>,
}

impl Config for Order {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; no_postpone);
    }
}

fn rows() -> Vec<Row> {
    let mut rows = directive::two_rows("preread_by_lua", Session::BLOCKS, "Runs Lua that looks at the first bytes.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    });
    rows.push(flag(
        "preread_by_lua_no_postpone",
        Context::STREAM,
        "Runs preread_by_lua before other handlers of its phase.",
        |order: &mut Order| &mut order.no_postpone,
    ));
    rows
}

fn levels(levels: &mut Levels) {
    levels.location::<Conf>().location::<Order>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let Some(code) = place.conf::<Conf>().code.clone() else { return Ok(()) };
    let handler = Handler::new(place, code, LuaPhase::PREREAD, finish);
    let run = move |session: &Rc<Session>| match handler.run(session) {
        Step::Now(outcome) => Preread::Now(outcome),
        Step::Wait(future) => Preread::Wait(future),
    };
    if place.conf::<Order>().no_postpone == Some(true) {
        place.parts.preread.insert(0, PrereadHandler { order: 0, run: Rc::new(run) });
    } else {
        place.preread(run);
    }
    Ok(())
}

/// Whether the session goes on.
fn finish(ended: &Completion) -> Outcome {
    match ended {
        Completion::Returned | Completion::Finished(0) => Outcome::Ok,
        Completion::Failed(_) | Completion::Finished(ERROR) => Outcome::Status(status::INTERNAL_SERVER_ERROR),
        Completion::Finished(code @ 1..) => u16::try_from(*code).map_or(Outcome::Error, Outcome::Status),
        Completion::Finished(_) => Outcome::Declined,
    }
}
