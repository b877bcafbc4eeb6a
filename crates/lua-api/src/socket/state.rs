//! One TCP cosocket: its stream, its buffer, and which directions are still open.

use crate::socket::hub::Ticket;
use crate::state::State;
use lua::Value;
use net::stream::Stream;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// A direction in which a socket works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A connect waits.
    Connecting = 1,
    /// A receive waits.
    Reading = 2,
    /// A send waits.
    Writing = 4,
}

/// A socket of a request or timer.
pub struct Socket {
    /// Lua's state of the request that connected it.
    pub owner: Weak<State>,
    /// What it holds.
    pub inner: RefCell<Inner>,
    busy: Cell<u8>,
}

/// The parts of a socket that change.
#[derive(Default)]
pub struct Inner {
    /// The connection; none before connect and after close.
    pub stream: Option<Stream>,
    /// Bytes that have arrived, from `at` on not yet received.
    pub input: Vec<u8>,
    /// Where unreceived bytes begin.
    pub at: usize,
    /// `TCP_NODELAY` has been seen to.
    pub no_delay: bool,
    /// The peer has ended the stream.
    pub eof: bool,
    /// Nothing can be received any more.
    pub read_closed: bool,
    /// Nothing can be sent any more.
    pub write_closed: bool,
    /// Its place in a pool.
    pub ticket: Option<Ticket>,
    /// The pool's key.
    pub key: Vec<u8>,
    /// How often the connection was used before.
    pub reused: u32,
    /// `, upstream: HOST:PORT(ADDRESS)`, for log lines.
    pub label: String,
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

    /// Whether neither direction can be used.
    pub fn is_closed(&self) -> bool {
        self.stream.is_none() || (self.read_closed && self.write_closed)
    }
}

impl Socket {
    /// A socket that is not connected.
    pub fn new(owner: &Rc<State>) -> Socket {
        Socket { owner: Rc::downgrade(owner), inner: RefCell::default(), busy: Cell::new(0) }
    }

    /// Whether `state` is the one that the socket belongs to.
    pub fn belongs_to(&self, state: &Rc<State>) -> bool {
        std::ptr::eq(self.owner.as_ptr(), Rc::as_ptr(state))
    }

    /// Why none of `works` can begin now.
    pub fn busy(&self, works: &[Work]) -> Option<&'static str> {
        let found = works.iter().find(|work| self.busy.get() & **work as u8 != 0)?;
        Some(match found {
            Work::Connecting => "socket busy connecting",
            Work::Reading => "socket busy reading",
            Work::Writing => "socket busy writing",
        })
    }

    /// Marks the socket as busy until the result is dropped, also when the waiting thread is killed.
    pub fn begin(self: &Rc<Self>, work: Work) -> Busy {
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

/// What Lua gets for a system error: its text in lower case.
pub fn error_text(error: &std::io::Error) -> Value {
    match error.raw_os_error() {
        Some(number) => base::errno::strerror(number).to_ascii_lowercase().into_bytes().into(),
        None if error.kind() == std::io::ErrorKind::TimedOut => "timeout".into(),
        None => "error".into(),
    }
}
