//! `log_by_lua*`: Lua after the response, before the access log.

use crate::phase::entry::{Entry, Run};
use crate::state::State;
use conf::context::Context;
use conf::row::Row;
use conf::tree::Error;
use http::{Attach, Levels, Module, Request};
use lua::LuaPhase;
use lua_session::{PhaseCode, directive};

/// `log_by_lua`, `log_by_lua_file`, `log_by_lua_block`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("lua_log") };

/// The code of a location.
type Conf = PhaseCode<Request, { LuaPhase::LOG.bit }>;

fn rows() -> Vec<Row> {
    directive::rows("log_by_lua", Context::HTTP_IF, "Runs Lua after the response.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    })
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.conf::<Conf>().code.clone() {
        let entry = Entry::new(place, code, LuaPhase::LOG);
        place.log(move |request| {
            if entry.may_wait() {
                return match entry.run_waiting(request, |_| {}, |_| 0, |_, _, _| ()) {
                    Run::Wait(future) => Some(future),
                    Run::Now(()) | Run::Refused(_) => None,
                };
            }
            // An error has been logged; nothing follows from it here.
            let _ = entry.run_now(request, State::of(request), |_| {}, |_| 0, |_| (), |_| {});
            None
        });
    }
    Ok(())
}
