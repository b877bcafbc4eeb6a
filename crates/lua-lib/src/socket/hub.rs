//! All cosockets of a worker by number.

use crate::resources::Resources;
use crate::socket::datagrams::Datagrams;
use crate::socket::owned::SocketRegistry;
use crate::socket::pools::Pools;
use crate::socket::secure::sessions::Sessions;
use crate::socket::state::Socket;
use crate::socket::table::Table;
use net::deadline::{Deadlines, Limit};
use session::Worker;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Most sockets that are kept for the next requests.
const SPARE: usize = 64;

/// A socket of either kind.
enum AnySocket {
    Tcp(Rc<Socket>),
    Udp(Rc<Datagrams>),
}

/// The sockets of one worker, and its pools of idle connections.
#[derive(Default)]
pub struct Hub {
    sockets: RefCell<Table<AnySocket>>,
    /// Unused sockets, with their buffers.
    spare: RefCell<Vec<Rc<Socket>>>,
    /// Until when sockets wait.
    deadlines: Rc<Deadlines>,
    /// Idle connections.
    pub pools: Rc<Pools>,
    packet: RefCell<Vec<u8>>,
    /// TLS sessions that Lua code holds.
    pub sessions: Sessions,
}

impl Hub {
    /// Until when a wait lasts that begins now, in the worker that `host` runs in.
    pub fn limit(&self, worker: Option<&Worker>, after: Duration) -> Limit {
        if let Some(worker) = worker
            && let Some(task) = self.deadlines.maintain()
        {
            worker.spawn(Box::pin(task));
        }
        self.deadlines.limit(after)
    }

    /// Makes a TCP socket for a request and returns its number.
    pub fn open(&self, owner: &Rc<Resources>) -> (u64, Rc<Socket>) {
        let mut socket = self.spare.borrow_mut().pop().unwrap_or_default();
        match Rc::get_mut(&mut socket) {
            Some(socket) => socket.owner = Rc::downgrade(owner),
            None => socket = Rc::new(Socket::new(owner)),
        }
        (self.sockets.borrow_mut().add(AnySocket::Tcp(socket.clone())), socket)
    }

    /// Enters a UDP socket and returns its number.
    pub(crate) fn add_datagrams(&self, socket: Rc<Datagrams>) -> u64 {
        self.sockets.borrow_mut().add(AnySocket::Udp(socket))
    }

    /// The TCP socket of this number, unless it is gone.
    pub fn find(&self, id: u64) -> Option<Rc<Socket>> {
        match self.sockets.borrow().get(id) {
            Some(AnySocket::Tcp(socket)) => Some(socket.clone()),
            _ => None,
        }
    }

    /// Shows the TCP socket of this number.
    #[inline]
    pub fn with<R>(&self, id: u64, see: impl FnOnce(&Socket) -> Option<R>) -> Option<R> {
        match self.sockets.borrow().get(id) {
            Some(AnySocket::Tcp(socket)) => see(socket),
            _ => None,
        }
    }

    /// The UDP socket of this number, unless it is gone.
    pub(crate) fn find_datagrams(&self, id: u64) -> Option<Rc<Datagrams>> {
        match self.sockets.borrow().get(id) {
            Some(AnySocket::Udp(socket)) => Some(socket.clone()),
            _ => None,
        }
    }

    /// Whose socket this is.
    pub fn owner(&self, id: u64) -> Option<Rc<Resources>> {
        match self.sockets.borrow().get(id)? {
            AnySocket::Tcp(socket) => socket.owner.upgrade(),
            AnySocket::Udp(socket) => socket.owner.upgrade(),
        }
    }

    /// Keeps a socket for the next request, if there are no references to it any more.
    fn recycle(&self, mut socket: Rc<Socket>) {
        if self.spare.borrow().len() < SPARE
            && let Some(last) = Rc::get_mut(&mut socket)
        {
            last.renew();
            self.spare.borrow_mut().push(socket);
        }
    }

    /// Receives a datagram of at most `size` bytes into the worker's buffer and shows it to `see`.
    ///
    /// # Errors
    /// What `receive` reports.
    pub fn packet<R>(
        &self,
        size: usize,
        receive: impl FnOnce(&mut [u8]) -> io::Result<usize>,
        see: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<R> {
        let mut buffer = self.packet.borrow_mut();
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let length = receive(buffer.get_mut(..size).unwrap_or_default())?;
        Ok(see(buffer.get(..length).unwrap_or_default()))
    }
}

impl SocketRegistry for Hub {
    fn remove(&self, id: u64) {
        let gone = self.sockets.borrow_mut().remove(id);
        if let Some(AnySocket::Tcp(socket)) = gone {
            self.recycle(socket);
        }
    }
}
