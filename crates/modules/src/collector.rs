//! The wire of a subrequest whose response is added to its parent's body, or dropped.

use crate::background::BackgroundTask;
use base::log::Level;
use bytes::Bytes;
use http::connection::Transport;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{BoxFuture, Chain, Downstream, Method, Piece, Request, Step, Worker, log_request};
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
    size: Cell<u64>,
    status: Cell<u16>,
    collect: bool,
    /// Where they go in the end; the subrequest waits while much is held. `None`: all is kept.
    client: Option<Transport>,
    /// The subrequest that waits.
    waiting: RefCell<Option<Waker>>,
    /// Who waits for pieces of a subrequest that is driven apart from it.
    reader: RefCell<Option<Waker>>,
    /// The subrequest is driven apart from who reads its pieces.
    apart: Cell<bool>,
    /// It wants to know when the client has gone.
    watched: Cell<bool>,
}

impl Collector {
    fn new(keep: bool, client: Option<Transport>) -> Rc<Collector> {
        Rc::new(Collector {
            pieces: RefCell::default(),
            size: Cell::new(0),
            status: Cell::new(0),
            collect: keep,
            client,
            waiting: RefCell::default(),
            reader: RefCell::default(),
            apart: Cell::new(false),
            watched: Cell::new(false),
        })
    }

    /// Keeps the body.
    pub(crate) fn collecting() -> Rc<Collector> {
        Collector::new(true, None)
    }

    /// Throws the body away (`mirror`).
    pub(crate) fn discarding() -> Rc<Collector> {
        Collector::new(false, None)
    }

