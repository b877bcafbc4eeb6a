//! A worker's pools of idle connections.

use base::clock;
use base::log::{ErrorLog, Level};
use foldhash::fast::RandomState;
use net::pool::Idle;
use net::stream::Stream;
use session::BoxFuture;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How often dead and expired idle connections are closed; only while there are any.
const TICK: Duration = Duration::from_millis(250);

/// All pools of a worker, by their keys.
#[derive(Default)]
pub struct Pools {
    all: RefCell<HashMap<Vec<u8>, Rc<Pool>, RandomState>>,
    /// Room for a pool's key.
    key: RefCell<Vec<u8>>,
    tended: Cell<bool>,
}

/// Idle connections to one destination, and how many are in use.
pub struct Pool {
    all: Weak<Pools>,
    key: Vec<u8>,
    log: Option<ErrorLog>,
    size: usize,
    backlog: Option<usize>,
    connections: Cell<usize>,
    waiting: Cell<usize>,
    freed: Notify,
    idle: RefCell<VecDeque<IdleConnection>>,
}

/// An idle connection.
pub(crate) struct IdleConnection {
    pub(crate) stream: Stream,
    pub(crate) reused: u32,
    /// On the monotonic clock in milliseconds.
    pub(crate) until: Option<u64>,
    pub(crate) ticket: Ticket,
}

impl IdleConnection {
    fn is_good(&self, now: u64) -> bool {
        self.until.is_none_or(|until| until > now) && self.stream.is_alive()
    }
}

/// A connection's place in its pool's count.
pub struct Ticket {
    pool: Rc<Pool>,
    counted: bool,
}

impl Ticket {
    /// Its pool.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// How many connections its pool counts.
    pub fn connections(&self) -> usize {
        self.pool.connections.get()
    }

