//! A session: one client of `stream` from its first byte to its log line, over TCP, a unix socket or UDP.

use crate::core::Core;
use crate::downstream::Downstream;
use crate::{configuration, server, worker};
use base::clock::{self, Now};
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use net::deadline::{Deadlines, Limit};
use session::address::Address;
use session::client::write_log;
use session::contexts::Contexts;
use session::variable::Cache;
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// One worker process that serves sessions.
pub type Worker = worker::Worker<Session>;
/// The whole of `stream { }`.
pub type Configuration = configuration::Configuration<Session>;
/// The servers that share a listening address.
pub type Endpoint = configuration::Endpoint<Session>;
/// The endpoints of one listening socket.
pub type Listen = configuration::Listen<Session>;
/// A `server { }` in `stream`.
pub type Server = server::Server<Session>;
/// A handler of the preread phase with its place in the order of modules.
pub type PrereadHandler = server::PrereadHandler<Session>;
/// What is known of a session's connection. A session over UDP has one too.
pub type Connection = session::connection::Connection<Server>;

/// How sessions end: what handlers answer with [`session::Outcome::Status`], and `$status`.
pub mod status {
    /// The connection went on to another listener, which logs it.
    pub const PASSED: u16 = 0;
    /// `$status` of a session that ended without an error.
    pub const OK: u16 = 200;
    /// What the client sent could not be understood.
    pub const BAD_REQUEST: u16 = 400;
    /// `$status` where access was forbidden.
    pub const FORBIDDEN: u16 = 403;
    /// `$status` where the server itself failed.
    pub const INTERNAL_SERVER_ERROR: u16 = 500;
    /// The server that the session is passed to could not be reached.
    pub const BAD_GATEWAY: u16 = 502;
    /// `$status` where a limit such as `limit_conn` refused the session.
    pub const SERVICE_UNAVAILABLE: u16 = 503;
}

/// [`Session::code`] of a session that asks whether a server is well; which one says its [`Session::log_tail`].
pub const HEALTH_CHECK: &str = "health check";

/// What the log says behind client and server.
pub(crate) type LogTail = Rc<dyn Fn(&Session, &mut Vec<u8>)>;

type Cleanup = Box<dyn FnOnce(&Rc<Session>)>;

/// What is known of a client before there is a session.
pub struct Arrival {
    /// The connection.
    pub connection: Rc<Connection>,
    /// Address of the listening socket.
    pub listener: Address,
    /// What answers there.
    pub endpoint: Rc<Endpoint>,
    /// The bytes both ways.
    pub downstream: Downstream,
    /// How often the connection was passed on before (`pass`).
    pub passes: u8,
    /// What has been read of them: the datagram that began it, or what somebody looked at who passed the connection on.
    pub first: Option<Vec<u8>>,
}

/// A session. Always behind an `Rc`; its parts are borrowed for as short as possible and never across a wait.
pub struct Session {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// The configuration that it began with; the worker may have a newer one before it ends.
    pub configuration: Rc<Configuration>,
    /// The connection that it came on.
    pub connection: Rc<Connection>,
    /// `$remote_addr`: the connection's peer, or the client behind it (realip).
    pub client: RefCell<Address>,
    /// Address of the listening socket.
    pub listener: Address,
    /// The servers behind the address that it came to.
    pub endpoint: Rc<Endpoint>,
    /// The way to the client.
    pub downstream: Downstream,
    /// How often the connection was passed on before (`pass`).
    pub passes: u8,
    /// `$bytes_received`
    pub received: Cell<u64>,
    /// `$bytes_sent`
    pub sent: Cell<u64>,
    /// `$status`; 0 until the session ends.
    pub status: Cell<u16>,
    /// When it began.
    pub started: Now,
    /// What the server is doing, for the log (`while ...`).
    pub action: Cell<&'static str>,
    /// The code that runs in a handshake, for the log (`context: …`); it takes the place of what the server is doing.
    pub code: Cell<&'static str>,
    /// What the log says behind client and server, such as the upstream server.
    pub log_tail: RefCell<Option<LogTail>>,
    server: RefCell<Rc<Server>>,
    /// What was read ahead and not used. A datagram may be empty.
    buffer: RefCell<Option<Vec<u8>>>,
    /// How much of it may be looked at.
    visible: Cell<usize>,
    cache: Cache<Session>,
    contexts: Contexts,
    cleanups: RefCell<Vec<Cleanup>>,
}

impl Session {
    /// A session that has just come.
    pub fn new(worker: Rc<Worker>, configuration: Rc<Configuration>, arrival: Arrival) -> Session {
        let Arrival { connection, listener, endpoint, downstream, passes, first } = arrival;
        Session {
            worker,
            client: RefCell::new(connection.peer.clone()),
            connection,
            listener,
            downstream,
            passes,
            received: Cell::new(first.as_ref().map_or(0, |first| first.len() as u64)),
            sent: Cell::new(0),
            status: Cell::new(0),
            started: clock::now(),
            action: Cell::new("initializing session"),
            code: Cell::new(""),
            log_tail: RefCell::default(),
            server: RefCell::new(endpoint.default.clone()),
            endpoint,
            buffer: RefCell::new(first),
            visible: Cell::new(usize::MAX),
            cache: Cache::new(configuration.variables.clone()),
            configuration,
            contexts: Contexts::default(),
            cleanups: RefCell::default(),
        }
    }