    /// The body so far; none is left.
    pub(crate) fn take(&self) -> Vec<Piece> {
        self.size.set(0);
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
            self.size.set(self.size.get() + bytes.len() as u64);
        }
        self.pieces.borrow_mut().push(piece);
        self.wake_reader();
    }

    fn wake_reader(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

impl Downstream for Collector {
    fn write_head(&self, request: &Request) {
        self.status.set(request.response.borrow().status);
    }

    fn write(&self, _: &Request, data: &[u8]) {
        if self.collect {
            self.push(Piece::Bytes(Bytes::copy_from_slice(data)));
        }
    }

    fn write_chain(&self, _: &Request, chain: Chain) {
        if self.collect {
            chain.pieces.into_iter().for_each(|piece| self.push(piece));
        }
    }

    fn queued(&self) -> u64 {
        if self.client.is_some() { self.size.get() } else { 0 }
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

    fn is_collected(&self) -> bool {
        true
    }

    /// A connection tells one task alone that the client has gone. A task that a subrequest has to itself leaves it to who reads its pieces.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let apart = self.apart.get();
        if apart && !self.watched.replace(true) {
            self.wake_reader();
        }
        match &self.client {
            Some(client) if !apart || client.is_collected() => client.poll_gone(cx),
            _ => Poll::Pending,
        }
    }
}

/// A subrequest for a path, in which `?` means nothing, and arguments, on `wire`.
pub(crate) fn subrequest(
    parent: &Rc<Request>,
    (path, args): (&[u8], &[u8]),
    wire: Transport,
    method: Option<(Method, &[u8])>,
) -> Option<Rc<Request>> {
    let what = Subrequest { uri: path, args, method, wire, body: SubrequestBody::Parents, variables: SubrequestVariables::Shared };
    match parent.worker.engine()?.subrequest(parent, what) {
        Ok(child) => Some(child),
        Err(error) => {
            parent.log(Level::Error, error.to_string().as_bytes());
            None
        }
    }
}

/// A subrequest whose body goes where its parent's goes, as fast as it is taken there.
pub(crate) struct Included {
    wire: Rc<Collector>,
    work: Work,
}

/// Who drives a subrequest.
enum Work {
    /// Nobody so far.
    Created(Rc<Request>),
    /// Who asks for its pieces.
    Inline(BoxFuture<()>),
    /// A task of its own.
    Apart(Rc<BackgroundTask>),
    Done,
}

/// How many inclusions within inclusions a client's request has cost.
#[derive(Default)]
struct Nested(Cell<u32>);

impl Included {
    /// A subrequest for a path and arguments, which begins with [`Included::run_apart`]; what goes wrong is logged.
    pub(crate) fn create(parent: &Rc<Request>, target: (&[u8], &[u8])) -> Option<Included> {
        if !parent.is_main() && !may_nest(parent) {
            return too_many(parent, target.0);
        }
        let wire = Collector::new(true, Some(parent.wire.clone()));
        let child = subrequest(parent, target, wire.clone(), None)?;
        Some(Included { wire, work: Work::Created(child) })
    }

    /// Starts a subrequest for a path and arguments; what goes wrong is logged.
    pub(crate) fn start(parent: &Rc<Request>, target: (&[u8], &[u8])) -> Option<Included> {
        let mut included = Included::create(parent, target)?;
        included.begin();
        Some(included)
    }

    /// Runs the parent's content once more in a request of its own, which `prepare` gets before.
    pub(crate) fn rerun(parent: &Rc<Request>, prepare: impl FnOnce(&Rc<Request>)) -> Option<Included> {
        let content = parent.with_location(|location| location.content.clone())?;
        let wire = Collector::new(true, Some(parent.wire.clone()));
        let child = {
            let line = parent.line.borrow();
            let method = Some((line.method, &*line.method_name));
            let (body, variables) = (SubrequestBody::Parents, SubrequestVariables::Shared);
            Rc::new(Request::child(parent, Subrequest { uri: &line.uri, args: &line.args, method, wire: wire.clone(), body, variables }))
        };
        Some(Included::in_place(parent, child, wire, |child| {
            prepare(child);
            content(child)
        }))
    }

    /// A response that says `text`, with the parent's place and filters.
    pub(crate) fn with_text(parent: &Rc<Request>, content_type: &[u8], text: Bytes) -> Option<Included> {
        let (uri, args) = {
            let line = parent.line.borrow();
            (line.uri.clone(), line.args.clone())
        };
        if !may_nest(parent) {
            return too_many(parent, &uri);
        }
        let wire = Collector::new(true, Some(parent.wire.clone()));
        let child = subrequest(parent, (&uri, &args), wire.clone(), None)?;
        Some(Included::in_place(parent, child, wire, |child| child.respond(200, content_type, text)))
    }

    /// Makes content in `child`, which stands where its parent stands.
    fn in_place(parent: &Rc<Request>, child: Rc<Request>, wire: Rc<Collector>, content: impl FnOnce(&Rc<Request>) -> Step) -> Included {
        child.line.borrow_mut().copy_from(&parent.line.borrow());
        child.flags.internal.set(parent.flags.internal.get());
        child.set_location(parent.location());
        let step = content(&child);
        let running: BoxFuture<()> = Box::pin(async move {
            step.finish().await;
            child.run_cleanups();
        });
        Included { wire, work: Work::Inline(running) }
    }

    /// The subrequest, if it has not begun.
    pub(crate) fn created(&self) -> Option<&Rc<Request>> {
        match &self.work {
            Work::Created(child) => Some(child),
            _ => None,
        }
    }

    /// Whether a task of its own still drives it.
    pub(crate) fn is_running(&self) -> bool {
        matches!(&self.work, Work::Apart(apart) if !apart.has_ended())
    }

    /// Whether it wants to know when the client has gone, and a task of its own drives it.
    pub(crate) fn is_watched(&self) -> bool {
        self.wire.watched.get()
    }

    fn begin(&mut self) {
        if let Work::Created(child) = &self.work {
            let running = child.worker.engine().and_then(|engine| engine.run(child));
            self.work = running.map_or(Work::Done, Work::Inline);
        }
    }

    /// Lets it go on by itself; it waits while much of it has not been taken. It ends with this value.
    pub(crate) fn run_apart(&mut self, worker: &Worker) {
        self.wire.apart.set(true);
        self.begin();
        self.work = match std::mem::replace(&mut self.work, Work::Done) {
            Work::Inline(running) => {
                let wire = self.wire.clone();
                Work::Apart(BackgroundTask::spawn(worker, running, move || wire.wake_reader()))
            }
            other => other,
        };
    }

    /// The next pieces of the body; `None` after the last.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<Piece>>> {
        loop {
            let pieces = self.wire.take();
            if !pieces.is_empty() {
                return Poll::Ready(Some(pieces));
            }
            match &mut self.work {
                Work::Inline(running) => {
                    let ended = running.as_mut().poll(cx).is_ready();
                    if ended {
                        self.work = Work::Done;
                    } else if self.wire.pieces.borrow().is_empty() {
                        return Poll::Pending;
                    }
                }
                Work::Apart(apart) if !apart.has_ended() => {
                    self.wire.reader.replace(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                _ => return Poll::Ready(None),
            }
        }
    }

    /// As [`Included::poll_next`].
    pub(crate) async fn next(&mut self) -> Option<Vec<Piece>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Collector::status`].
    pub(crate) fn status(&self) -> u16 {
        self.wire.status()
    }
}

fn too_many(parent: &Request, uri: &[u8]) -> Option<Included> {
    let uri = String::from_utf8_lossy(uri);
    log_request!(parent, Level::Error, "subrequests cycle while processing \"{uri}\"");
    None
}

impl Drop for Included {
    fn drop(&mut self) {
        if let Work::Apart(apart) = &self.work {
            apart.cancel();
        }
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
