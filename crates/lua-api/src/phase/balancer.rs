//! `balancer_by_lua*`: Lua that chooses the upstream server of each try. It may wait.

use crate::code::Code;
use crate::directive;
use crate::exit;
use crate::host::Host;
use crate::options::Options;
use crate::phase::entry::{Entry, Run, report};
use crate::state::Balancing;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::{Module, Outcome, Request};
use lua::LuaPhase;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use upstream::balancer::{Asked, Balancer, Custom, Decision, Turn};

/// `balancer_by_lua_block`, `balancer_by_lua_file`, `balancer_keepalive`.
pub const MODULE: Module = Module { rows, ..Module::named("lua_balancer") };

/// `balancer_keepalive`, if it is not said.
const POOL_SIZE: usize = 32;
/// `NGX_BUSY`
const BUSY: i32 = -3;

/// What an `upstream` block says.
#[derive(Default)]
struct Conf {
    chooser: Option<Rc<Chooser>>,
    pool_size: Option<usize>,
}

/// The code of an `upstream` block.
struct Chooser {
    code: Rc<Code>,
    pool_size: Cell<usize>,
    /// Handlers for locations with and without `lua_code_cache off`.
    entries: [OnceCell<Rc<Entry>>; 2],
}

fn rows() -> Vec<Row> {
    let mut rows = directive::rows("balancer_by_lua", Context::UPSTREAM, "Runs Lua that chooses the server of each try.", chosen_by);
    rows.retain(|row| row.name != "balancer_by_lua");
    rows.push(Row::new(
        "balancer_keepalive",
        Context::UPSTREAM,
        Arity::exactly(1),
        "Idle connections that balancer_by_lua keeps in a worker.",
        keepalive,
    ));
    rows
}

fn chosen_by(cx: &mut Cx<'_>, code: Rc<Code>) -> Result<(), Error> {
    let chooser = {
        let mut conf = cx.frame.server.get::<Conf>();
        let pool_size = Cell::new(conf.pool_size.unwrap_or(POOL_SIZE));
        let chooser = Rc::new(Chooser { code, pool_size, entries: Default::default() });
        cx.once(&mut conf.chooser, chooser.clone())?;
        chooser
    };
    let mut custom = cx.frame.server.get::<Custom<Request>>();
    if custom.is_second {
        cx.warn("load balancing method redefined");
    }
    custom.balancer = Some(chooser);
    Ok(())
}

fn keepalive(cx: &mut Cx<'_>) -> Result<(), Error> {
    let invalid = || cx.error_at(0, format!("invalid value \"{}\" in \"balancer_keepalive\" directive", cx.text(0)));
    let size = cx.number(0).ok().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).ok_or_else(invalid)?;
    let mut conf = cx.frame.server.get::<Conf>();
    cx.once(&mut conf.pool_size, size)?;
    if let Some(chooser) = &conf.chooser {
        chooser.pool_size.set(size);
    }
    Ok(())
}

impl Balancer<Request> for Chooser {
    fn choose(&self, request: &Rc<Request>, turn: &Rc<Turn>) -> Asked {
        let cached = request.conf::<Options>().code_cache.unwrap_or(true);
        let [with, without] = &self.entries;
        let slot = if cached { with } else { without };
        let entry = slot.get_or_init(|| Entry::of_request(request, self.code.clone(), LuaPhase::BALANCER.waiting()));
        let (turn, pool_size) = (turn.clone(), self.pool_size.get());
        let before = |host: &Host| {
            host.state.balancing.replace(Some(Balancing { turn, pool_size }));
            host.state.balancer_exit.set(None);
        };
        match entry.run_to_end(request, before, |_| 0, decide) {
            Run::Now(decision) => Asked::Now(decision),
            Run::Wait(future) => Asked::Wait(future),
            Run::Refused(_) => Asked::Now(FAULT),
        }
    }
}

const FAULT: Decision = Decision::Answer(Outcome::Status(500));

/// What the code's end means (`ngx_http_lua_balancer_get_peer`).
fn decide(request: &Rc<Request>, host: &Host, ended: lua::Completion) -> Decision {
    host.state.balancing.take();
    let code = match ended {
        lua::Completion::Failed(error) => {
            report(request, LuaPhase::BALANCER, &error);
            return FAULT;
        }
        lua::Completion::Finished(code) => Some(code),
        lua::Completion::Returned => host.state.balancer_exit.take(),
    };
    match code {
        None | Some(exit::OK | exit::AGAIN | exit::DONE) => Decision::Go,
        Some(BUSY) => Decision::NobodyLeft,
        Some(exit::DECLINED) => Decision::Failed,
        Some(status @ 300..=999) => Decision::Answer(u16::try_from(status).map_or(Outcome::Error, Outcome::Status)),
        Some(_) => FAULT,
    }
}
