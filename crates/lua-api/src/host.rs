//! What a native function sees: the request, its worker, and the Lua state that belongs to both.

use crate::state::State;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use http::connection::Address;
use http::contexts::Reuse;
use http::resolving::Resolving;
use http::root::Defaults;
use http::{Chain, Connection, Core, Location, Request, Worker};
use lua::{CallContext, LuaPhase, Raise};
use lua_lib::Machine;
use lua_lib::Resources;
use lua_lib::Runtime;
use lua_lib::host::HostFactory;
use lua_lib::socket::hub::Hub;
use lua_lib::socket::secure::settings::SecureOptions;
use lua_lib::socket::settings::SocketOptions;
use lua_session::host::Whole;
use lua_session::names::Names;
use lua_session::slots::Slots;
use lua_session::{SessionHost, host};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// Whose request led to code that runs without one.
#[derive(Clone)]
pub struct Origin {
    /// The client as that request saw it.
    pub client: Address,
    /// The connection that it came on.
    pub connection: Rc<Connection>,
}

impl Origin {
    /// The origin of what `request` starts.
    pub fn of(request: &Request) -> Origin {
        Origin { client: request.client.borrow().clone(), connection: request.connection.clone() }
    }
}

/// The host context of Lua code (`cx.host::<Host>()`). Hosts are pooled: do not keep one beyond the call that got it,
/// keep its request.
pub struct Host {
    /// The request; none at the master's start, in a worker's start and end, and in timers.
    pub request: Option<Rc<Request>>,
    /// The worker; none in the master.
    pub worker: Option<Rc<Worker>>,
    /// The worker's sockets; none in the master.
    pub hub: Option<Rc<Hub>>,
    /// Settings and worker-wide state of Lua.
    pub runtime: Rc<Runtime>,
    /// The virtual machine that runs the code.
    pub machine: Rc<Machine>,
    /// Variables that code has asked for.
    pub names: Rc<Names<Request>>,
    /// Numbers of `ngx.ctx` tables.
    pub slots: Rc<Slots>,
    /// Lua's state of the request, or of this run where there is no request.
    pub state: Rc<State>,
    /// Whose settings hold where there is no request: the location that made a timer.
    pub location: Option<Rc<Location>>,
    /// The error log where there is no request.
    pub log: ErrorLog,
    /// The client whose request led here, where there is no request (timers).
    pub origin: Option<Origin>,
    /// Output being put together; reused from call to call.
    pub scratch: RefCell<Vec<u8>>,
    /// `ngx.arg` of `set_by_lua*`.
    pub arguments: RefCell<Vec<Vec<u8>>>,
    /// `ngx.arg` of `body_filter_by_lua*`.
    pub body: RefCell<Chain>,
}

impl Host {
    /// A host without a request.
    pub fn without_request(runtime: Rc<Runtime>, machine: Rc<Machine>, worker: Option<Rc<Worker>>, log: ErrorLog) -> Host {
        Host {
            request: None,
            hub: worker.as_deref().map(Self::hub_of),
            worker,
            names: runtime.state::<Names<Request>>(),
            slots: runtime.state::<Slots>(),
            runtime,
            machine,
            state: Rc::default(),
            location: None,
            log,
            origin: None,
            scratch: RefCell::default(),
            arguments: RefCell::default(),
            body: RefCell::default(),
        }
    }

    /// `, client: ADDRESS, server: ADDRESS` of the origin, for log lines.
    pub fn origin_text(&self) -> String {
        let Some(origin) = &self.origin else { return String::new() };
        let mut client = Vec::new();
        origin.client.push_host(&mut client);
        let mut text = format!(", client: {}", String::from_utf8_lossy(&client));
        let http = self.worker.as_ref().map(|worker| worker.http());
        if let Some(listen) = http.as_ref().and_then(|http| http.listening(&origin.connection.local)) {
            let mut name = Vec::new();
            listen.push_whole(&mut name);
            text.push_str(", server: ");
            text.push_str(&String::from_utf8_lossy(&name));
        }
        text
    }

    /// A module's settings: the request's location's, those that a timer was made under, or those of `http` (`init_worker_by_lua*`).
    pub fn conf<T: Config>(&self) -> Rc<T> {
        match (&self.request, &self.location) {
            (Some(request), _) => request.conf::<T>(),
            (None, Some(location)) => location.conf.share::<T>().unwrap_or_default(),
            (None, None) => {
                let http = self.worker.as_ref().map(|worker| worker.http());
                let defaults = http.as_ref().and_then(|http| http.main.get::<Defaults>());
                defaults.and_then(|defaults| defaults.0.share::<T>()).unwrap_or_default()
            }
        }
    }

    /// Whether a line of this level would be written.
    pub fn log_enabled(&self, level: Level) -> bool {
        match &self.request {
            Some(request) => request.log_enabled(level),
            None => self.log.enabled(level),
        }
    }

