//! The wire of a subrequest whose answer goes into its parent's body, or nowhere.

use base::log::Level;
use bytes::Bytes;
use http::connection::Wire;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{Chain, Downstream, Method, Piece, Request};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Keeps what a subrequest sends, in order.
pub(crate) struct Collector {
    pieces: RefCell<Vec<Piece>>,
    status: Cell<u16>,
    keep: bool,
}

impl Collector {
    /// Keeps the body.
    pub(crate) fn keeping() -> Rc<Collector> {
        Rc::new(Collector { pieces: RefCell::default(), status: Cell::new(0), keep: true })
    }

    /// Throws the body away (`mirror`).
    pub(crate) fn discarding() -> Rc<Collector> {
        Rc::new(Collector { pieces: RefCell::default(), status: Cell::new(0), keep: false })
    }

    /// The body so far; none is left.
    pub(crate) fn take(&self) -> Vec<Piece> {
        self.pieces.take()
    }

    /// The status of the head that was sent; 0 before.
    pub(crate) fn status(&self) -> u16 {
        self.status.get()
    }
}

impl Downstream for Collector {
    fn write_head(&self, request: &Request) {
        self.status.set(request.response.borrow().status);
    }

    fn write(&self, _: &Request, data: &[u8]) {
        if self.keep {
            self.pieces.borrow_mut().push(Piece::Bytes(Bytes::copy_from_slice(data)));
        }
    }

    fn write_chain(&self, _: &Request, chain: Chain) {
        if self.keep {
            self.pieces.borrow_mut().extend(chain.pieces);
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A subrequest for `uri` with its arguments behind a `?`, on `wire`.
pub(crate) fn subrequest(parent: &Rc<Request>, uri: &[u8], wire: Wire, method: Option<(Method, &[u8])>) -> Option<Rc<Request>> {
    let (path, args) = wire::uri::args::split(uri);
    let what = Subrequest { uri: path, args, method, wire, body: SubrequestBody::Parents, variables: SubrequestVariables::Shared };
    match parent.worker.engine()?.subrequest(parent, what) {
        Ok(child) => Some(child),
        Err(message) => {
            parent.log(Level::Error, message.as_bytes());
            None
        }
    }
}

/// Runs a subrequest for `uri` and waits for its whole body.
pub(crate) async fn fetch(parent: Rc<Request>, uri: Vec<u8>) -> Option<(u16, Vec<Piece>)> {
    let collector = Collector::keeping();
    let child = subrequest(&parent, &uri, collector.clone(), None)?;
    let running = parent.worker.engine()?.run(&child);
    if let Some(running) = running {
        running.await;
    }
    Some((collector.status(), collector.take()))
}
