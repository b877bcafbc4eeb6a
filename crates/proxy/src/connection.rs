//! A connection to an upstream server, and the pool where it waits for its next request.

use net::pool::{Idle, Pool};
use net::stream::Stream;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::upstream::Upstream;

/// A connection with its timer, which moves into the pool and out with it, so that waiting allocates nothing.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    timer: Pin<Box<Sleep>>,
    /// Requests it has served or is serving.
    pub requests: u64,
    opened_ms: u64,
    /// It came out of the pool.
    pub reused: bool,
}

impl Connection {
    /// A fresh connection.
    #[must_use]
    pub fn new(stream: Stream, now_ms: u64) -> Connection {
        let timer = Box::pin(sleep_until(Instant::now() + Duration::from_secs(60)));
        Connection { stream, timer, requests: 0, opened_ms: now_ms, reused: false }
    }

    /// Lets the timer run out `ms` milliseconds from now.
    pub fn set_timer(&mut self, ms: u64) {
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_millis(ms)).unwrap_or(now + Duration::from_secs(31_536_000));
        self.timer.as_mut().reset(deadline);
    }

    /// Ready once the time is over.
    pub fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }
}

use std::future::Future;

impl Idle for Connection {
    fn is_alive(&self) -> bool {
        self.stream.is_quiet()
    }
}

/// Which connections of a pool a request may take: those to its server and, with `local`, from its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Identity of the server.
    pub peer: usize,
    /// Identity of the location's settings; 0 when connections are shared.
    pub place: usize,
}

/// `keepalive` and its companions.
#[derive(Debug)]
pub struct Keepalive {
    pool: Pool<Key, Connection>,
    /// Connections are used again by the same location only.
    pub local: bool,
    requests: u64,
    time: u64,
    timeout: Duration,
    tended: Cell<bool>,
}

impl Keepalive {
    /// A pool for `limit` idle connections; `requests` of one connection, and milliseconds of its life and idleness.
    #[must_use]
    pub fn new(limit: usize, local: bool, requests: u64, time: u64, timeout: u64) -> Keepalive {
        Keepalive { pool: Pool::new(limit), local, requests, time, timeout: Duration::from_millis(timeout), tended: Cell::new(false) }
    }

    /// The idle connection that was used last.
    pub fn take(&self, key: Key) -> Option<Connection> {
        let mut connection = self.pool.get(&key)?;
        connection.reused = true;
        Some(connection)
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        self.pool.clear();
    }

    /// Keeps a connection if it may serve another request.
    pub fn put(&self, owner: &Rc<Upstream>, key: Key, connection: Connection, now_ms: u64) {
        if connection.requests >= self.requests || now_ms.saturating_sub(connection.opened_ms) > self.time || !connection.is_alive() {
            return;
        }
        self.pool.put(key, connection, self.timeout);
        if !self.tended.replace(true) {
            tokio::task::spawn_local(tend(Rc::downgrade(owner)));
        }
    }
}

/// Closes what has died or waited too long, as long as there is something and the group lives.
async fn tend(upstream: Weak<Upstream>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(upstream) = upstream.upgrade() else { return };
        let Some(keepalive) = &upstream.keepalive else { return };
        keepalive.pool.sweep(Instant::now());
        if keepalive.pool.is_empty() {
            keepalive.tended.set(false);
            return;
        }
    }
}