    /// Writes to the error log, with the request's details if there is one.
    pub fn log(&self, level: Level, message: &[u8], context: &str) {
        match &self.request {
            Some(request) => request.log(level, message),
            None if self.log.enabled(level) => {
                let mut line = message.to_vec();
                if !context.is_empty() && level != Level::Debug {
                    line.extend_from_slice(b", context: ");
                    line.extend_from_slice(context.as_bytes());
                    line.extend_from_slice(self.origin_text().as_bytes());
                }
                self.log.write(level, 0, &line);
            }
            None => {}
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
        Host::log_enabled(self, level)
    }

    fn log(&self, level: Level, message: &[u8], context: &str) {
        Host::log(self, level, message, context);
    }

    fn resources(&self) -> &Rc<Resources> {
        &self.state.common.resources
    }

    /// A subrequest's sockets are no other request's when it has ended.
    fn lasting_resources(&self) -> Rc<Resources> {
        match &self.request {
            Some(request) if !request.is_main() => request.main().context::<State>().common.resources.clone(),
            _ => self.state.common.resources.clone(),
        }
    }

    fn title(&self) -> Option<Vec<u8>> {
        let line = self.request.as_ref()?.line.borrow();
        Some([line.uri.as_slice(), b"?", &line.args].concat())
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
        let (log, origin, location) = match &self.request {
            Some(request) => (request.error_log(), Some(Origin::of(request)), Some(request.location())),
            None => (self.log.clone(), self.origin.clone(), self.location.clone()),
        };
        Box::new(move || {
            let mut host = Host::without_request(runtime.clone(), machine.clone(), worker.clone(), log.clone());
            host.origin.clone_from(&origin);
            host.location.clone_from(&location);
            Rc::new(host)
        })
    }
}

pub use lua_lib::log_context;

impl SessionHost for Host {
    type Session = Request;
    type Worker = Worker;
    type State = State;

    const PREFIX: &'static str = "";

    fn without_session(runtime: Rc<Runtime>, machine: Rc<Machine>, worker: Option<Rc<Worker>>, log: ErrorLog) -> Host {
        Host::without_request(runtime, machine, worker, log)
    }

    fn worker_of(request: &Request) -> &Rc<Worker> {
        &request.worker
    }

    fn hub_of(worker: &Worker) -> Rc<Hub> {
        worker.state::<Hub>()
    }

    fn with_whole<R>(worker: &Worker, see: impl FnOnce(Whole<'_>) -> R) -> R {
        let http = worker.http();
        let defaults = http.main.share::<Defaults>();
        let core = defaults.and_then(|defaults| defaults.0.share::<Core>());
        let log = core.and_then(|core| core.error_log.clone()).unwrap_or_else(|| worker.log.clone());
        see(Whole { main: &http.main, paths: &http.paths, log })
    }

    fn state_of(request: &Request) -> Rc<State> {
        State::of(request)
    }

    fn context<T: Reuse + Default>(request: &Request) -> Rc<T> {
        request.context_reused()
    }

    fn find_context<T: 'static>(request: &Request) -> Option<Rc<T>> {
        request.find_context()
    }

    fn error_log(request: &Request) -> ErrorLog {
        request.error_log()
    }

    #[inline]
    fn enter(&mut self, request: Rc<Request>, machine: Rc<Machine>, state: Rc<State>) {
        (self.request, self.machine, self.state) = (Some(request), machine, state);
    }

    #[inline]
    fn leave(&mut self, blank: &Rc<State>) {
        self.request = None;
        self.state.clone_from(blank);
    }

    fn set_machine(&mut self, machine: Rc<Machine>) {
        self.machine = machine;
    }

    #[inline]
    fn session(&self) -> Option<&Rc<Request>> {
        self.request.as_ref()
    }

    #[inline]
    fn state(&self) -> &Rc<State> {
        &self.state
    }

    #[inline]
    fn names(&self) -> &Names<Request> {
        &self.names
    }

    #[inline]
    fn slots(&self) -> &Rc<Slots> {
        &self.slots
    }

    fn announce(request: &Request, phase: LuaPhase) {
        if !request.purpose.get().is_empty() {
            return;
        }
        let name = match phase.bit {
            bit if bit == LuaPhase::HEADER_FILTER.bit => "header filter",
            bit if bit == LuaPhase::BODY_FILTER.bit => "body filter",
            bit if bit == LuaPhase::SET.bit => return,
            _ => "",
        };
        let uri = String::from_utf8_lossy(&request.line.borrow().uri).into_owned();
        let line = match name {
            "" => format!("lua {} handler, uri:\"{uri}\" c:1", phase.name.trim_end_matches("_by_lua*").replace('_', " ")),
            filter => format!("lua {filter} for user lua code, uri \"{uri}\""),
        };
        request.log(Level::Debug, line.as_bytes());
    }

    fn ended(&self, failed: bool) {
        if let Some(worker) = &self.worker {
            worker.observers.lua_handler_ended(failed);
        }
    }

    fn is_apart(request: &Request) -> bool {
        !request.purpose.get().is_empty()
    }

    fn set_apart(request: &Request, phase: Option<LuaPhase>) {
        // What code left in a handshake is still no client's afterwards.
        if let Some(phase) = phase {
            request.purpose.set(phase.name);
        }
    }

    fn has_upstream(request: &Request) -> bool {
        request.upstream.borrow().is_some()
    }

    fn set_action(request: &Request, action: &'static str) {
        request.action.set(action);
    }
}

/// The host and its request, for rows of the kinds `calls` and `suspends`.
///
/// # Errors
/// `no request found` outside of any run, `API disabled in the current context` where there is no request.
pub fn request(cx: &CallContext) -> Result<(Rc<Host>, Rc<Request>), Raise> {
    host::session::<Host>(cx)
}

/// As [`request`], for fast rows: runs `f`, or leaves the error's text in the output buffer and answers `failed`.
#[inline]
pub fn with_request<R>(cx: &CallContext, failed: R, f: impl FnOnce(&Host, &Rc<Request>) -> R) -> R {
    host::with_session(cx, failed, f)
}
