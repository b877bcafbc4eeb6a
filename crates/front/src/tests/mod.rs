//! Requests and answers of HTTP/1 without a connection: what a head means, and how one is written.

mod arrivals;
mod heads;

use base::log::{ErrorLog, Level, Sink, Target};
use conf::configs::ConfMap;
use http::connection::{Address, Connection};
use http::core::ServerCore;
use http::location::{Locations, Match};
use http::metrics::WorkerCounters;
use http::module::Parts;
use http::root::{Endpoint, Http};
use http::{Complex, Core, Request, Server, Variables, Worker};
use session::names::{ServerName, ServerNames};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A server of this name.
fn server(name: &str, core: Core, limits: ServerCore) -> Rc<Server> {
    let parts = Parts::default();
    let own = parts.into_location(Box::default(), Match::Unnamed, Rc::new(core), ConfMap::default(), Locations::default());
    Rc::new(Server {
        name: name.as_bytes().into(),
        conf: ConfMap::default(),
        core: Rc::new(limits),
        tls: Default::default(),
        own: Rc::new(own),
        locations: Locations::default(),
    })
}

/// An address with these servers, the first of which is its default.
fn endpoint(servers: Vec<Rc<Server>>) -> Endpoint {
    let mut names = ServerNames::default();
    for server in &servers {
        names.add(server, &[ServerName::Exact(server.name.clone())]);
    }
    Endpoint {
        default: servers[0].clone(),
        single: servers.len() == 1,
        names,
        proxy_protocol: false,
        tls: false,
        requested: 0,
        protocols: 0,
    }
}

/// A request that no client waits for, and what was logged.
fn request(server: Rc<Server>) -> (Rc<Request>, Rc<RefCell<String>>) {
    let lines: Rc<RefCell<String>> = Rc::default();
    let to = lines.clone();
    let sink = Sink::Custom(Rc::new(move |_, line| to.borrow_mut().push_str(&String::from_utf8_lossy(line))));
    let log = ErrorLog::new(vec![Target { sink, level: Level::Info }]);
    let http = Rc::new(Http {
        variables: Rc::default(),
        main: ConfMap::default(),
        servers: Vec::new(),
        listens: Vec::new(),
        paths: Rc::default(),
    });
    let worker = Rc::new(Worker::new(0, 1, log, http.clone(), WorkerCounters::alone(), |_| {}));
    let address = Address::Ip(([127, 0, 0, 1], 80).into());
    let connection = Rc::new(Connection {
        id: 1,
        peer: address.clone(),
        local: address,
        requests: Cell::new(1),
        started_ms: base::clock::epoch_ms(),
        tls: RefCell::default(),
        proxy_protocol: RefCell::default(),
    });
    (worker.spare.take_detached(&worker, &http, connection, server), lines)
}

/// A value without variables.
fn complex(text: &str) -> Complex {
    Complex::compile(text.as_bytes(), &mut Variables::default()).unwrap()
}
