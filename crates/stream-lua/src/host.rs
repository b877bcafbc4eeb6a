//! What a native function sees: the session, its worker, and the Lua state that belongs to both.

use crate::state::State;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use lua::{LuaPhase, PhaseSet};
use lua_lib::socket::hub::Hub;
use lua_session::Protocol;
use lua_session::protocol::ProtocolConf;
use session::contexts::Reusable;
use std::rc::Rc;
use stream::{Core, Server, Session, Worker};

/// Code that runs for sessions of `stream`.
pub(crate) struct Sessions;

/// The host of Lua code (`cx.host::<Host>()`).
pub(crate) type Host = lua_session::Host<Sessions>;

/// Whose session led to code that runs without one.
#[derive(Clone)]
pub(crate) struct Origin {
    /// Its log context.
    text: Rc<[u8]>,
    /// Whose settings hold.
    server: Rc<Server>,
}

/// The sockets of the code of `stream`: its idle connections are not those of `http`.
#[derive(Default)]
struct StreamHub(Rc<Hub>);

impl Protocol for Sessions {
    type Session = Session;
    type Worker = Worker;
    type State = State;
    type Origin = Origin;
    type Arguments = ();

    const PREFIX: &'static str = "stream ";

    const VARIABLES_IN_HANDSHAKES: bool = true;

    const SERVING: PhaseSet = PhaseSet::of(LuaPhase::PREREAD).with(LuaPhase::CONTENT);

    fn worker_of(session: &Session) -> &Rc<Worker> {
        &session.worker
    }

    fn common_worker(worker: &Worker) -> &Rc<session::Worker> {
        &worker.common
    }

    fn hub_of(worker: &Worker) -> Rc<Hub> {
        worker.state::<StreamHub>().0.clone()
    }

    fn with_whole<R>(worker: &Worker, see: impl FnOnce(ProtocolConf<'_>) -> R) -> R {
        let configuration = worker.configuration();
        let log = Self::outermost::<Core>(worker).and_then(|core| core.error_log.clone()).unwrap_or_else(|| worker.log.clone());
        see(ProtocolConf { main: &configuration.main, paths: &configuration.paths, log })
    }

    fn outermost<T: Config>(worker: &Worker) -> Option<Rc<T>> {
        worker.configuration().outer.share()
    }

    fn state_of(session: &Session) -> Rc<State> {
        State::of(session)
    }

    fn context<T: Reusable + Default>(session: &Session) -> Rc<T> {
        session.context()
    }

    fn find_context<T: 'static>(session: &Session) -> Option<Rc<T>> {
        session.find_context()
    }

    fn error_log(session: &Session) -> ErrorLog {
        session.error_log()
    }

    fn origin(session: &Session) -> Origin {
        let (mut text, client) = (b", client: ".to_vec(), session.client.borrow());
        client.push_host(&mut text);
        text.extend_from_slice(b", server: ");
        session.listener.push_whole(&mut text);
        Origin { text: text.into(), server: session.server() }
    }

    fn origin_conf<T: Config>(origin: &Origin) -> Rc<T> {
        origin.server.conf()
    }

    fn push_origin(origin: &Origin, _: Option<&Worker>, line: &mut Vec<u8>) {
        line.extend_from_slice(&origin.text);
    }

    fn announce(session: &Session, phase: lua::LuaPhase) {
        let line = match phase.bit {
            bit if bit == lua::LuaPhase::CONTENT.bit => "stream lua content handler",
            bit if bit == lua::LuaPhase::LOG.bit => "lua log handler",
            _ => return,
        };
        session.log(Level::Debug, line.as_bytes());
    }

    fn set_apart(session: &Session, phase: Option<lua::LuaPhase>) {
        session.code.set(phase.map_or("", |phase| phase.name));
    }

    fn has_upstream(session: &Session) -> bool {
        session.log_tail.borrow().is_some()
    }

    fn set_action(session: &Session, action: &'static str) {
        session.action.set(action);
    }

    fn tcp_nodelay(host: &Host) -> bool {
        host.conf::<Core>().tcp_nodelay.unwrap_or(true)
    }
}
