//! What differs between the protocols whose sessions have code.

use crate::state::SessionState;
use base::log::ErrorLog;
use conf::configs::ConfMap;
use conf::scope::Config;
use lua::{LuaPhase, PhaseSet};
use lua_lib::socket::hub::Hub;
use session::contexts::Reusable;
use session::paths::Paths;
use session::tls::Secured;
use std::ops::Deref;
use std::rc::Rc;

/// What the protocol's configuration says as a whole.
pub struct ProtocolConf<'a> {
    /// Main-level values of modules.
    pub main: &'a ConfMap,
    /// Where relative paths lead.
    pub paths: &'a Rc<Paths>,
    /// The error log of the outermost block.
    pub log: ErrorLog,
}

/// A protocol whose sessions have code.
pub trait Protocol: Sized + 'static {
    /// What code runs for.
    type Session: Secured;
    /// The worker as the protocol sees it.
    type Worker: Deref<Target = session::Worker> + 'static;
    /// Lua's state of a session.
    type State: Default + AsRef<SessionState> + 'static;
    /// Whose session led to code that runs without one, such as a timer's.
    type Origin: Clone + 'static;
    /// The run's arguments besides its session (`ngx.arg`).
    type Arguments: Default + 'static;

    /// Before the name of the protocol's directives and before log lines of code.
    const PREFIX: &'static str;

    /// Whether code in handshakes with clients sees variables; where requests come behind them, it does not.
    const VARIABLES_IN_HANDSHAKES: bool;

    /// Phases in which a client is served.
    const SERVING: PhaseSet;

    /// The worker that serves a session.
    fn worker_of(session: &Self::Session) -> &Rc<Self::Worker>;

    /// What a worker has whatever it serves.
    fn common_worker(worker: &Self::Worker) -> &Rc<session::Worker>;

    /// The sockets of the protocol's code in a worker.
    fn hub_of(worker: &Self::Worker) -> Rc<Hub>;

    /// Shows what the worker's newest configuration says as a whole.
    fn with_whole<R>(worker: &Self::Worker, see: impl FnOnce(ProtocolConf<'_>) -> R) -> R;

    /// A module's value in the worker's newest configuration, as its outermost block says.
    fn outermost<T: Config>(worker: &Self::Worker) -> Option<Rc<T>>;

    /// Lua's state of a session, made at the first use.
    fn state_of(session: &Self::Session) -> Rc<Self::State>;

    /// The state of the session that this one is a part of (subrequests).
    fn whole_state_of(session: &Rc<Self::Session>) -> Option<Rc<Self::State>> {
        let _ = session;
        None
    }

    /// What the module of type `T` remembers of the session, made from `Default` on first use.
    fn context<T: Reusable + Default>(session: &Self::Session) -> Rc<T>;

    /// The same, if there is anything.
    fn find_context<T: 'static>(session: &Self::Session) -> Option<Rc<T>>;

    /// The error log in force for a session.
    fn error_log(session: &Self::Session) -> ErrorLog;

    /// How debug lines name a session.
    fn title(session: &Self::Session) -> Option<Vec<u8>> {
        let _ = session;
        None
    }

    /// What is kept of a session for the code that it leaves for later.
    fn origin(session: &Self::Session) -> Self::Origin;

    /// A module's value in force for what comes from there.
    fn origin_conf<T: Config>(origin: &Self::Origin) -> Rc<T>;

    /// Its log context: `, client: ADDRESS, server: ADDRESS`.
    fn push_origin(origin: &Self::Origin, worker: Option<&Self::Worker>, line: &mut Vec<u8>);

    /// Says at debug level which code is about to run.
    fn announce(session: &Self::Session, phase: LuaPhase);

    /// A handler has ended.
    fn ended(worker: &Self::Worker, failed: bool) {
        let _ = (worker, failed);
    }

    /// Whether the session stands for something that no client waits for, such as a handshake, and has an `ngx.ctx` of its own.
    fn is_apart(session: &Self::Session) -> bool {
        let _ = session;
        false
    }

    /// Code for which no client waits begins, or has ended.
    fn set_apart(session: &Self::Session, phase: Option<LuaPhase>);

    /// Whether the session was passed on to an upstream server already.
    fn has_upstream(session: &Self::Session) -> bool;

    /// Says what the session is doing, for the log.
    fn set_action(session: &Self::Session, action: &'static str);

    /// What `tcp_nodelay` says where `conf` finds values.
    fn tcp_nodelay(host: &crate::Host<Self>) -> bool;
}
