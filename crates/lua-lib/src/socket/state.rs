//! One TCP cosocket: its stream, its buffer, and which directions are still open.

use crate::resources::Resources;
use crate::socket::label::Label;
use crate::socket::pools::{Ticket, close_stream};
use lua::Value;
use net::stream::Stream;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tls::verify::ServerVerifier;

/// A direction in which a socket works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A connect waits.
    Connecting = 1,
    /// A connect waits for a name; until it has an address the socket is closed to everything else.
    Resolving = 8,
    /// A receive waits.
    Reading = 2,
    /// A send waits.
    Writing = 4,
}

/// A socket of a request or timer.
#[derive(Default)]
pub struct Socket {
    /// The resources of what connected it.
    pub owner: Weak<Resources>,
    /// What it holds.
    pub inner: RefCell<Inner>,
    /// No debug line is wanted of it.
    pub silent: Cell<bool>,
    busy: Cell<u8>,
}

/// Largest buffer that goes on to another request.
const BUFFER_KEPT: usize = 16 << 10;

/// The parts of a socket that change.
#[derive(Default)]
pub struct Inner {
    /// The connection; none before connect and after close.
    pub stream: Option<Stream>,
    /// Bytes that have arrived, from `at` on not yet received.
    pub input: Vec<u8>,
    /// Where unreceived bytes begin.
    pub at: usize,
    /// Small segments are sent at once, as `tcp_nodelay` says; set with the first send.
    pub prompt: bool,
    /// The peer has ended the stream.
    pub eof: bool,
    /// Nothing can be received any more.
    pub read_closed: bool,
    /// Nothing can be sent any more.
    pub write_closed: bool,
    /// Its place in a pool.
    pub ticket: Option<Ticket>,
    /// How often the connection was used before.
    pub reused: u32,
    /// The verifier of its server, in place of `lua_ssl_trusted_certificate`.
    pub servers: Option<Arc<ServerVerifier>>,
    /// What log lines say of its peer.
    pub label: Label,
}

impl Inner {
    /// Bytes not yet received.
    pub fn unread(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Marks `count` unread bytes as received.
    pub fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.input.len());
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
        }
    }

    /// Takes a connection on, the old one having been let go by [`Inner::detach`].
    pub fn install(&mut self, stream: Stream, reused: u32, ticket: Option<Ticket>) {
        (self.stream, self.ticket, self.reused) = (Some(stream), ticket, reused);
        // A connection from a pool was made prompt before it went there.
        self.prompt = reused > 0;
    }

    /// Lets the connection go: the caller drops it or keeps it. The buffer's memory stays.
    pub fn detach(&mut self) -> (Option<Stream>, Option<Ticket>) {
        self.input.clear();
        self.label = Label::default();
        (self.at, self.reused) = (0, 0);
        (self.prompt, self.eof, self.read_closed, self.write_closed) = (false, false, false, false);
        self.servers = None;
        (self.stream.take(), self.ticket.take())
    }

    /// Whether neither direction can be used.
    pub fn is_closed(&self) -> bool {
        self.stream.is_none() || (self.read_closed && self.write_closed)
    }
}

impl Socket {
    /// A socket that is not connected.
    pub fn new(owner: &Rc<Resources>) -> Socket {
        Socket { owner: Rc::downgrade(owner), ..Socket::default() }
    }

    /// Closes what is open and forgets whose it was.
    pub fn renew(&mut self) {
        self.owner = Weak::new();
        self.busy.set(0);
        self.silent.set(false);
        let inner = self.inner.get_mut();
        let (stream, ticket) = inner.detach();
        if inner.input.capacity() > BUFFER_KEPT {
            inner.input = Vec::new();
        }
        if let Some(stream) = stream {
            close_stream(stream);
        }
        drop(ticket);
    }

    /// Whether nothing of `works`, a sum of [`Direction`]s, is under way.
    #[inline]
    pub fn is_free(&self, works: u8) -> bool {
        self.busy.get() & works == 0
    }

    /// Whether it is one of these resources.
    pub fn belongs_to(&self, resources: &Rc<Resources>) -> bool {
        std::ptr::eq(self.owner.as_ptr(), Rc::as_ptr(resources))
    }

    /// Why none of `works` can begin now.
    pub fn busy(&self, works: &[Direction]) -> Option<&'static str> {
        let found = works.iter().find(|work| self.busy.get() & **work as u8 != 0)?;
        Some(match found {
            Direction::Connecting | Direction::Resolving => "socket busy connecting",
            Direction::Reading => "socket busy reading",
            Direction::Writing => "socket busy writing",
        })
    }

    /// Marks the socket as busy until the result is dropped, also when the waiting thread is killed.
    pub fn begin(self: &Rc<Self>, work: Direction) -> Busy {
        self.busy.set(self.busy.get() | work as u8);
        Busy(self.clone(), work as u8)
    }
}

/// A socket at work.
pub struct Busy(Rc<Socket>, u8);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() & !self.1);
    }
}

/// Most bytes that are read at once, however large the configured buffer is.
const LARGEST_READ: usize = 1 << 20;

/// Makes room for a read of `room` bytes behind what is unread of `input`, which begins at `at`.
pub fn make_room(input: &mut Vec<u8>, at: &mut usize, room: usize) {
    if *at > 0 {
        input.drain(..*at);
        *at = 0;
    }
    let room = room.min(LARGEST_READ);
    if input.capacity() - input.len() < room {
        input.reserve(room);
    }
}

/// What Lua gets for a system error: its text in lower case.
pub fn error_text(error: &std::io::Error) -> Value {
    match error.raw_os_error() {
        Some(number) => base::errno::strerror(number).to_ascii_lowercase().into_bytes().into(),
        None if error.kind() == std::io::ErrorKind::TimedOut => "timeout".into(),
        None => "error".into(),
    }
}
