//! `log_by_lua*`: Lua at the end of a session, before the access log.

use crate::host::Sessions;
use crate::state::State;
use conf::row::Row;
use conf::tree::Error;
use lua::LuaPhase;
use lua_session::{Entry, PhaseCode, Run, directive};
use session::{Configured, Outcome, Step};
use stream::{Attach, Levels, Module, Phase, Session};

/// `log_by_lua_file`, `log_by_lua_block`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("lua_log") };

/// The code of a server.
type Conf = PhaseCode<Session, { LuaPhase::LOG.bit }>;

fn rows() -> Vec<Row> {
    directive::two_rows("log_by_lua", Session::BLOCKS, "Runs Lua at the end of sessions.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)
    })
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let Some(code) = place.conf::<Conf>().code.clone() else { return Ok(()) };
    let entry = Entry::<Sessions>::new(place, code, LuaPhase::LOG);
    place.phase(Phase::Log, move |session| {
        if entry.may_wait() {
            return match entry.run_waiting(session, |_| {}, |_| 0, |_, _, _| ()) {
                Run::Wait(future) => Step::wait(|| async move {
                    future.await;
                    Outcome::Ok
                }),
                Run::Now(()) | Run::Refused(_) => Step::Now(Outcome::Ok),
            };
        }
        // An error has been logged; nothing follows from it here.
        let _ = entry.run_now(session, State::of(session), |_| {}, |_| 0, |_| (), |_| {});
        Step::Now(Outcome::Ok)
    });
    Ok(())
}
