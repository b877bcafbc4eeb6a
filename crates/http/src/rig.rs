//! Requests without a server around them, for the tests of this crate and of those that run requests.

use crate::connection::{Address, Connection, Downstream};
use crate::core::{Core, ServerCore};
use crate::location::{Location, Locations, Match, Server};
use crate::method::Method;
use crate::metrics::WorkerCounters;
use crate::module::Parts;
use crate::request::Request;
use crate::root::{Http, Paths};
use crate::worker::Worker;
use base::log::{ErrorLog, Level, Sink, Target};
use conf::configs::ConfMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A worker of an empty configuration.
pub struct Rig {
    /// The configuration.
    pub http: Rc<Http>,
    /// The worker; it has no engine.
    pub worker: Rc<Worker>,
    /// What was logged, from the level `info` on.
    pub lines: Rc<RefCell<String>>,
}

impl Default for Rig {
    fn default() -> Self {
        Rig::new(Paths::default())
    }
}

impl Rig {
    /// A worker whose relative paths begin there.
    #[must_use]
    pub fn new(paths: Paths) -> Rig {
        let lines: Rc<RefCell<String>> = Rc::default();
        let to = lines.clone();
        let sink = Sink::Custom(Rc::new(move |_, line| to.borrow_mut().push_str(&String::from_utf8_lossy(line))));
        let log = ErrorLog::new(vec![Target { sink, level: Level::Info }]);
        let http = Rc::new(Http {
            variables: Rc::default(),
            main: ConfMap::default(),
            servers: Vec::new(),
            listens: Vec::new(),
            paths: Rc::new(paths),
        });
        let worker = Rc::new(Worker::new(0, 1, log, http.clone(), WorkerCounters::unshared(), |_| {}));
        Rig { http, worker, lines }
    }

    /// `GET /` over a connection to 127.0.0.1:80.
    pub fn request(&self, client: Rc<dyn Downstream>, server: Rc<Server>) -> Rc<Request> {
        self.request_over(connection(Address::Ip(([127, 0, 0, 1], 80).into())), client, server)
    }

    /// `GET /` over this connection.
    pub fn request_over(&self, connection: Connection, client: Rc<dyn Downstream>, server: Rc<Server>) -> Rc<Request> {
        let request = Rc::new(Request::new(self.worker.clone(), self.http.clone(), Rc::new(connection), client, server));
        {
            let mut line = request.line.borrow_mut();
            line.method = Method::GET;
            line.method_name = b"GET".to_vec();
            line.uri = b"/".to_vec();
        }
        request
    }
}

/// A client's first connection, from 127.0.0.1:1000 to `local`.
#[must_use]
pub fn connection(local: Address) -> Connection {
    Connection {
        id: 1,
        peer: Address::Ip(([127, 0, 0, 1], 1000).into()),
        local,
        requests: Cell::new(1),
        started_ms: base::clock::epoch_ms(),
        tls: RefCell::default(),
        proxy_protocol: RefCell::default(),
    }
}

/// A location with these handlers and filters, and no others inside.
#[must_use]
pub fn location(name: &str, kind: Match, core: Core, parts: Parts) -> Rc<Location> {
    Rc::new(parts.into_location(name.as_bytes().into(), kind, Rc::new(core), ConfMap::default(), Locations::default()))
}

/// A server that behaves like its `own` location where none of `locations` fits.
#[must_use]
pub fn server(name: &str, core: ServerCore, own: Rc<Location>, locations: Locations) -> Rc<Server> {
    Rc::new(Server { name: name.as_bytes().into(), conf: ConfMap::default(), core: Rc::new(core), tls: Default::default(), own, locations })
}
