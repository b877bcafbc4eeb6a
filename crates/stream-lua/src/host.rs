//! What a native function sees: the session, its worker, and the Lua state that belongs to both.

use crate::state::State;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use lua_lib::host::HostFactory;
use lua_lib::socket::hub::Hub;
use lua_lib::socket::secure::settings::SecureOptions;
use lua_lib::socket::settings::SocketOptions;
use lua_lib::{Machine, Resources, Runtime};
use lua_session::host::Whole;
use lua_session::names::Names;
use lua_session::slots::Slots;
use lua_session::{SessionHost, SessionState};
use resolver::settings::Resolving;
use session::contexts::Reuse;
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use stream::{Core, Server, Session, Worker};

/// Whose session led to code that runs without one.
#[derive(Clone)]
struct Origin {
    /// What the log says of it.
    text: Rc<str>,
    /// Whose settings hold.
    server: Rc<Server>,
}

impl Origin {
    fn of(session: &Session) -> Origin {
        let (mut text, client) = (b", client: ".to_vec(), session.client.borrow());
        client.push_host(&mut text);
        text.extend_from_slice(b", server: ");
        session.listener.push_whole(&mut text);
        Origin { text: String::from_utf8_lossy(&text).into(), server: session.server() }
    }
}

/// The host of Lua code (`cx.host::<Host>()`). Hosts are pooled: do not keep one beyond the call that got it, keep its session.
pub(crate) struct Host {
    session: Option<Rc<Session>>,
    worker: Option<Rc<Worker>>,
    hub: Option<Rc<Hub>>,
    runtime: Rc<Runtime>,
    machine: Rc<Machine>,
    names: Rc<Names<Session>>,
    slots: Rc<Slots>,
    state: Rc<State>,
    /// The error log where there is no session.
    log: ErrorLog,
    /// The session that led here, where there is none (timers).
    origin: Option<Origin>,
    scratch: RefCell<Vec<u8>>,
}

/// The sockets of the code of `stream`: its idle connections are not those of `http`.
#[derive(Default)]
struct StreamHub(Rc<Hub>);

impl Host {
    /// A module's settings: the session's server's, those that a timer was made under, or those of `stream`.
    fn conf<T: Config>(&self) -> Rc<T> {
        match (&self.session, &self.origin, &self.worker) {
            (Some(session), _, _) => session.conf(),
            (None, Some(origin), _) => origin.server.conf(),
            (None, None, Some(worker)) => worker.configuration().outer.share().unwrap_or_default(),
            (None, None, None) => Rc::default(),
        }
    }
}

impl lua::Host for Host {
    fn share(self: Rc<Self>, handle: &mut dyn Any) {
        if let Some(handle) = handle.downcast_mut::<Option<Rc<dyn lua_lib::Host>>>() {
            *handle = Some(self);
        }
    }

    #[inline]
    fn show<'a>(&'a self, view: &mut lua::HostView<'a>) {
        view.offer::<dyn lua_lib::Host>(self);
    }
}

impl lua_lib::Host for Host {
    fn runtime(&self) -> &Rc<Runtime> {
        &self.runtime
    }

    fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    fn worker(&self) -> Option<&Rc<session::Worker>> {
        self.worker.as_ref().map(|worker| &worker.common)
    }

    fn log_enabled(&self, level: Level) -> bool {
        match &self.session {
            Some(session) => session.log_enabled(level),
            None => self.log.enabled(level),
        }
    }

    fn log(&self, level: Level, message: &[u8], context: &str) {
        match &self.session {
            Some(session) => session.log(level, message),
            None if self.log.enabled(level) => {
                let mut line = message.to_vec();
                if !context.is_empty() && level != Level::Debug {
                    line.extend_from_slice(b", context: ");
                    line.extend_from_slice(context.as_bytes());
                    line.extend_from_slice(self.origin.as_ref().map_or("", |origin| &origin.text).as_bytes());
                }
                self.log.write(level, 0, &line);
            }
            None => {}
        }
    }

    fn resources(&self) -> &Rc<Resources> {
        let common: &SessionState = (*self.state).as_ref();
        &common.resources
    }

    fn title(&self) -> Option<Vec<u8>> {
        None
    }

    fn log_prefix(&self) -> &'static str {
        "stream "
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        &self.scratch
    }

    fn hub(&self) -> Option<&Rc<Hub>> {
        self.hub.as_ref()
    }

    fn socket_options(&self) -> Rc<SocketOptions> {
        self.conf()
    }

    fn secure_options(&self) -> Rc<SecureOptions> {
        self.conf()
    }

    fn resolving(&self) -> Rc<Resolving> {
        self.conf()
    }

    fn tcp_nodelay(&self) -> bool {
        self.conf::<Core>().tcp_nodelay.unwrap_or(true)
    }

    fn host_factory(&self) -> HostFactory {
        let (runtime, machine, worker) = (self.runtime.clone(), self.machine.clone(), self.worker.clone());
        let (log, origin) = match &self.session {
            Some(session) => (session.error_log(), Some(Origin::of(session))),
            None => (self.log.clone(), self.origin.clone()),
        };
        Box::new(move || {
            let mut host = Host::without_session(runtime.clone(), machine.clone(), worker.clone(), log.clone());
            host.origin.clone_from(&origin);
            Rc::new(host)
        })
    }
}

impl SessionHost for Host {
    type Session = Session;
    type Worker = Worker;
    type State = State;

    const PREFIX: &'static str = "stream ";

    fn without_session(runtime: Rc<Runtime>, machine: Rc<Machine>, worker: Option<Rc<Worker>>, log: ErrorLog) -> Host {
        Host {
            session: None,
            hub: worker.as_deref().map(Self::hub_of),
            worker,
            names: runtime.state(),
            slots: runtime.state(),
            runtime,
            machine,
            state: Rc::default(),
            log,
            origin: None,
            scratch: RefCell::default(),
        }
    }

    fn worker_of(session: &Session) -> &Rc<Worker> {
        &session.worker
    }

    fn hub_of(worker: &Worker) -> Rc<Hub> {
        worker.state::<StreamHub>().0.clone()
    }

    fn with_whole<R>(worker: &Worker, see: impl FnOnce(Whole<'_>) -> R) -> R {
        let configuration = worker.configuration();
        let log = configuration.outer.share::<Core>().and_then(|core| core.error_log.clone()).unwrap_or_else(|| worker.log.clone());
        see(Whole { main: &configuration.main, paths: &configuration.paths, log })
    }

    fn state_of(session: &Session) -> Rc<State> {
        State::of(session)
    }

    fn context<T: Reuse + Default>(session: &Session) -> Rc<T> {
        session.context()
    }

    fn find_context<T: 'static>(session: &Session) -> Option<Rc<T>> {
        session.find_context()
    }

    fn error_log(session: &Session) -> ErrorLog {
        session.error_log()
    }

    fn enter(&mut self, session: Rc<Session>, machine: Rc<Machine>, state: Rc<State>) {
        (self.session, self.machine, self.state) = (Some(session), machine, state);
    }

    fn leave(&mut self, blank: &Rc<State>) {
        self.session = None;
        self.state.clone_from(blank);
    }

    fn set_machine(&mut self, machine: Rc<Machine>) {
        self.machine = machine;
    }

    fn session(&self) -> Option<&Rc<Session>> {
        self.session.as_ref()
    }

    fn state(&self) -> &Rc<State> {
        &self.state
    }

    fn names(&self) -> &Names<Session> {
        &self.names
    }

    fn slots(&self) -> &Rc<Slots> {
        &self.slots
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
}
