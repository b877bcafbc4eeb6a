//! `server_rewrite_by_lua*`: Lua before a location is chosen, and before the server's own rewrite directives.

use crate::exit;
use crate::phase::entry::PhaseHandler;
use conf::context::Context;
use conf::row::Row;
use conf::tree::Error;
use http::{Attach, Levels, Module, Phase, Request};
use lua::LuaPhase;
use lua_session::{PhaseCode, directive};

/// `server_rewrite_by_lua`, `server_rewrite_by_lua_file`, `server_rewrite_by_lua_block`.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("lua_server_rewrite") };

/// The code of a server.
type Conf = PhaseCode<Request, { LuaPhase::SERVER_REWRITE.bit }>;

fn rows() -> Vec<Row> {
    directive::rows("server_rewrite_by_lua", Context::HTTP | Context::SERVER, "Runs Lua before a location is chosen.", |cx, code| {
        cx.once(&mut cx.server::<Conf>().code, code)
    })
}

fn levels(levels: &mut Levels) {
    levels.server::<Conf>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.server_conf::<Conf>().code.clone().filter(|_| place.is_server) {
        let entry = PhaseHandler::new(place, code, LuaPhase::SERVER_REWRITE);
        place.phase(Phase::ServerRewrite, move |request| entry.run(request, exit::after_rewrite));
    }
    Ok(())
}
