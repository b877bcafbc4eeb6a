//! The wire of a subrequest whose answer goes into its parent's body, or nowhere.

use base::log::Level;
use bytes::Bytes;
use http::connection::Wire;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{BoxFuture, Chain, Downstream, Method, Piece, Request, log_request};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes in memory that a subrequest may be ahead of those who take them.
const AHEAD: u64 = 64 * 1024;

/// Most inclusions within inclusions that one client's request may cost: pages that include themselves never end.
const MAX_NESTED: u32 = 200;

/// Keeps what a subrequest sends, in order.
pub(crate) struct Collector {
    pieces: RefCell<Vec<Piece>>,
    /// Bytes of these in memory.
    held: Cell<u64>,
    status: Cell<u16>,
    keep: bool,
    /// Where they go in the end; the subrequest waits while much is held. `None`: all is kept.
    client: Option<Wire>,
    /// The subrequest that waits.
    waiting: RefCell<Option<Waker>>,
}

impl Collector {
    fn new(keep: bool, client: Option<Wire>) -> Rc<Collector> {
        let (pieces, held, waiting) = (RefCell::default(), Cell::new(0), RefCell::default());
        Rc::new(Collector { pieces, held, status: Cell::new(0), keep, client, waiting })
    }

    /// Keeps the body.
    pub(crate) fn keeping() -> Rc<Collector> {
        Collector::new(true, None)
    }

    /// Throws the body away (`mirror`).
    pub(crate) fn discarding() -> Rc<Collector> {
        Collector::new(false, None)
    }

    /// The body so far; none is left.
    pub(crate) fn take(&self) -> Vec<Piece> {
        self.held.set(0);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
        self.pieces.take()
    }

    /// The status of the head that was sent; 0 before.
    pub(crate) fn status(&self) -> u16 {
        self.status.get()
    }

    fn push(&self, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.held.set(self.held.get() + bytes.len() as u64);
        }
        self.pieces.borrow_mut().push(piece);
    }
}

impl Downstream for Collector {
    fn write_head(&self, request: &Request) {
        self.status.set(request.response.borrow().status);
    }

    fn write(&self, _: &Request, data: &[u8]) {
        if self.keep {
            self.push(Piece::Bytes(Bytes::copy_from_slice(data)));
        }
    }

    fn write_chain(&self, _: &Request, chain: Chain) {
        if self.keep {
            chain.pieces.into_iter().for_each(|piece| self.push(piece));
        }
    }

    fn queued(&self) -> u64 {
        if self.client.is_some() { self.held.get() } else { 0 }
    }

    fn poll_drain(&self, cx: &mut Context<'_>, below: u64) -> Poll<io::Result<()>> {
        if self.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // Who takes the pieces takes all, so that a little more at a time is no gain.
        if self.queued() <= below.max(AHEAD) {
            return Poll::Ready(Ok(()));
        }
        self.waiting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn is_broken(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.is_broken())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A subrequest for a path, in which `?` means nothing, and arguments, on `wire`.
pub(crate) fn subrequest(
    parent: &Rc<Request>,
    (path, args): (&[u8], &[u8]),
    wire: Wire,
    method: Option<(Method, &[u8])>,
) -> Option<Rc<Request>> {
    let what = Subrequest { uri: path, args, method, wire, body: SubrequestBody::Parents, variables: SubrequestVariables::Shared };
    match parent.worker.engine()?.subrequest(parent, what) {
        Ok(child) => Some(child),
        Err(message) => {
            parent.log(Level::Error, message.as_bytes());
            None
        }
    }
}

/// A subrequest whose body goes where its parent's goes, as fast as it is taken there.
pub(crate) struct Included {
    wire: Rc<Collector>,
    running: Option<BoxFuture<()>>,
}

/// How many inclusions within inclusions a client's request has cost.
#[derive(Default)]
struct Nested(Cell<u32>);

impl Included {
    /// Starts a subrequest for a path and arguments; what goes wrong is logged.
    pub(crate) fn start(parent: &Rc<Request>, target: (&[u8], &[u8])) -> Option<Included> {
        if !parent.is_main() && !may_nest(parent) {
            let uri = String::from_utf8_lossy(target.0);
            log_request!(parent, Level::Error, "subrequests cycle while processing \"{uri}\"");
            return None;
        }
        let wire = Collector::new(true, Some(parent.wire.clone()));
        let child = subrequest(parent, target, wire.clone(), None)?;
        let running = parent.worker.engine()?.run(&child);
        Some(Included { wire, running })
    }

    /// Runs the parent's content once more in a request of its own, which `prepare` gets before.
    pub(crate) fn again(parent: &Rc<Request>, prepare: impl FnOnce(&Rc<Request>)) -> Option<Included> {
        let content = parent.with_location(|location| location.content.clone())?;
        let wire = Collector::new(true, Some(parent.wire.clone()));
        let child = {
            let line = parent.line.borrow();
            let method = Some((line.method, &*line.method_name));
            let (body, variables) = (SubrequestBody::Parents, SubrequestVariables::Shared);
            Rc::new(Request::child(parent, Subrequest { uri: &line.uri, args: &line.args, method, wire: wire.clone(), body, variables }))
        };
        child.line.borrow_mut().copy_from(&parent.line.borrow());
        child.flags.internal.set(parent.flags.internal.get());
        child.set_location(parent.location());
        prepare(&child);
        let step = content(&child);
        let running: BoxFuture<()> = Box::pin(async move {
            step.finish().await;
            child.run_cleanups();
        });
        Some(Included { wire, running: Some(running) })
    }

    /// The next pieces of the body; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Vec<Piece>> {
        poll_fn(|cx| {
            loop {
                let pieces = self.wire.take();
                if !pieces.is_empty() {
                    return Poll::Ready(Some(pieces));
                }
                let Some(running) = &mut self.running else { return Poll::Ready(None) };
                let ended = running.as_mut().poll(cx).is_ready();
                if ended {
                    self.running = None;
                } else if self.wire.pieces.borrow().is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// As [`Collector::status`].
    pub(crate) fn status(&self) -> u16 {
        self.wire.status()
    }

    /// The rest of the body.
    pub(crate) async fn whole(mut self) -> (u16, Vec<Piece>) {
        let mut all = Vec::new();
        while let Some(pieces) = self.next().await {
            all.extend(pieces);
        }
        (self.status(), all)
    }
}

/// Counts an inclusion within an inclusion; false: there were too many.
fn may_nest(parent: &Rc<Request>) -> bool {
    let main = parent.main();
    let nested = main.find_lasting::<Nested>().unwrap_or_else(|| {
        let made = Rc::new(Nested::default());
        main.set_lasting(made.clone());
        made
    });
    nested.0.set(nested.0.get().saturating_add(1));
    nested.0.get() <= MAX_NESTED
}
