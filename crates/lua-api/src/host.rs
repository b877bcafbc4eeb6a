//! What a native function sees: the request, its worker, and the Lua state that belongs to both.

use crate::state::State;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use http::connection::Address;
use http::contexts::Reusable;
use http::root::Defaults;
use http::{Chain, Connection, Core, Location, Request, Worker};
use lua::{CallContext, LuaPhase, PhaseSet, Raise};
use lua_lib::socket::hub::Hub;
use lua_session::protocol::ProtocolConf;
use lua_session::{Protocol, host};
use std::cell::RefCell;
use std::rc::Rc;

pub use lua_lib::log_context;

/// Code that runs for requests.
pub struct Requests;

/// The host context of Lua code (`cx.host::<Host>()`).
pub type Host = lua_session::Host<Requests>;

/// Whose request led to code that runs without one.
#[derive(Clone)]
pub struct Origin {
    /// The client as that request saw it.
    client: Address,
    /// The connection that it came on.
    connection: Rc<Connection>,
    /// Whose settings hold.
    pub location: Rc<Location>,
}

/// `ngx.arg`
#[derive(Default)]
pub struct Arguments {
    /// Of `set_by_lua*`.
    pub values: RefCell<Vec<Vec<u8>>>,
    /// Of `body_filter_by_lua*`.
    pub body: RefCell<Chain>,
}

impl Protocol for Requests {
    type Session = Request;
    type Worker = Worker;
    type State = State;
    type Origin = Origin;
    type Arguments = Arguments;

    const PREFIX: &'static str = "";

    const VARIABLES_IN_HANDSHAKES: bool = false;

    const SERVING: PhaseSet = PhaseSet::of(LuaPhase::REWRITE)
        .with(LuaPhase::SERVER_REWRITE)
        .with(LuaPhase::ACCESS)
        .with(LuaPhase::PRECONTENT)
        .with(LuaPhase::CONTENT);

    fn worker_of(request: &Request) -> &Rc<Worker> {
        &request.worker
    }

    fn common_worker(worker: &Worker) -> &Rc<session::Worker> {
        &worker.common
    }

    fn hub_of(worker: &Worker) -> Rc<Hub> {
        worker.state::<Hub>()
    }

    fn with_whole<R>(worker: &Worker, see: impl FnOnce(ProtocolConf<'_>) -> R) -> R {
        let http = worker.http();
        let log = Self::outermost::<Core>(worker).and_then(|core| core.error_log.clone()).unwrap_or_else(|| worker.log.clone());
        see(ProtocolConf { main: &http.main, paths: &http.paths, log })
    }

    fn outermost<T: Config>(worker: &Worker) -> Option<Rc<T>> {
        worker.http().main.get::<Defaults>()?.0.share()
    }

    fn state_of(request: &Request) -> Rc<State> {
        State::of(request)
    }

    fn whole_state_of(request: &Rc<Request>) -> Option<Rc<State>> {
        (!request.is_main()).then(|| request.main().context())
    }

    fn context<T: Reusable + Default>(request: &Request) -> Rc<T> {
        request.context_reused()
    }

    fn find_context<T: 'static>(request: &Request) -> Option<Rc<T>> {
        request.find_context()
    }

    fn error_log(request: &Request) -> ErrorLog {
        request.error_log()
    }

    fn title(request: &Request) -> Option<Vec<u8>> {
        let line = request.line.borrow();
        Some([line.uri.as_slice(), b"?", &line.args].concat())
    }

    fn origin(request: &Request) -> Origin {
        Origin { client: request.client.borrow().clone(), connection: request.connection.clone(), location: request.location() }
    }

    fn origin_conf<T: Config>(origin: &Origin) -> Rc<T> {
        origin.location.conf.share().unwrap_or_default()
    }

    fn push_origin(origin: &Origin, worker: Option<&Worker>, line: &mut Vec<u8>) {
        line.extend_from_slice(b", client: ");
        origin.client.push_host(line);
        let http = worker.map(Worker::http);
        if let Some(listen) = http.as_ref().and_then(|http| http.listening(&origin.connection.local)) {
            line.extend_from_slice(b", server: ");
            listen.push_whole(line);
        }
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

    fn ended(worker: &Worker, failed: bool) {
        worker.observers.lua_handler_ended(failed);
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

    fn tcp_nodelay(host: &Host) -> bool {
        host.conf::<Core>().tcp_nodelay.unwrap_or(true)
    }
}

/// The host and its request, for rows of the kinds `calls` and `suspends`.
///
/// # Errors
/// `no request found` outside of any run, `API disabled in the current context` where there is no request, as in handshakes.
pub fn request(cx: &CallContext) -> Result<(Rc<Host>, Rc<Request>), Raise> {
    host::client_session(cx)
}

/// As [`request`], for fast rows: runs `f`, or leaves the error's text in the output buffer and returns `failed`.
#[inline]
pub(crate) fn with_request<R>(cx: &CallContext, failed: R, f: impl FnOnce(&Host, &Rc<Request>) -> R) -> R {
    host::with_served(cx, failed, f)
}
