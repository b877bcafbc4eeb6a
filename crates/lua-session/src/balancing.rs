//! `balancer_by_lua*`: Lua that chooses the upstream server of each try. It may wait.

use crate::code::Code;
use crate::directive::two_rows;
use crate::entry::{Entry, Run, report};
use crate::host::Host;
use crate::options::RunOptions;
use crate::protocol::Protocol;
use crate::state::Balancing;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::Error;
use lua::{Completion, LuaPhase};
use session::{Configured, Outcome};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use upstream::balancer::{Balancer, BalancerAnswer, BalancerContext, CustomBalancer, Decision};

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
struct Conf<P: Protocol> {
    chooser: Option<Rc<Chooser<P>>>,
    pool_size: Option<usize>,
}

impl<P: Protocol> Default for Conf<P> {
    fn default() -> Self {
        Conf { chooser: None, pool_size: None }
    }
}

/// The code of an `upstream` block.
struct Chooser<P: Protocol> {
    code: Rc<Code<P::Session>>,
    pool_size: Cell<usize>,
    /// Handlers for locations with and without `lua_code_cache off`.
    entries: [OnceCell<Rc<Entry<P>>>; 2],
}

/// The rows of `balancer_by_lua*`.
#[must_use]
pub fn rows<P: Protocol>() -> Vec<Row> {
    two_rows("balancer_by_lua", P::Session::UPSTREAM, "Runs Lua that chooses the server of each try.", chosen_by::<P>)
}

/// The row of `balancer_keepalive`, for protocols whose connections are used again.
#[must_use]
pub fn keepalive_row<P: Protocol>() -> Row {
    let doc = "Idle connections that balancer_by_lua keeps in a worker.";
    Row::new("balancer_keepalive", P::Session::UPSTREAM, Arity::exactly(1), doc, keepalive::<P>)
}

fn chosen_by<P: Protocol>(cx: &mut Cx<'_>, code: Rc<Code<P::Session>>) -> Result<(), Error> {
    let chooser = {
        let mut conf = cx.frame.server.get::<Conf<P>>();
        let pool_size = Cell::new(conf.pool_size.unwrap_or(POOL_SIZE));
        let chooser = Rc::new(Chooser { code, pool_size, entries: Default::default() });
        cx.once(&mut conf.chooser, chooser.clone())?;
        chooser
    };
    let mut custom = cx.frame.server.get::<CustomBalancer<P::Session>>();
    if custom.is_second {
        cx.warn("load balancing method redefined");
    }
    custom.balancer = Some(chooser);
    Ok(())
}

fn keepalive<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let invalid = || cx.error_at(0, format!("invalid value \"{}\" in \"balancer_keepalive\" directive", cx.text(0)));
    let size = cx.number(0).ok().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).ok_or_else(invalid)?;
    let mut conf = cx.frame.server.get::<Conf<P>>();
    cx.once(&mut conf.pool_size, size)?;
    if let Some(chooser) = &conf.chooser {
        chooser.pool_size.set(size);
    }
    Ok(())
}

impl<P: Protocol> Balancer<P::Session> for Chooser<P> {
    fn choose(&self, session: &Rc<P::Session>, turn: &Rc<BalancerContext>) -> BalancerAnswer {
        let cached = session.conf::<RunOptions>().is_cached();
        let [with, without] = &self.entries;
        let slot = if cached { with } else { without };
        let entry = slot.get_or_init(|| Entry::of_session(&**session, self.code.clone(), LuaPhase::BALANCER.waiting()));
        let (turn, pool_size) = (turn.clone(), self.pool_size.get());
        let before = |host: &Host<P>| {
            host.shared_state().balancing.replace(Some(Balancing { balancer: turn, pool_size }));
            host.shared_state().balancer_exit.set(None);
        };
        match entry.run_to_end(session, before, |_| 0, decide) {
            Run::Now(decision) => BalancerAnswer::Now(decision),
            Run::Wait(future) => BalancerAnswer::Wait(future),
            Run::Refused(_) => BalancerAnswer::Now(FAULT),
        }
    }
}

const FAULT: Decision = Decision::Answer(Outcome::Status(500));

/// What the code's end means (`ngx_http_lua_balancer_get_peer`).
fn decide<P: Protocol>(session: &Rc<P::Session>, host: &Host<P>, ended: Completion) -> Decision {
    host.shared_state().balancing.take();
    let code = match ended {
        Completion::Failed(error) => {
            report(&**session, LuaPhase::BALANCER, &error);
            return FAULT;
        }
        Completion::Finished(code) => Some(code),
        Completion::Returned => host.shared_state().balancer_exit.take(),
    };
    match code {
        None | Some(OK | AGAIN | DONE) => Decision::Go,
        Some(BUSY) => Decision::NoLiveUpstreams,
        Some(DECLINED) => Decision::Failed,
        Some(status @ 300..=999) => Decision::Answer(u16::try_from(status).map_or(Outcome::Error, Outcome::Status)),
        Some(_) => FAULT,
    }
}