    /// The server that the session is in; SNI may select another.
    pub fn server(&self) -> Rc<Server> {
        self.server.borrow().clone()
    }

    /// Chooses another server of the same address.
    pub fn set_server(&self, server: Rc<Server>) {
        self.server.replace(server);
    }

    /// Chooses the server called `host` (lower-case, without port), if the address has one of that name (`ngx_stream_find_virtual_server`).
    pub fn choose_server(&self, host: &[u8]) {
        if self.endpoint.single {
            return;
        }
        if let Some(found) = self.endpoint.names.find(host, |regex| regex.exec(self, host)) {
            self.set_server(found);
        }
    }

    /// Core values of the server.
    pub fn core(&self) -> Rc<Core> {
        self.server.borrow().core.clone()
    }

    /// The server's value of type `T`.
    pub fn conf<T: Config>(&self) -> Rc<T> {
        self.server.borrow().conf()
    }

    /// The value of type `T` of `stream`.
    pub fn main_conf<T: Config>(&self) -> Rc<T> {
        self.configuration.main.share::<T>().unwrap_or_default()
    }

    /// The module context of type `T`, made from `Default` on first use.
    pub fn context<T: Default + 'static>(&self) -> Rc<T> {
        self.contexts.find().unwrap_or_else(|| self.contexts.add(Rc::new(T::default()), None))
    }

    /// The module context of type `T`, if there is one.
    pub fn find_context<T: 'static>(&self) -> Option<Rc<T>> {
        self.contexts.find_live()
    }

    /// Stores a module context, replacing one of the same type.
    pub fn set_context<T: 'static>(&self, value: Rc<T>) {
        self.contexts.remove::<T>();
        self.contexts.add(value, None);
    }

    /// Registers what must happen when the session ends, in reverse order of registration.
    pub fn on_end(&self, f: impl FnOnce(&Rc<Session>) + 'static) {
        self.cleanups.borrow_mut().push(Box::new(f));
    }

    /// Runs and forgets what [`Session::on_end`] registered.
    pub fn run_cleanups(self: &Rc<Session>) {
        loop {
            let Some(f) = self.cleanups.borrow_mut().pop() else { return };
            f(self);
        }
    }

    /// The bytes that were read ahead: what handlers of the preread phase look at, and what is passed on first.
    pub fn preread(&self) -> Ref<'_, [u8]> {
        Ref::map(self.buffer.borrow(), |buffer| {
            let buffer = buffer.as_deref().unwrap_or_default();
            buffer.get(..self.visible.get()).unwrap_or(buffer)
        })
    }

    /// All bytes that were read ahead, however many of them [`Session::preread`] shows.
    pub fn unread(&self) -> Ref<'_, [u8]> {
        Ref::map(self.buffer.borrow(), |buffer| buffer.as_deref().unwrap_or_default())
    }

    /// Says how many of the bytes that were read ahead [`Session::preread`] shows (`preread_buffer_size`).
    pub fn show_preread(&self, most: usize) {
        self.visible.set(most);
    }

    /// Takes what was read ahead; `None`: nothing was.
    pub fn take_preread(&self) -> Option<Vec<u8>> {
        let is_udp = self.is_udp();
        self.buffer.take().filter(|buffer| is_udp || !buffer.is_empty())
    }

    /// Uses up the first bytes of what was read ahead.
    pub fn skip_preread(&self, count: usize) {
        if let Some(buffer) = &mut *self.buffer.borrow_mut() {
            let count = count.min(buffer.len());
            buffer.drain(..count);
        }
    }

    /// Puts bytes before those that are read next, as if they had been read ahead.
    pub(crate) fn put_preread(&self, bytes: Vec<u8>) {
        self.buffer.replace(Some(bytes));
    }

    /// Milliseconds since it began: `$session_time`.
    pub fn elapsed_ms(&self) -> u64 {
        clock::now().epoch_ms().saturating_sub(self.started.epoch_ms())
    }

    /// A time limit that begins now.
    pub fn limit(&self, milliseconds: u64) -> Limit {
        let deadlines = self.worker.state::<Deadlines>();
        if let Some(task) = deadlines.maintain() {
            self.worker.spawn(Box::pin(task));
        }
        deadlines.limit(Duration::from_millis(milliseconds))
    }

    #[inline]
    pub(crate) fn variable_cache(&self) -> &Cache<Session> {
        &self.cache
    }

    /// The error log in force here.
    pub fn error_log(&self) -> ErrorLog {
        self.server.borrow().core.error_log.clone().unwrap_or_else(|| self.worker.log.clone())
    }

    /// Whether a line of this level would be written.
    pub fn log_enabled(&self, level: Level) -> bool {
        match &self.server.borrow().core.error_log {
            Some(log) => log.enabled(level),
            None => self.worker.log.enabled(level),
        }
    }

    /// Writes to the error log with the session's details after the message, which debug lines do without.
    pub fn log(&self, level: Level, message: &[u8]) {
        if self.log_enabled(level) {
            write_log(&self.error_log(), self.connection.id, level, message, |line| self.push_log_context(line));
        }
    }
}
