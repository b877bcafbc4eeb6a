//! All cosockets of a worker by number, and its pools of idle connections.

use crate::socket::datagrams::Datagrams;
use crate::socket::state::Socket;
use crate::state::State;
use net::pool::Idle;
use net::stream::Stream;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often dead and expired idle connections are closed.
const TICK: Duration = Duration::from_secs(1);

/// A socket of either kind.
enum Kept {
    Tcp(Rc<Socket>),
    Udp(Rc<Datagrams>),
}

/// The sockets and pools of one worker.
#[derive(Default)]
pub struct Hub {
    sockets: RefCell<HashMap<u64, Kept>>,
    pools: RefCell<HashMap<Vec<u8>, Rc<Pool>>>,
    next: Cell<u64>,
    tended: Cell<bool>,
}

/// Connections to one place.
pub struct Pool {
    size: usize,
    backlog: Option<usize>,
    connections: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
    idle: RefCell<VecDeque<Resting>>,
}

/// An idle connection.
struct Resting {
    stream: Stream,
    reused: u32,
    until: Option<Instant>,
    ticket: Ticket,
}

/// A connection's place in its pool's count.
pub struct Ticket {
    pool: Rc<Pool>,
    counted: bool,
}

impl Ticket {
    /// How many connections its pool counts.
    pub fn connections(&self) -> usize {
        self.pool.connections.get()
    }

    /// Gives the place up without waking who waits for one: another connection takes it.
    fn dissolve(mut self) {
        self.counted = false;
        self.pool.connections.set(self.pool.connections.get().saturating_sub(1));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.counted {
            self.pool.connections.set(self.pool.connections.get().saturating_sub(1));
            self.pool.wake();
        }
    }
}

/// What a pool says to a connect.
pub enum Admission {
    /// An idle connection, its count of uses, its place.
    Reuse(Stream, u32, Ticket),
    /// A new connection may be made.
    Connect(Ticket),
    /// The connect must wait for its turn with [`wait`].
    Queue(Ticket),
    /// Too many wait already.
    Refused,
}

impl Pool {
    fn wake(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }

    fn take_idle(&self) -> Option<Resting> {
        let now = Instant::now();
        loop {
            let resting = self.idle.borrow_mut().pop_back()?;
            if resting.until.is_none_or(|until| until > now) && resting.stream.is_alive() {
                return Some(resting);
            }
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let dead: Vec<Resting> = {
            let mut idle = self.idle.borrow_mut();
            let all = std::mem::take(&mut *idle);
            let good = |r: &Resting| r.until.is_none_or(|until| until > now) && r.stream.is_alive();
            let (kept, dead): (Vec<_>, Vec<_>) = all.into_iter().partition(good);
            idle.extend(kept);
            dead
        };
        drop(dead);
    }

    fn ticket(self: &Rc<Self>) -> Ticket {
        self.connections.set(self.connections.get() + 1);
        Ticket { pool: self.clone(), counted: true }
    }

    /// Asks for a connection.
    pub fn admit(self: &Rc<Self>) -> Admission {
        if let Some(Resting { stream, reused, ticket, .. }) = self.take_idle() {
            return Admission::Reuse(stream, reused, ticket);
        }
        let ticket = self.ticket();
        let Some(backlog) = self.backlog else { return Admission::Connect(ticket) };
        if self.connections.get() > self.size.saturating_add(backlog) {
            ticket.dissolve();
            return Admission::Refused;
        }
        if self.connections.get() > self.size { Admission::Queue(ticket) } else { Admission::Connect(ticket) }
    }
}

/// Counts a waiting connect while it lives.
struct Waiting(Rc<Pool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

/// A queued connect's place, which is nobody's to wake for when the wait is given up.
struct Queued(Option<Ticket>);

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            ticket.dissolve();
        }
    }
}

/// Waits until a queued connect may go on: with an idle connection or a place for a new one.
pub async fn wait(ticket: Ticket) -> Admission {
    let pool = ticket.pool.clone();
    let mut queued = Queued(Some(ticket));
    pool.waiting.set(pool.waiting.get() + 1);
    let waiting = Waiting(pool.clone());
    pool.freed.notified().await;
    drop(waiting);
    if let Some(Resting { stream, reused, ticket, .. }) = pool.take_idle() {
        return Admission::Reuse(stream, reused, ticket);
    }
    match queued.0.take() {
        Some(ticket) => Admission::Connect(ticket),
        None => Admission::Refused,
    }
}

impl Hub {
    /// Enters a TCP socket and answers its number.
    pub fn add(&self, socket: Rc<Socket>) -> u64 {
        self.enter(Kept::Tcp(socket))
    }

    /// Enters a UDP socket and answers its number.
    pub fn add_datagrams(&self, socket: Rc<Datagrams>) -> u64 {
        self.enter(Kept::Udp(socket))
    }

