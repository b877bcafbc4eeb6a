//! The host of code that runs for sessions of one protocol.

use crate::names::Names;
use crate::slots::Slots;
use crate::state::SessionState;
use base::log::ErrorLog;
use conf::configs::ConfMap;
use lua::{CallContext, LuaPhase, Raise};
use lua_lib::socket::hub::Hub;
use lua_lib::{Machine, Runtime};
use session::contexts::Reuse;
use session::paths::Paths;
use session::tls::Secured;
use std::ops::Deref;
use std::rc::Rc;

/// What the protocol's configuration says as a whole.
pub struct Whole<'a> {
    /// Main-level values of modules.
    pub main: &'a ConfMap,
    /// Where relative paths lead.
    pub paths: &'a Rc<Paths>,
    /// The error log of the outermost block.
    pub log: ErrorLog,
}

/// The host of code that runs for sessions of one protocol. Hosts are used for one run after the other.
pub trait SessionHost: lua::Host + lua_lib::Host + Sized {
    /// What code runs for.
    type Session: Secured;
    /// The worker as the protocol sees it.
    type Worker: Deref<Target = session::Worker> + 'static;
    /// Lua's state of a session.
    type State: Default + AsRef<SessionState> + 'static;

    /// Before the name of the protocol's directives in messages of the start.
    const PREFIX: &'static str;

    /// A host without a session.
    fn without_session(runtime: Rc<Runtime>, machine: Rc<Machine>, worker: Option<Rc<Self::Worker>>, log: ErrorLog) -> Self;

    /// The worker that serves a session.
    fn worker_of(session: &Self::Session) -> &Rc<Self::Worker>;

    /// The sockets of the protocol's code in a worker.
    fn hub_of(worker: &Self::Worker) -> Rc<Hub>;

    /// Shows what the worker's newest configuration says as a whole.
    fn with_whole<R>(worker: &Self::Worker, see: impl FnOnce(Whole<'_>) -> R) -> R;

    /// Lua's state of a session, made at the first use.
    fn state_of(session: &Self::Session) -> Rc<Self::State>;

    /// What the module of type `T` remembers of the session, made from `Default` on first use.
    fn context<T: Reuse + Default>(session: &Self::Session) -> Rc<T>;

    /// The same, if there is anything.
    fn find_context<T: 'static>(session: &Self::Session) -> Option<Rc<T>>;

    /// The error log in force for a session.
    fn error_log(session: &Self::Session) -> ErrorLog;

    /// A run for `session` begins.
    fn enter(&mut self, session: Rc<Self::Session>, machine: Rc<Machine>, state: Rc<Self::State>);

    /// It has ended: forgets the session; `blank` takes the place of its state.
    fn leave(&mut self, blank: &Rc<Self::State>);

    /// Takes another machine.
    fn set_machine(&mut self, machine: Rc<Machine>);

    /// The session; none at the master's start, in a worker's start and end, and in timers.
    fn session(&self) -> Option<&Rc<Self::Session>>;

    /// Lua's state of the session, or of this run where there is no session.
    fn state(&self) -> &Rc<Self::State>;

    /// What the state has in common with that of other protocols.
    fn common(&self) -> &SessionState {
        let state: &Self::State = self.state();
        state.as_ref()
    }

    /// Variables that code has asked for.
    fn names(&self) -> &Names<Self::Session>;

    /// Numbers of `ngx.ctx` tables.
    fn slots(&self) -> &Rc<Slots>;

    /// Says at debug level which code is about to run.
    fn announce(session: &Self::Session, phase: LuaPhase) {
        let _ = (session, phase);
    }

    /// A handler has ended.
    fn ended(&self, failed: bool) {
        let _ = failed;
    }

    /// Whether the session stands for something that no client waits for, such as a handshake, and has an `ngx.ctx` of its own.
    fn is_apart(session: &Self::Session) -> bool {
        let _ = session;
        false
    }

    /// Code for which no client waits begins, or has ended.
    fn set_apart(session: &Self::Session, phase: Option<LuaPhase>) {
        let _ = (session, phase);
    }

    /// Whether the session was passed on to an upstream server already.
    fn has_upstream(session: &Self::Session) -> bool;

    /// Says what the session is doing, for the log.
    fn set_action(session: &Self::Session, action: &'static str);

    /// Why there is no session.
    fn missing(cx: &CallContext) -> &'static str {
        if cx.phase() == Some(LuaPhase::INIT) { NO_REQUEST } else { "API disabled in the current context" }
    }
}

const NO_REQUEST: &str = "no request found";

/// The host and its session, for rows of the kinds `calls` and `suspends`.
///
/// # Errors
/// `no request found` outside of any run, `API disabled in the current context` where there is no session.
pub fn session<H: SessionHost>(cx: &CallContext) -> Result<(Rc<H>, Rc<H::Session>), Raise> {
    let host = cx.host::<H>().ok_or(Raise::fixed(NO_REQUEST))?;
    let session = host.session().cloned().ok_or_else(|| Raise::fixed(H::missing(cx)))?;
    Ok((host, session))
}

/// As [`session`], for fast rows: runs `f`, or leaves the error's text in the output buffer and answers `failed`.
#[inline]
pub fn with_session<H: SessionHost, R>(cx: &CallContext, failed: R, f: impl FnOnce(&H, &Rc<H::Session>) -> R) -> R {
    cx.with_host::<H, _>(|host| match host {
        Some(host) => match host.session() {
            Some(session) => f(host, session),
            None => {
                cx.put(H::missing(cx).as_bytes());
                failed
            }
        },
        None => {
            cx.put(NO_REQUEST.as_bytes());
            failed
        }
    })
}
