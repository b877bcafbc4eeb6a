//! What a native function sees: the session, its worker, and the Lua state that belongs to both.

use crate::names::Names;
use crate::protocol::Protocol;
use crate::slots::Slots;
use crate::state::SessionState;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use lua::{CallContext, LuaPhase, PhaseSet, Raise};
use lua_lib::host::HostFactory;
use lua_lib::socket::hub::Hub;
use lua_lib::socket::secure::settings::SecureOptions;
use lua_lib::socket::settings::SocketOptions;
use lua_lib::{Machine, Resources, Runtime};
use resolver::settings::Resolving;
use session::{Client, Configured};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// The host of Lua code (`cx.host::<Host<P>>()`). Hosts are pooled: do not keep one beyond the call that got it, keep its session.
pub struct Host<P: Protocol> {
    /// The session; none at the master's start, in a worker's start and end, and in timers.
    pub session: Option<Rc<P::Session>>,
    /// The worker; none in the master.
    pub worker: Option<Rc<P::Worker>>,
    /// The worker's sockets; none in the master.
    pub hub: Option<Rc<Hub>>,
    /// Settings and worker-wide state of Lua.
    pub runtime: Rc<Runtime>,
    /// The virtual machine that runs the code.
    pub machine: Rc<Machine>,
    /// Variables that code has asked for.
    pub names: Rc<Names<P::Session>>,
    /// Numbers of `ngx.ctx` tables.
    pub slots: Rc<Slots>,
    /// Lua's state of the session, or of this run where there is no session.
    pub state: Rc<P::State>,
    /// Whose session led here, where there is none.
    pub origin: Option<P::Origin>,
    /// The run's arguments besides its session.
    pub arguments: P::Arguments,
    /// Output being put together; reused from call to call.
    pub scratch: RefCell<Vec<u8>>,
    /// The error log where there is no session.
    log: ErrorLog,
    /// The number by which its lines are known, as a connection's are: of a timer's run, of a worker's start.
    pub(crate) number: u64,
}

impl<P: Protocol> Host<P> {
    /// A host without a session.
    pub(crate) fn without_session(runtime: Rc<Runtime>, machine: Rc<Machine>, worker: Option<Rc<P::Worker>>, log: ErrorLog) -> Host<P> {
        Host {
            session: None,
            hub: worker.as_deref().map(P::hub_of),
            worker,
            names: runtime.state(),
            slots: runtime.state(),
            runtime,
            machine,
            state: Rc::default(),
            origin: None,
            arguments: P::Arguments::default(),
            scratch: RefCell::default(),
            log,
            number: 0,
        }
    }

    /// A module's value: that in force for the session, that under which a timer was made, or that of the outermost block
    /// (`init_worker_by_lua*`).
    pub fn conf<T: Config>(&self) -> Rc<T> {
        match (&self.session, &self.origin, &self.worker) {
            (Some(session), _, _) => session.conf(),
            (None, Some(origin), _) => P::origin_conf(origin),
            (None, None, Some(worker)) => P::outermost(worker).unwrap_or_default(),
            (None, None, None) => Rc::default(),
        }
    }

    /// What the state has in common with that of other protocols.
    pub fn shared_state(&self) -> &SessionState {
        (*self.state).as_ref()
    }

    /// A run for `session` begins.
    #[inline]
    pub(crate) fn enter(&mut self, session: Rc<P::Session>, machine: Rc<Machine>, state: Rc<P::State>) {
        (self.session, self.machine, self.state) = (Some(session), machine, state);
    }

    /// It has ended: forgets the session; `blank` takes the place of its state.
    #[inline]
    pub(crate) fn detach(&mut self, blank: &Rc<P::State>) {
        self.session = None;
        self.state.clone_from(blank);
    }
}

impl<P: Protocol> lua::Host for Host<P> {
    fn share(self: Rc<Self>, handle: &mut dyn Any) {
        if let Some(handle) = handle.downcast_mut::<Option<Rc<dyn lua_lib::Host>>>() {
            *handle = Some(self);
        }
    }

    #[inline]
    fn provide<'a>(&'a self, view: &mut lua::HostView<'a>) {
        view.provide::<dyn lua_lib::Host>(self);
    }
}

impl<P: Protocol> lua_lib::Host for Host<P> {
    fn runtime(&self) -> &Rc<Runtime> {
        &self.runtime
    }

    fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    fn worker(&self) -> Option<&Rc<session::Worker>> {
        self.worker.as_deref().map(P::common_worker)
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
                    if let Some(origin) = &self.origin {
                        P::push_origin(origin, self.worker.as_deref(), &mut line);
                    }
                }
                self.log.write(level, self.number, &line);
            }
            None => {}
        }
    }

    fn resources(&self) -> &Rc<Resources> {
        &self.shared_state().resources
    }

    /// A subrequest's sockets are no other request's when it has ended.
    fn lasting_resources(&self) -> Rc<Resources> {
        let whole = self.session.as_ref().and_then(P::whole_state_of);
        let common: &SessionState = whole.as_deref().unwrap_or(&self.state).as_ref();
        common.resources.clone()
    }

    fn title(&self) -> Option<Vec<u8>> {
        P::title(self.session.as_deref()?)
    }

    fn host_factory(&self) -> HostFactory {
        let (runtime, machine, worker) = (self.runtime.clone(), self.machine.clone(), self.worker.clone());
        let (log, origin) = match &self.session {
            Some(session) => (P::error_log(session), Some(P::origin(session))),
            None => (self.log.clone(), self.origin.clone()),
        };
        Box::new(move || {
            let mut host = Host::<P>::without_session(runtime.clone(), machine.clone(), worker.clone(), log.clone());
            host.origin.clone_from(&origin);
            host.number = worker.as_deref().map_or(0, |worker| P::common_worker(worker).next_connection());
            Rc::new(host)
        })
    }

    fn log_prefix(&self) -> &'static str {
        P::PREFIX
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
        P::tcp_nodelay(self)
    }
}

const NO_REQUEST: &str = "no request found";

const DISABLED: &str = "API disabled in the current context";

/// Where a client is there whose request is yet to come.
const HANDSHAKES: PhaseSet =
    PhaseSet::of(LuaPhase::SSL_CLIENT_HELLO).with(LuaPhase::SSL_CERT).with(LuaPhase::SSL_SESS_FETCH).with(LuaPhase::SSL_SESS_STORE);

/// Why there is no session.
fn missing(cx: &CallContext) -> &'static str {
    if cx.phase() == Some(LuaPhase::INIT) { NO_REQUEST } else { DISABLED }
}

/// The host and its session, for rows of the kinds `calls` and `suspends`.
///
/// # Errors
/// `no request found` outside of any run, `API disabled in the current context` where there is no session.
pub fn session<P: Protocol>(cx: &CallContext) -> Result<(Rc<Host<P>>, Rc<P::Session>), Raise> {
    let host = cx.host::<Host<P>>().ok_or(Raise::fixed(NO_REQUEST))?;
    let session = host.session.clone().ok_or_else(|| Raise::fixed(missing(cx)))?;
    Ok((host, session))
}

/// As [`session()`], for functions about what a client asked for and is answered, which handshakes do not have.
///
/// # Errors
/// As for [`session()`], and `API disabled in the current context` in a handshake.
pub fn client_session<P: Protocol>(cx: &CallContext) -> Result<(Rc<Host<P>>, Rc<P::Session>), Raise> {
    if cx.is_in(HANDSHAKES) { Err(Raise::fixed(DISABLED)) } else { session(cx) }
}

/// As [`client_session`], for fast rows.
#[inline]
pub fn with_served<P: Protocol, R>(cx: &CallContext, failed: R, f: impl FnOnce(&Host<P>, &Rc<P::Session>) -> R) -> R {
    if cx.is_in(HANDSHAKES) {
        cx.put_static(DISABLED.as_bytes());
        return failed;
    }
    with_session(cx, failed, f)
}

/// As [`session()`], for fast rows: runs `f`, or leaves the error's text in the output buffer and returns `failed`.
#[inline]
pub fn with_session<P: Protocol, R>(cx: &CallContext, failed: R, f: impl FnOnce(&Host<P>, &Rc<P::Session>) -> R) -> R {
    cx.with_host::<Host<P>, _>(|host| match host {
        Some(host) => match &host.session {
            Some(session) => f(host, session),
            None => {
                cx.set_text(missing(cx).as_bytes());
                failed
            }
        },
        None => {
            cx.set_text(NO_REQUEST.as_bytes());
            failed
        }
    })
}
