//! The request body: read once, kept in memory or in a temporary file (nginx manual, `client_body_buffer_size`).

use crate::connection::{BodyError, BodyRead};
use crate::core::{TempPath, default};
use crate::headers::Headers;
use crate::line::Version;
use crate::log_request;
use crate::request::Request;
use base::errno;
use base::log::Level;
use base::saturated::Saturated;
use session::{Outcome, Step};
use std::cell::{Cell, RefCell};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How far the body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyState {
    /// Bytes are still on the wire.
    Unread,
    /// It is all here.
    Read,
    /// It was thrown away (`ngx.req.discard_body`).
    Discarded,
}

/// A file that disappears with its last user.
#[derive(Debug)]
pub struct TempFile {
    /// Its path.
    pub path: PathBuf,
    /// Open for reading and writing.
    pub file: Rc<File>,
    persistent: Cell<bool>,
}

impl TempFile {
    /// Creates a file with a fresh name below `directory`.
    ///
    /// # Errors
    /// Those of `open(2)` and `mkdir(2)`.
    pub fn create(directory: &TempPath) -> io::Result<TempFile> {
        thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
        for _ in 0..1000 {
            let number = NEXT.get() + 1;
            NEXT.set(number);
            let path = temp_name(directory, number);
            if let Some(parent) = path.parent().filter(|_| directory.levels[0] != 0) {
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(TempFile { path, file: Rc::new(file), persistent: Cell::new(false) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// The file stays when this value goes (`client_body_in_file_only on`).
    pub fn persist(&self) {
        self.persistent.set(true);
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.persistent.get() {
            // It may have been moved away by the application; nothing is left to do then.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `0000000012` spread over the directory's levels, from the name's end.
fn temp_name(directory: &TempPath, number: u64) -> PathBuf {
    let name = format!("{number:010}");
    let mut path = directory.path.clone();
    let mut end = name.len();
    for level in directory.levels.iter().filter(|l| **l > 0) {
        let start = end.saturating_sub(usize::from(*level));
        path.push(name.get(start..end).unwrap_or_default());
        end = start;
    }
    path.push(&name);
    path
}

/// A request body, shared by a request and its subrequests.
#[derive(Debug)]
pub struct Body {
    expected: bool,
    is_clients: bool,
    length: Cell<Option<u64>>,
    state: Cell<BodyState>,
    data: RefCell<Vec<u8>>,
    file: RefCell<Option<Rc<TempFile>>>,
    received: Cell<u64>,
    being_read: Cell<bool>,
}

impl Body {
    /// No body at all.
    pub fn none() -> Body {
        Body::new(false, Some(0), BodyState::Read)
    }

    /// A body on the wire: `Some(length)`, or chunked.
    pub fn on_wire(length: Option<u64>) -> Body {
        Body { is_clients: true, ..Body::new(true, length, BodyState::Unread) }
    }

    /// A body given by code.
    pub fn from_bytes(data: Vec<u8>) -> Body {
        let body = Body::new(true, Some(data.len() as u64), BodyState::Read);
        body.data.replace(data);
        body
    }

    fn new(expected: bool, length: Option<u64>, state: BodyState) -> Body {
        Body {
            expected,
            is_clients: false,
            length: Cell::new(length),
            state: Cell::new(state),
            data: RefCell::default(),
            file: RefCell::default(),
            received: Cell::new(0),
            being_read: Cell::new(false),
        }
    }

    /// Whether the request came without a body.
    pub fn is_none(&self) -> bool {
        !self.expected
    }

    /// Whether it is what the client sent, not what code has put in its place.
    pub fn is_clients(&self) -> bool {
        self.is_clients
    }

    /// `Content-Length`, bytes; `None` for a chunked body that has not been read.
    pub fn length(&self) -> Option<u64> {
        self.length.get()
    }

    /// How far it has come.
    pub fn state(&self) -> BodyState {
        self.state.get()
    }

    /// Whether the rest of it is being waited for.
    pub fn is_being_read(&self) -> bool {
        self.being_read.get()
    }

    /// Changes the state: for those that read from the wire themselves.
    pub fn set_state(&self, state: BodyState) {
        self.state.set(state);
    }

    /// Runs `f` on the part that is in memory: all of it, unless there is a file.
    pub fn with_data<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(&self.data.borrow())
    }

    /// The file that holds the body, if it does not fit in memory.
    pub fn file(&self) -> Option<Rc<TempFile>> {
        self.file.borrow().clone()
    }

    /// The whole body in memory, read back from the file if need be.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        match self.file() {
            Some(file) => fs::read(&file.path),
            None => Ok(self.data.borrow().clone()),
        }
    }

    /// How many bytes of the body have been received, or are there if code set it.
    pub fn size(&self) -> u64 {
        self.received.get().max(self.data.borrow().len() as u64)
    }

    /// Moves what is in memory to the file, which is made if there is none.
    fn spill(&self, request: &Request, warn: bool) -> io::Result<()> {
        let existing = self.file();
        let file = match existing {
            Some(file) => file,
            None => {
                let file = Rc::new(TempFile::create(&temp_path(request))?);
                if warn {
                    let path = file.path.display();
                    log_request!(request, Level::Warn, "a client request body is buffered to a temporary file {path}");
                }
                self.file.replace(Some(file.clone()));
                file
            }
        };
        let mut data = self.data.borrow_mut();
        (&*file.file).write_all(&data)?;
        data.clear();
        Ok(())
    }
}

fn temp_path(request: &Request) -> TempPath {
    let configured = request.core().client_body_temp_path.clone();
    configured.unwrap_or_else(|| TempPath { path: request.http.paths.prefix.join("client_body_temp"), levels: [0; 3] })
}

/// What one request's body may cost.
struct Limits {
    buffer: usize,
    max: u64,
    file_only: bool,
    persistent: bool,
    /// What stays in memory beside the buffer, as it came with the head.
    with_head: u64,
}

impl Limits {
    fn of(request: &Request) -> Limits {
        let core = request.core();
        let in_file = core.client_body_in_file_only.unwrap_or(0);
        Limits {
            buffer: usize::saturated(core.client_body_buffer_size.unwrap_or(default::BODY_BUFFER)),
            max: core.client_max_body_size.unwrap_or(default::MAX_BODY),
            file_only: in_file != 0 || request.flags.body_in_file_only.get(),
            persistent: in_file == 1,
            with_head: with_head(request),
        }
    }

    /// nginx lets a body stay in memory where HTTP/1 says its length and what did not come with the head is at most a quarter larger than its buffer.
    fn memory_limit(&self, request: &Request, body: &Body) -> u64 {
        let more = body.length().is_some() && request.version() < Version::Http2;
        if more { (self.buffer + self.buffer / 4) as u64 + self.with_head } else { self.buffer as u64 }
    }
}

/// How much of a body came with its head, up to what nginx's buffer for heads has room for.
fn with_head(request: &Request) -> u64 {
    let (server, head) = (request.server(), request.request_length.get());
    let small = server.core.client_header_buffer_size.unwrap_or(default::HEADER_BUFFER);
    let (_, large) = server.core.large_client_header_buffers.unwrap_or(default::LARGE_HEADER_BUFFERS);
    let room = if head <= small { small } else { large }.saturating_sub(head);
    request.wire.body_at_hand().min(room)
}

/// Reads the whole body of the client's request.
///
/// Returns `Ok`, or the status to refuse with: 400, 408, 413, 499, 500.
pub fn read(request: &Rc<Request>) -> Step {
    request.flags.body_asked.set(true);
    let body = request.body.borrow().clone();
    if body.state() != BodyState::Unread {
        return Step::Now(Outcome::Ok);
    }
    send_continue(request);
    let limits = Limits::of(request);
    // Most bodies came with the head: look before waiting.
    let mut cx = Context::from_waker(Waker::noop());
    match poll_whole(request, &body, &limits, &mut cx) {
        Poll::Ready(outcome) => Step::Now(outcome),
        Poll::Pending => {
            let request = request.clone();
            body.being_read.set(true);
            Step::wait(|| async move {
                let outcome = std::future::poll_fn(|cx| poll_whole(&request, &body, &limits, cx)).await;
                body.being_read.set(false);
                outcome
            })
        }
    }
}

/// Responds to `Expect: 100-continue`, once, on the first need of the body.
pub fn send_continue(request: &Rc<Request>) {
    if request.flags.expects_continue.replace(false) && request.version() >= Version::Http11 && !request.flags.header_sent.get() {
        request.wire.write_interim(request, 100, &Headers::default());
    }
}

fn poll_whole(request: &Rc<Request>, body: &Body, limits: &Limits, cx: &mut Context<'_>) -> Poll<Outcome> {
    loop {
        let read = {
            let mut data = body.data.borrow_mut();
            request.wire.poll_body(cx, request, &mut data, limits.buffer.max(4096))
        };
        let failed = match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(BodyRead::End)) => return Poll::Ready(finish(request, body, limits)),
            Poll::Ready(Ok(BodyRead::Data(n))) => take(request, body, limits, n as u64),
            Poll::Ready(Err(error)) => Some(refusal(request, error)),
        };
        if let Some(outcome) = failed {
            return Poll::Ready(outcome);
        }
    }
}

/// Accounts for new bytes; an outcome refuses the request.
fn take(request: &Request, body: &Body, limits: &Limits, n: u64) -> Option<Outcome> {
    let received = body.received.get() + n;
    body.received.set(received);
    if let Some(refused) = too_large(request, received, n, limits.max) {
        body.data.take();
        return Some(refused);
    }
    let in_memory = body.data.borrow().len();
    let fits = match body.length() {
        Some(length) => length <= limits.memory_limit(request, body),
        None => in_memory <= limits.buffer,
    };
    let spill = limits.file_only || (!fits && in_memory >= limits.buffer) || body.file.borrow().is_some() && in_memory >= limits.buffer;
    if spill { spill_or_fail(request, body, !limits.file_only) } else { None }
}

/// Refuses a body of unknown length of which more than `max` bytes have come or are announced, `new` of them at last; what is left of it is
/// nobody's, also where an error page answers.
pub fn too_large(request: &Request, received: u64, new: u64, max: u64) -> Option<Outcome> {
    let announced = request.wire.body_announced();
    if max == 0 || received.saturating_add(announced.unwrap_or(0)) <= max {
        return None;
    }
    let before = received.saturating_sub(new);
    let what = match announced {
        Some(left) => format!("chunked body: {before}+{}", new.saturating_add(left)),
        None if request.version() == Version::Http3 => format!("body: {before}+{new}"),
        None => format!("chunked body: {received}"),
    };
    log_request!(request, Level::Error, "client intended to send too large {what} bytes");
    request.body.borrow().set_state(BodyState::Discarded);
    Some(Outcome::Status(413))
}

fn spill_or_fail(request: &Request, body: &Body, warn: bool) -> Option<Outcome> {
    let error = body.spill(request, warn).err()?;
    log_request!(request, Level::Crit, "writing the client request body to a temporary file failed {}", errno::describe(&error));
    Some(Outcome::Status(500))
}

fn finish(request: &Request, body: &Body, limits: &Limits) -> Outcome {
    let has_file = body.file.borrow().is_some();
    let too_large = body.data.borrow().len() as u64 > limits.memory_limit(request, body);
    if (has_file || limits.file_only || too_large)
        && let Some(outcome) = spill_or_fail(request, body, !limits.file_only)
    {
        return outcome;
    }
    if limits.persistent
        && let Some(file) = body.file()
    {
        file.persist();
    }
    body.length.set(Some(body.received.get()));
    body.set_state(BodyState::Read);
    Outcome::Ok
}

/// The response to a body that cannot be read, with its log line.
pub fn refusal(request: &Request, error: BodyError) -> Outcome {
    request.flags.keepalive.set(false);
    match error {
        BodyError::Closed => {
            request.flags.client_gone.set(true);
            log_request!(request, Level::Info, "client prematurely closed connection");
            Outcome::Status(400)
        }
        BodyError::TimedOut => {
            log_request!(request, Level::Info, "client timed out (110: Connection timed out)");
            Outcome::Status(408)
        }
        BodyError::Invalid => {
            log_request!(request, Level::Error, "client sent invalid chunked body");
            Outcome::Status(400)
        }
        BodyError::Malformed => Outcome::Status(400),
    }
}

/// Gives the request another body (`ngx.req.set_body_data`).
pub fn replace(request: &Request, body: Body) {
    request.body.replace(Rc::new(body));
}

/// A body in a file that the request does not own (`ngx.req.set_body_file`).
///
/// # Errors
/// Those of opening the file.
pub fn from_file(path: &Path, remove: bool) -> io::Result<Body> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let body = Body::new(true, Some(length), BodyState::Read);
    body.received.set(length);
    let temp = TempFile { path: path.to_owned(), file: Rc::new(file), persistent: Cell::new(!remove) };
    body.file.replace(Some(Rc::new(temp)));
    Ok(body)
}
