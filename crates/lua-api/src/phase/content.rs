//! `content_by_lua*`: Lua that makes the response.

use crate::code::Code;
use crate::exit;
use crate::phase::entry::PhaseHandler;
use conf::context::Context;
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module};
use lua_session::directive;
use std::rc::Rc;

/// `content_by_lua`, `content_by_lua_file`, `content_by_lua_block`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("lua_content") };

/// The code of a location.
#[derive(Default)]
struct Conf {
    code: Option<Rc<Code>>,
}

impl Config for Conf {
    // A content handler belongs to the location that it stands in.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    let contexts = Context::LOCATION | Context::LOCATION_IF;
    directive::rows("content_by_lua", contexts, "Makes the response in Lua.", |cx, code| cx.once(&mut cx.location::<Conf>().code, code))
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.conf::<Conf>().code.clone() {
        let entry = PhaseHandler::new(place, code, lua::LuaPhase::CONTENT);
        place.content(move |request| entry.run(request, exit::after_content));
    }
    Ok(())
}
