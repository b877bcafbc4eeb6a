//! A request: one value from its first byte to its log line, whatever protocol brought it.

mod contexts;
mod subrequest;

use crate::Cache;
use crate::body::{Body, BodyState};
use crate::connection::{Address, Connection, Transport};
use crate::headers::Headers;
use crate::line::{Line, Version};
use crate::location::{Location, Server};
use crate::method::Method;
use crate::response::Response;
use crate::root::Http;
use crate::withheld_header::WithheldHeader;
use crate::worker::Worker;
use base::clock::{self, Now};
use base::log::{ErrorLog, Level};
use session::client::write_log;
use session::contexts::Contexts;
use session::{Outcome, Step};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Where a request goes on after a handler answered [`Outcome::Done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Internal redirect: new URI and arguments, from server-rewrite on.
    Internal {
        /// Path, normalised.
        uri: Vec<u8>,
        /// Query string.
        args: Vec<u8>,
    },
    /// To `@name` (without the `@`), from its rewrite phase on.
    Named(Vec<u8>),
}

pub use crate::flags::Flags;
pub use subrequest::{Subrequest, SubrequestBody, SubrequestVariables};

/// [`Request::purpose`] of a request that asks whether a server is well; which one says [`Request::upstream_for_log`].
pub const HEALTH_CHECK: &str = "health check";

/// Most URI changes (rewrites, internal redirects, named jumps) of one request.
pub(crate) const MAX_URI_CHANGES: u8 = 10;
/// Deepest nesting of subrequests.
pub const MAX_SUBREQUEST_DEPTH: u8 = 50;

/// Where the phase engine stands.
#[derive(Debug, Default)]
pub struct Progress {
    /// URI changes left.
    pub uri_changes: Cell<u8>,
    /// A rewrite changed the URI: search the location again.
    pub uri_changed: Cell<bool>,
    /// Set by [`Request::jump`].
    pub jump: RefCell<Option<Jump>>,
    /// 401 or 403 kept back by `satisfy any`.
    pub access_code: Cell<u16>,
}

type Cleanup = Box<dyn FnOnce(&Rc<Request>)>;

/// A request. Always behind an `Rc`; its parts are borrowed for as short as possible and never across a wait.
pub struct Request {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// The configuration that it began with; the worker may have a newer one before it ends.
    pub http: Rc<Http>,
    /// The connection that it came on.
    pub connection: Rc<Connection>,
    /// `$remote_addr`: the connection's peer, or the client behind it (realip).
    pub client: RefCell<Address>,
    /// `$connection_requests`: the how-manieth request of its connection it is.
    pub number: Cell<u64>,
    /// The way to the client.
    pub wire: Transport,
    /// The request that this one is a subrequest of.
    pub parent: Option<Rc<Request>>,
    /// Nesting of subrequests; 0 is a client's request.
    pub depth: u8,
    server: RefCell<Rc<Server>>,
    location: RefCell<Rc<Location>>,
    /// The content handler that find-config chose.
    pub content: RefCell<Option<ContentHandler>>,
    /// Request line.
    pub line: RefCell<Line>,
    /// Request header fields.
    pub headers: RefCell<Headers>,
    /// Response head.
    pub response: RefCell<Response>,
    /// Request body.
    pub body: RefCell<Rc<Body>>,
    cache: Rc<Cache>,
    contexts: Contexts,
    lasting: RefCell<Vec<Rc<dyn Any>>>,
    cleanups: RefCell<Vec<Cleanup>>,
    /// Single bits.
    pub flags: Flags,
    /// State of the phase engine.
    pub progress: Progress,
    /// Marks of the body filters that this response needs.
    pub body_filters_on: Cell<u32>,
    pub(crate) withheld_header: Cell<WithheldHeader>,
    /// Names of the upstreams tried, for the log (`$upstream_addr`'s last).
    pub upstream_for_log: RefCell<Vec<u8>>,
    /// The upstream group that it is passed to, or was.
    pub upstream: RefCell<Option<Rc<str>>>,
    /// Bytes sent to the client, head included.
    pub bytes_sent: Cell<u64>,
    /// Bytes of the response head.
    pub header_size: Cell<u64>,
    /// Bytes received: head and body.
    pub request_length: Cell<u64>,
    /// Status of an error that led to an error page.
    pub error_status: Cell<u16>,
    /// When the first byte came.
    pub started: Cell<Now>,
    /// What the server was doing, for the log (`while ...`).
    pub action: Cell<&'static str>,
    /// What code that no client waits for runs in it, for the log (`context: ...`); empty for a client's request.
    pub purpose: Cell<&'static str>,
    /// `$limit_rate` as assigned, bytes a second; `None` follows the configuration.
    pub limit_rate: Cell<Option<u64>>,
}

/// The handler that makes a location's content.
pub type ContentHandler = Rc<dyn Fn(&Rc<Request>) -> Step>;

impl Request {
    /// A request on `connection`, before its head is known.
    pub fn new(worker: Rc<Worker>, http: Rc<Http>, connection: Rc<Connection>, wire: Transport, server: Rc<Server>) -> Request {
        let cache = Rc::new(Cache::new(http.variables.clone()));
        Request::assemble(worker, http, connection, wire, server, cache)
    }

    fn assemble(
        worker: Rc<Worker>,
        http: Rc<Http>,
        connection: Rc<Connection>,
        wire: Transport,
        server: Rc<Server>,
        cache: Rc<Cache>,
    ) -> Request {
        let location = server.own.clone();
        let request = Request {
            worker,
            http,
            client: RefCell::new(connection.peer.clone()),
            number: Cell::new(connection.requests.get()),
            connection,
            wire,
            parent: None,
            depth: 0,
            server: RefCell::new(server),
            location: RefCell::new(location),
            content: RefCell::default(),
            line: RefCell::default(),
            headers: RefCell::default(),
            response: RefCell::default(),
            body: RefCell::new(Rc::new(Body::none())),
            cache,
            contexts: Contexts::default(),
            lasting: RefCell::default(),
            cleanups: RefCell::default(),
            flags: Flags::default(),
            progress: Progress::default(),
            body_filters_on: Cell::new(0),
            withheld_header: Cell::default(),
            upstream_for_log: RefCell::default(),
            upstream: RefCell::default(),
            bytes_sent: Cell::new(0),
            header_size: Cell::new(0),
            request_length: Cell::new(0),
            error_status: Cell::new(0),
            started: Cell::new(clock::now()),
            action: Cell::new(""),
            purpose: Cell::new(""),
            limit_rate: Cell::new(None),
        };
        request.line.borrow_mut().clear();
        request.progress.uri_changes.set(MAX_URI_CHANGES + 1);
        request
    }

    /// Gives a vacated request to a connection.
    pub fn assign(&mut self, connection: Rc<Connection>, wire: Transport, server: Rc<Server>) {
        self.client.get_mut().clone_from(&connection.peer);
        self.number.set(connection.requests.get());
        self.connection = connection;
        self.wire = wire;
        *self.location.get_mut() = server.own.clone();
        *self.server.get_mut() = server;
        self.started.set(clock::now());
    }

    /// Forgets everything about a finished request, keeping its memory, and lets go of its connection.
    pub(crate) fn vacate(&mut self, connection: Rc<Connection>, wire: Transport) {
        self.connection = connection;
        self.wire = wire;
        *self.content.get_mut() = None;
        self.line.get_mut().clear();
        self.headers.get_mut().clear();
        self.response.get_mut().clear();
        self.parent = None;
        self.depth = 0;
        match Rc::get_mut(self.body.get_mut()).filter(|body| body.is_none()) {
            Some(body) => body.set_state(BodyState::Read),
            None => *self.body.get_mut() = Rc::new(Body::none()),
        }
        match Rc::get_mut(&mut self.cache) {
            Some(own) => own.reset(),
            // A subrequest that shared its parent's.
            None => self.cache = Rc::new(Cache::new(self.http.variables.clone())),
        }
        self.contexts.clear();
        self.lasting.get_mut().clear();
        self.cleanups.get_mut().clear();
        self.flags = Flags::default();
        self.body_filters_on.set(0);
        self.withheld_header.set(WithheldHeader::None);
        self.progress.uri_changes.set(MAX_URI_CHANGES + 1);
        self.progress.uri_changed.set(false);
        self.progress.access_code.set(0);
        *self.progress.jump.get_mut() = None;
        self.upstream_for_log.get_mut().clear();
        *self.upstream.get_mut() = None;
        for counter in [&self.bytes_sent, &self.header_size, &self.request_length] {
            counter.set(0);
        }
        self.error_status.set(0);
        self.action.set("");
        self.purpose.set("");
        self.limit_rate.set(None);
    }

    /// The server that was selected by `Host` or SNI.
    pub fn server(&self) -> Rc<Server> {
        self.server.borrow().clone()
    }

    /// Chooses the server (by host) and enters its own values.
    pub fn set_server(&self, server: Rc<Server>) {
        self.location.replace(server.own.clone());
        self.server.replace(server);
    }

    /// The location, or the server's own values before one is found.
    pub fn location(&self) -> Rc<Location> {
        self.location.borrow().clone()
    }

    /// Runs `f` on the location without touching its count.
    #[inline]
    pub fn with_location<R>(&self, f: impl FnOnce(&Location) -> R) -> R {
        f(&self.location.borrow())
    }

    /// Enters a location; its content handler, if it has one, takes the place of an earlier choice.
    pub fn set_location(&self, location: Rc<Location>) {
        if location.content.is_some() {
            self.content.replace(location.content.clone());
        }
        self.location.replace(location);
    }

    /// The location's value of type `T`.
    pub fn conf<T: conf::scope::Config>(&self) -> Rc<T> {
        self.location.borrow().conf.share::<T>().unwrap_or_default()
    }

    /// Core values of the location.
    pub fn core(&self) -> Rc<crate::core::Core> {
        self.location.borrow().core.clone()
    }

    #[inline]
    pub(crate) fn variable_cache(&self) -> &Cache {
        &self.cache
    }

    /// Asks to go on elsewhere: a handler returns what this returns.
    pub fn jump(&self, jump: Jump) -> Outcome {
        self.progress.jump.replace(Some(jump));
        Outcome::Done
    }

    /// The client's request at the root of subrequests.
    pub fn main(self: &Rc<Request>) -> Rc<Request> {
        let mut at = self;
        while let Some(parent) = &at.parent {
            at = parent;
        }
        at.clone()
    }

    /// Whether this is a client's request, not a subrequest.
    pub fn is_main(&self) -> bool {
        self.parent.is_none()
    }

    /// Method as a bit.
    pub fn method(&self) -> Method {
        self.line.borrow().method
    }

    /// Counts `count` bytes of the body as they came, in chunks or not.
    pub fn note_received(&self, count: u64) {
        self.request_length.set(self.request_length.get() + count);
    }

    /// The version of HTTP that the client speaks.
    pub fn version(&self) -> Version {
        self.line.borrow().version
    }

    /// The error log in force here.
    pub fn error_log(&self) -> ErrorLog {
        self.location.borrow().core.error_log.clone().unwrap_or_else(|| self.worker.log.clone())
    }

    /// Whether a line of this level would be written.
    #[inline]
    pub fn log_enabled(&self, level: Level) -> bool {
        match &self.location.borrow().core.error_log {
            Some(log) => log.enabled(level),
            None => self.worker.log.enabled(level),
        }
    }

    /// Writes to the error log with the request's details after the message, which debug lines do without.
    pub fn log(&self, level: Level, message: &[u8]) {
        if self.log_enabled(level) {
            write_log(&self.error_log(), self.connection.id, level, message, |line| self.push_log_context(line));
        }
    }
}
