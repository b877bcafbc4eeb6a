//! A pool of requests, last in, first out, so that the memory of one serves many.

use crate::chain::Chain;
use crate::connection::{Address, BodyError, BodyRead, Connection, Downstream, Transport};
use crate::location::Server;
use crate::request::{Request, Subrequest};
use crate::root::Http;
use crate::worker::Worker;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Most requests that are kept.
const KEPT: usize = 64;

/// Requests that wait for their next use.
pub struct RequestPool {
    idle: RefCell<Vec<Rc<Request>>>,
    detached: Rc<Connection>,
    no_wire: Rc<NoConnection>,
}

impl Default for RequestPool {
    fn default() -> Self {
        let address = Address::Unix(None);
        let detached = Connection {
            id: 0,
            peer: address.clone(),
            local: address,
            requests: Cell::new(0),
            started_ms: 0,
            tls: RefCell::default(),
            proxy_protocol: RefCell::default(),
        };
        RequestPool { idle: RefCell::default(), detached: Rc::new(detached), no_wire: Rc::new(NoConnection) }
    }
}

impl RequestPool {
    /// A client's request on `connection` under the configuration `http`, recycled if one is at hand. `worker` is the one that
    /// has this value.
    pub fn take(
        &self,
        worker: &Rc<Worker>,
        http: &Rc<Http>,
        connection: Rc<Connection>,
        wire: Transport,
        server: Rc<Server>,
    ) -> Rc<Request> {
        if let Some(mut request) = self.idle(http)
            && let Some(own) = Rc::get_mut(&mut request)
        {
            own.assign(connection, wire, server);
            return request;
        }
        Rc::new(Request::new(worker.clone(), http.clone(), connection, wire, server))
    }

    /// A request without a client, for code that runs independently of a connection.
    pub fn take_detached(&self, worker: &Rc<Worker>, http: &Rc<Http>, connection: Rc<Connection>, server: Rc<Server>) -> Rc<Request> {
        self.take(worker, http, connection, self.no_wire.clone(), server)
    }

    /// A request that waits; those of another configuration have no use any more.
    fn idle(&self, http: &Rc<Http>) -> Option<Rc<Request>> {
        self.idle.borrow_mut().pop().filter(|request| Rc::ptr_eq(&request.http, http))
    }

    /// A subrequest, recycled if one is at hand.
    pub fn take_child(&self, parent: &Rc<Request>, what: Subrequest<'_>) -> Rc<Request> {
        if let Some(mut request) = self.idle(&parent.http)
            && let Some(own) = Rc::get_mut(&mut request)
        {
            own.init_subrequest(parent, what);
            return request;
        }
        Rc::new(Request::child(parent, what))
    }

    /// Lets go of the requests that wait.
    pub fn clear(&self) {
        self.idle.take();
    }

    /// Takes a finished request back, unless it is still referenced.
    pub fn put(&self, mut request: Rc<Request>) {
        let Some(own) = Rc::get_mut(&mut request) else { return };
        // Requests hold their worker, which must be able to go.
        if own.worker.exiting.get() {
            return;
        }
        own.vacate(self.detached.clone(), self.no_wire.clone());
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT {
            idle.push(request);
        }
    }
}

/// The wire of a request without a connection.
struct NoConnection;

impl Downstream for NoConnection {
    fn write_head(&self, _: &Request) {}
    fn write(&self, _: &Request, _: &[u8]) {}
    fn write_chain(&self, _: &Request, _: Chain) {}

    fn poll_drain(&self, _: &mut Context<'_>, _: u64) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_body(&self, _: &mut Context<'_>, _: &Request, _: &mut Vec<u8>, _: usize) -> Poll<Result<BodyRead, BodyError>> {
        Poll::Ready(Err(BodyError::Closed))
    }

    fn poll_gone(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