    fn enter(&self, socket: Kept) -> u64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        self.sockets.borrow_mut().insert(id, socket);
        id
    }

    /// The TCP socket of this number, unless it is gone.
    pub fn find(&self, id: u64) -> Option<Rc<Socket>> {
        match self.sockets.borrow().get(&id) {
            Some(Kept::Tcp(socket)) => Some(socket.clone()),
            _ => None,
        }
    }

    /// The UDP socket of this number, unless it is gone.
    pub fn find_datagrams(&self, id: u64) -> Option<Rc<Datagrams>> {
        match self.sockets.borrow().get(&id) {
            Some(Kept::Udp(socket)) => Some(socket.clone()),
            _ => None,
        }
    }

    /// Whose socket this is.
    pub fn owner(&self, id: u64) -> Option<Rc<State>> {
        match self.sockets.borrow().get(&id)? {
            Kept::Tcp(socket) => socket.owner.upgrade(),
            Kept::Udp(socket) => socket.owner.upgrade(),
        }
    }

    /// Forgets a socket.
    pub fn remove(&self, id: u64) {
        let gone = self.sockets.borrow_mut().remove(&id);
        drop(gone);
    }

    /// The pool of this key, if there is one.
    pub fn pool(&self, key: &[u8]) -> Option<Rc<Pool>> {
        self.pools.borrow().get(key).cloned()
    }

    /// The pool of this key, made on first use: then its size and backlog are fixed.
    pub fn pool_or_new(&self, key: &[u8], size: usize, backlog: Option<usize>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.get(key) {
            return pool.clone();
        }
        let pool = Rc::new(Pool {
            size,
            backlog,
            connections: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            idle: RefCell::default(),
        });
        pools.insert(key.to_vec(), pool.clone());
        pool
    }

    /// Keeps a connection for another request. A full pool closes the one that has been idle longest.
    pub fn rest(self: &Rc<Self>, pool: &Rc<Pool>, stream: Stream, reused: u32, ticket: Option<Ticket>, idle: Option<Duration>) {
        let ticket = ticket.unwrap_or_else(|| pool.ticket());
        let until = idle.and_then(|idle| Instant::now().checked_add(idle));
        let oldest = {
            let mut all = pool.idle.borrow_mut();
            let oldest = if all.len() >= pool.size { all.pop_front() } else { None };
            all.push_back(Resting { stream, reused, until, ticket });
            oldest
        };
        match oldest {
            Some(resting) => resting.ticket.dissolve(),
            None => pool.wake(),
        }
    }

    /// Closes dead and expired idle connections once a second; answers the task to spawn, the first time.
    pub fn tend(self: &Rc<Self>) -> Option<http::BoxFuture<()>> {
        if self.tended.replace(true) {
            return None;
        }
        let hub = Rc::downgrade(self);
        Some(Box::pin(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let Some(hub) = hub.upgrade() else { return };
                let all: Vec<_> = hub.pools.borrow().values().cloned().collect();
                all.iter().for_each(|pool| pool.sweep());
                // A pool that nobody uses any more is forgotten, its size with it.
                hub.pools.borrow_mut().retain(|_, pool| pool.connections.get() > 0 || Rc::strong_count(pool) > 2);
                if hub.pools.borrow().is_empty() {
                    return hub.tended.set(false);
                }
            }
        }))
    }
}

/// The sockets of one request: closed when it ends.
#[derive(Default)]
pub struct Owned {
    hub: OnceCell<Rc<Hub>>,
    ids: RefCell<Vec<u64>>,
}

impl Owned {
    /// Takes a socket on.
    pub fn add(&self, hub: &Rc<Hub>, id: u64) {
        // There is one hub in a worker.
        let _ = self.hub.set(hub.clone());
        self.ids.borrow_mut().push(id);
    }

    /// Gives a socket up that was closed.
    pub fn remove(&self, id: u64) {
        self.ids.borrow_mut().retain(|one| *one != id);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.get() {
            self.ids.borrow().iter().for_each(|id| hub.remove(*id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_queues_and_refuses() {
        let pool = Rc::new(Hub::default()).pool_or_new(b"k", 1, Some(1));
        let Admission::Connect(first) = pool.admit() else { panic!("there is room") };
        let Admission::Queue(second) = pool.admit() else { panic!("one may wait") };
        assert!(matches!(pool.admit(), Admission::Refused));
        second.dissolve();
        drop(first);
        assert_eq!(pool.connections.get(), 0);
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_wakes_who_waits() {
        let pool = Rc::new(Hub::default()).pool_or_new(b"k", 1, Some(1));
        let Admission::Connect(first) = pool.admit() else { panic!("there is room") };
        let Admission::Queue(second) = pool.admit() else { panic!("one may wait") };
        let (admission, ()) = tokio::join!(wait(second), async { drop(first) });
        assert!(matches!(admission, Admission::Connect(_)));
        assert_eq!(pool.connections.get(), 1);
    }
}