    /// Releases the slot without waking a waiter: another connection takes it.
    fn discard(mut self) {
        self.counted = false;
        self.pool.connections.set(self.pool.connections.get().saturating_sub(1));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.counted {
            self.pool.connections.set(self.pool.connections.get().saturating_sub(1));
            self.pool.wake();
            self.pool.remove();
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
    /// The pool goes with its last connection, its size and backlog with it.
    fn remove(&self) {
        if self.connections.get() > 0 || self.waiting.get() > 0 {
            return;
        }
        if let Some(pools) = self.all.upgrade()
            && pools.remove(self)
            && let Some(log) = self.log.as_ref().filter(|log| log.enabled(Level::Debug))
        {
            let key = String::from_utf8_lossy(&self.key);
            log.write(Level::Debug, 0, format!("lua tcp socket keepalive: free connection pool for \"{key}\"").as_bytes());
        }
    }

    fn wake(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }

    fn take_idle(&self) -> Option<IdleConnection> {
        let now = clock::monotonic_ms();
        loop {
            let resting = self.idle.borrow_mut().pop_back()?;
            if resting.is_good(now) {
                return Some(resting);
            }
        }
    }

    /// Closes what is dead or expired; returns how many.
    fn sweep(&self) -> usize {
        let now = clock::monotonic_ms();
        let dead: Vec<IdleConnection> = {
            let mut idle = self.idle.borrow_mut();
            let all = std::mem::take(&mut *idle);
            let (kept, dead): (Vec<_>, Vec<_>) = all.into_iter().partition(|resting| resting.is_good(now));
            idle.extend(kept);
            dead
        };
        let count = dead.len();
        dead.into_iter().for_each(|resting| close_stream(resting.stream));
        count
    }

    fn ticket(self: &Rc<Self>) -> Ticket {
        self.connections.set(self.connections.get() + 1);
        Ticket { pool: self.clone(), counted: true }
    }

    /// The connection that has been idle for the shortest time. Nothing happens when there is none or it is dead: that is for
    /// [`Pool::acquire`].
    pub(crate) fn admit_idle(&self) -> Option<IdleConnection> {
        let mut idle = self.idle.borrow_mut();
        idle.back().filter(|latest| latest.is_good(clock::monotonic_ms()))?;
        idle.pop_back()
    }

    /// Takes an idle connection, or the right to open one.
    pub fn acquire(self: &Rc<Self>) -> Admission {
        // Taken first: the pool must not go with a dead connection that is found on the way.
        let own = self.ticket();
        if let Some(IdleConnection { stream, reused, ticket, .. }) = self.take_idle() {
            own.discard();
            return Admission::Reuse(stream, reused, ticket);
        }
        let ticket = own;
        let Some(backlog) = self.backlog else { return Admission::Connect(ticket) };
        if self.connections.get() > self.size.saturating_add(backlog) {
            ticket.discard();
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

/// A queued connect's slot, which wakes nobody when the wait is abandoned.
struct Queued(Option<Ticket>);

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            if let Some(log) = ticket.pool.log.as_ref().filter(|log| log.enabled(Level::Debug)) {
                log.write(Level::Debug, 0, b"lua tcp socket abort queueing");
            }
            ticket.discard();
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
    if let Some(IdleConnection { stream, reused, ticket, .. }) = pool.take_idle() {
        return Admission::Reuse(stream, reused, ticket);
    }
    match queued.0.take() {
        Some(ticket) => Admission::Connect(ticket),
        None => Admission::Refused,
    }
}

/// Lets a connection go. A peer over TLS that does not hear it may think that somebody cut the connection.
pub fn close_stream(stream: Stream) {
    // It may have gone itself.
    let _ = stream.close_notify();
}

impl Pools {
    /// The pool of this key, if there is one.
    pub fn find(&self, key: &[u8]) -> Option<Rc<Pool>> {
        self.all.borrow().get(key).cloned()
    }

    /// As [`Pools::find`], of the key `HOST:PORT`.
    pub(crate) fn find_at(&self, host: &[u8], port: u16) -> Option<Rc<Pool>> {
        let mut key = self.key.borrow_mut();
        key.clear();
        key.extend_from_slice(host);
        key.push(b':');
        push_port(&mut key, port);
        self.find(&key)
    }

    /// The pool of this key, made on first use: then its size and backlog are fixed.
    pub(crate) fn find_or_make(self: &Rc<Self>, key: &[u8], size: usize, backlog: Option<usize>, log: Option<&ErrorLog>) -> Rc<Pool> {
        let mut pools = self.all.borrow_mut();
        if let Some(pool) = pools.get(key) {
            return pool.clone();
        }
        let pool = Rc::new(Pool {
            all: Rc::downgrade(self),
            key: key.to_vec(),
            log: log.cloned(),
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

    /// Takes a pool out, unless it is busy being changed; whether it was this one.
    fn remove(&self, pool: &Pool) -> bool {
        let Ok(mut pools) = self.all.try_borrow_mut() else { return false };
        let own = pools.get(&pool.key).is_some_and(|found| std::ptr::eq(Rc::as_ptr(found), pool));
        let gone = if own { pools.remove(&pool.key) } else { None };
        drop(pools);
        gone.is_some()
    }

    /// Keeps a connection for another request. A full pool closes the one that has been idle longest.
    pub fn release(self: &Rc<Self>, pool: &Rc<Pool>, stream: Stream, reused: u32, ticket: Option<Ticket>, idle: Option<Duration>) {
        let ticket = ticket.unwrap_or_else(|| pool.ticket());
        // The clock may have been read a while ago in this turn, so that one millisecond more is not too early.
        let until =
            idle.map(|idle| clock::monotonic_ms().saturating_add(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX).saturating_add(1)));
        let oldest = {
            let mut all = pool.idle.borrow_mut();
            let oldest = if all.len() >= pool.size { all.pop_front() } else { None };
            all.push_back(IdleConnection { stream, reused, until, ticket });
            oldest
        };
        match oldest {
            Some(resting) => {
                resting.ticket.discard();
                close_stream(resting.stream);
            }
            None => pool.wake(),
        }
    }

    /// Closes all idle connections, as an exiting worker must: their peers may wait for it, also those in itself.
    pub fn close_idle(&self) {
        let all: Vec<_> = self.all.borrow().values().cloned().collect();
        for pool in all {
            pool.idle.take().into_iter().for_each(|resting| close_stream(resting.stream));
        }
    }

    /// Whether [`Pools::maintain`]'s task runs.
    pub(crate) fn is_tended(&self) -> bool {
        self.tended.get()
    }

    /// Closes dead and expired idle connections from time to time; returns the task to spawn, the first time.
    pub fn maintain(self: &Rc<Self>, log: &ErrorLog) -> Option<BoxFuture<()>> {
        if self.tended.replace(true) {
            return None;
        }
        let (pools, log) = (Rc::downgrade(self), log.clone());
        Some(Box::pin(async move {
            loop {
                net::time::sleep(TICK).await;
                clock::stale();
                let Some(pools) = pools.upgrade() else { return };
                let all: Vec<_> = pools.all.borrow().values().cloned().collect();
                let closed: usize = all.iter().map(|pool| pool.sweep()).sum();
                if closed > 0 && log.enabled(Level::Debug) {
                    log.write(Level::Debug, 0, format!("lua tcp socket keepalive close handler: {closed}").as_bytes());
                }
                // A pool may have been left while it could not be taken out.
                pools.all.borrow_mut().retain(|_, pool| pool.connections.get() > 0 || Rc::strong_count(pool) > 2);
                if pools.all.borrow().is_empty() {
                    return pools.tended.set(false);
                }
            }
        }))
    }
}

/// Writes a port in decimal.
pub(crate) fn push_port(out: &mut Vec<u8>, port: u16) {
    let mut digits = [0; 5];
    let mut at = digits.len();
    let mut rest = port;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        at -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_queues_and_refuses() {
        let pool = Rc::new(Pools::default()).find_or_make(b"k", 1, Some(1), None);
        let Admission::Connect(first) = pool.acquire() else { panic!("there is room") };
        let Admission::Queue(second) = pool.acquire() else { panic!("one may wait") };
        assert!(matches!(pool.acquire(), Admission::Refused));
        second.discard();
        drop(first);
        assert_eq!(pool.connections.get(), 0);
    }

    #[test]
    fn ports_are_written_in_decimal() {
        for port in [0, 7, 80, 8122, 65535] {
            let mut out = Vec::new();
            push_port(&mut out, port);
            assert_eq!(out, port.to_string().into_bytes());
        }
    }

    #[tokio::test]
    async fn a_place_that_is_given_up_wakes_who_waits() {
        let pool = Rc::new(Pools::default()).find_or_make(b"k", 1, Some(1), None);
        let Admission::Connect(first) = pool.acquire() else { panic!("there is room") };
        let Admission::Queue(second) = pool.acquire() else { panic!("one may wait") };
        let (admission, ()) = tokio::join!(wait(second), async { drop(first) });
        assert!(matches!(admission, Admission::Connect(_)));
        assert_eq!(pool.connections.get(), 1);
    }
}
