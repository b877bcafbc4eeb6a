//! `balancer_by_lua*`: Lua that chooses the upstream server of each try. It may wait.

use crate::code::Code;
use crate::directive::two_rows;
use crate::entry::{Entry, Run, report};
use crate::host::SessionHost;
use crate::options::RunOptions;
use crate::state::Balancing;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::Error;
use lua::{Completion, LuaPhase};
use session::{Configured, Outcome};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use upstream::balancer::{Asked, Balancer, Custom, Decision, Turn};

/// `balancer_keepalive`, if it is not said.
const POOL_SIZE: usize = 32;
/// `ngx.OK`
const OK: i32 = 0;
/// `ngx.AGAIN`
const AGAIN: i32 = -2;
/// `NGX_BUSY`
const BUSY: i32 = -3;
/// `ngx.DONE`
const DONE: i32 = -4;
/// `ngx.DECLINED`
const DECLINED: i32 = -5;

/// What an `upstream` block says.
struct Conf<H: SessionHost> {
    chooser: Option<Rc<Chooser<H>>>,
    pool_size: Option<usize>,
}

impl<H: SessionHost> Default for Conf<H> {
    fn default() -> Self {
        Conf { chooser: None, pool_size: None }
    }
}

/// The code of an `upstream` block.
struct Chooser<H: SessionHost> {
    code: Rc<Code<H::Session>>,
    pool_size: Cell<usize>,
    /// Handlers for locations with and without `lua_code_cache off`.
    entries: [OnceCell<Rc<Entry<H>>>; 2],
}

/// The rows of `balancer_by_lua*`.
#[must_use]
pub fn rows<H: SessionHost>() -> Vec<Row> {
    two_rows("balancer_by_lua", H::Session::UPSTREAM, "Runs Lua that chooses the server of each try.", chosen_by::<H>)
}

/// The row of `balancer_keepalive`, for protocols whose connections are used again.
#[must_use]
pub fn keepalive_row<H: SessionHost>() -> Row {
    let doc = "Idle connections that balancer_by_lua keeps in a worker.";
    Row::new("balancer_keepalive", H::Session::UPSTREAM, Arity::exactly(1), doc, keepalive::<H>)
}

fn chosen_by<H: SessionHost>(cx: &mut Cx<'_>, code: Rc<Code<H::Session>>) -> Result<(), Error> {
    let chooser = {
        let mut conf = cx.frame.server.get::<Conf<H>>();
        let pool_size = Cell::new(conf.pool_size.unwrap_or(POOL_SIZE));
        let chooser = Rc::new(Chooser { code, pool_size, entries: Default::default() });
        cx.once(&mut conf.chooser, chooser.clone())?;
        chooser
    };
    let mut custom = cx.frame.server.get::<Custom<H::Session>>();
    if custom.is_second {
        cx.warn("load balancing method redefined");
    }
    custom.balancer = Some(chooser);
    Ok(())
}

fn keepalive<H: SessionHost>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let invalid = || cx.error_at(0, format!("invalid value \"{}\" in \"balancer_keepalive\" directive", cx.text(0)));
    let size = cx.number(0).ok().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).ok_or_else(invalid)?;
    let mut conf = cx.frame.server.get::<Conf<H>>();
    cx.once(&mut conf.pool_size, size)?;
    if let Some(chooser) = &conf.chooser {
        chooser.pool_size.set(size);
    }
    Ok(())
}

impl<H: SessionHost> Balancer<H::Session> for Chooser<H> {
    fn choose(&self, session: &Rc<H::Session>, turn: &Rc<Turn>) -> Asked {
        let cached = session.conf::<RunOptions>().is_cached();
        let [with, without] = &self.entries;
        let slot = if cached { with } else { without };
        let entry = slot.get_or_init(|| Entry::of_session(&**session, self.code.clone(), LuaPhase::BALANCER.waiting()));
        let (turn, pool_size) = (turn.clone(), self.pool_size.get());
        let before = |host: &H| {
            host.common().balancing.replace(Some(Balancing { turn, pool_size }));
            host.common().balancer_exit.set(None);
        };
        match entry.run_to_end(session, before, |_| 0, decide) {
            Run::Now(decision) => Asked::Now(decision),
            Run::Wait(future) => Asked::Wait(future),
            Run::Refused(_) => Asked::Now(FAULT),
        }
    }
}

const FAULT: Decision = Decision::Answer(Outcome::Status(500));

/// What the code's end means (`ngx_http_lua_balancer_get_peer`).
fn decide<H: SessionHost>(session: &Rc<H::Session>, host: &H, ended: Completion) -> Decision {
    host.common().balancing.take();
    let code = match ended {
        Completion::Failed(error) => {
            report(&**session, LuaPhase::BALANCER, &error);
            return FAULT;
        }
        Completion::Finished(code) => Some(code),
        Completion::Returned => host.common().balancer_exit.take(),
    };
    match code {
        None | Some(OK | AGAIN | DONE) => Decision::Go,
        Some(BUSY) => Decision::NobodyLeft,
        Some(DECLINED) => Decision::Failed,
        Some(status @ 300..=999) => Decision::Answer(u16::try_from(status).map_or(Outcome::Error, Outcome::Status)),
        Some(_) => FAULT,
    }
}
