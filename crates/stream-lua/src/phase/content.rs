//! `content_by_lua*`: Lua that serves a session.

use crate::run::{ERROR, Handler};
use conf::context::Context;
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use lua::{Completion, LuaPhase};
use lua_session::{Code, directive};
use session::Outcome;
use std::rc::Rc;
use stream::{Attach, Core, Levels, Module, Session, status};

/// `content_by_lua`, `content_by_lua_file`, `content_by_lua_block`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("lua_content") };

/// The code of a server.
#[derive(Default)]
struct Conf {
    code: Option<Rc<Code<Session>>>,
}

impl Config for Conf {
    // It is a server's own.
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    directive::rows("content_by_lua", Context::STREAM_SERVER, "Serves sessions in Lua.", |cx, code| {
        cx.once(&mut cx.location::<Conf>().code, code)?;
        Core::choose_content(cx, MODULE.name);
        Ok(())
    })
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    if let Some(code) = place.conf::<Conf>().code.clone() {
        let handler = Handler::new(place, code, LuaPhase::CONTENT, finish);
        place.content(move |session| handler.run(session));
    }
    Ok(())
}

/// The status that the session ends with.
fn finish(ended: &Completion) -> Outcome {
    match ended {
        Completion::Returned => Outcome::Ok,
        Completion::Failed(_) | Completion::Finished(ERROR) => Outcome::Status(status::INTERNAL_SERVER_ERROR),
        Completion::Finished(code @ 1..) => u16::try_from(*code).map_or(Outcome::Error, Outcome::Status),
        Completion::Finished(_) => Outcome::Ok,
    }
}
