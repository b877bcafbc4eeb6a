//! A connection to an upstream server, and the pool of idle ones.

use crate::channel::Channel;
use crate::dialect::ChannelKind;
use ::upstream::secure::identity::Identity;
use base::clock;
use net::pool::{Idle, Pool};
use net::time::{Sleep, sleep_until};
use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A connection with its timer, which moves into the pool and out with it, so that waiting allocates nothing.
#[derive(Debug)]
pub struct UpstreamConnection {
    /// What carries messages over it.
    pub channel: Channel,
    timer: Sleep,
    /// When the timer rings, on the cached clock: at the deadline, or before it if the deadline has moved since.
    armed_ms: u64,
    /// When the time is over.
    deadline_ms: u64,
    /// Requests it has served or is serving.
    pub requests: u64,
    opened_ms: u64,
    /// Until when it may be idle, on the monotonic clock.
    idle_until_ms: u64,
    /// By what it was found in the pool before.
    key: Option<Rc<Key>>,
    /// It came out of the pool.
    pub reused: bool,
}

impl UpstreamConnection {
    /// A fresh connection.
    #[must_use]
    pub fn new(channel: Channel, now_ms: u64) -> Box<UpstreamConnection> {
        const FIRST: u64 = 60_000;
        let timer = sleep_until(Instant::now() + Duration::from_millis(FIRST));
        let (armed_ms, deadline_ms) = (now_ms + FIRST, now_ms + FIRST);
        let (requests, reused) = (0, false);
        // It is handed about a lot.
        let (opened_ms, idle_until_ms, key) = (now_ms, u64::MAX, None);
        Box::new(UpstreamConnection { channel, timer, armed_ms, deadline_ms, requests, opened_ms, idle_until_ms, key, reused })
    }

    /// Lets the timer run out `ms` milliseconds from now.
    ///
    /// Most deadlines only move on: the timer then rings where it would have rung, and is set again only if it does.
    pub(crate) fn set_timer(&mut self, ms: u64) {
        self.deadline_ms = clock::monotonic_ms().saturating_add(ms);
        if self.deadline_ms < self.armed_ms {
            self.arm();
        }
    }

    /// Has the timer ring at the deadline.
    fn arm(&mut self) {
        let (now, left) = (Instant::now(), self.deadline_ms.saturating_sub(clock::monotonic_ms()));
        let deadline = now.checked_add(Duration::from_millis(left)).unwrap_or(now + Duration::from_secs(31_536_000));
        self.timer.reset(deadline);
        self.armed_ms = self.deadline_ms;
    }

    /// Ready once the time is over.
    pub fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while Pin::new(&mut self.timer).poll(cx).is_ready() {
            clock::update();
            if clock::monotonic_ms() >= self.deadline_ms {
                return Poll::Ready(());
            }
            self.arm();
        }
        Poll::Pending
    }
}

impl Drop for UpstreamConnection {
    fn drop(&mut self) {
        // A server that does not hear it may think that somebody cut the connection. It may have gone itself.
        let _ = self.channel.stream().close_notify();
    }
}

impl Idle for Box<UpstreamConnection> {
    fn is_alive(&self) -> bool {
        clock::monotonic_ms() <= self.idle_until_ms && self.channel.stream().is_quiet()
    }
}

/// Which connections of a pool a request may take: those that lead to the same address, speak the same protocol, and, with
/// `local`, come from its location. A server keeps its connections when the peers of its group change.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    address: Rc<str>,
    protocol: &'static [u8],
    kind: ChannelKind,
    secure: Option<Identity>,
    local: Option<SocketAddr>,
    route: u64,
    host: Option<Rc<[u8]>>,
}

/// What a request has of a [`Key`].
#[derive(Debug)]
pub struct KeyView<'a> {
    /// The server's address as text.
    pub address: &'a Rc<str>,
    /// What is spoken, by its scheme.
    pub protocol: &'static [u8],
    /// How messages are delimited.
    pub kind: ChannelKind,
    /// What its TLS stands for.
    pub secure: Option<Identity>,
    /// The local address that was asked for.
    pub local: Option<SocketAddr>,
    /// The number of the location's route; 0 when connections are shared.
    pub route: u64,
    /// The host that the group's balancer has in mind.
    pub host: Option<&'a Rc<[u8]>>,
}

impl KeyView<'_> {
    fn fits(&self, key: &Key) -> bool {
        // Mostly both are the same bytes, which then need no look.
        (Rc::ptr_eq(self.address, &key.address) || *self.address == key.address)
            && (std::ptr::eq(self.protocol, key.protocol) || self.protocol == key.protocol)
            && (self.kind, self.route) == (key.kind, key.route)
            && (self.local, &self.secure, self.host) == (key.local, &key.secure, key.host.as_ref())
    }

    fn key(self) -> Key {
        let KeyView { address, protocol, kind, secure, local, route, host } = self;
        Key { address: address.clone(), protocol, kind, secure, local, route, host: host.cloned() }
    }
}

/// `keepalive` and its companions.
#[derive(Debug)]
pub struct Keepalive {
    pool: Rc<Idles>,
    /// Connections are used again by the same location only.
    pub local: bool,
    requests: u64,
    time: u64,
    timeout: Duration,
}

#[derive(Debug)]
struct Idles {
    pool: Pool<Rc<Key>, Box<UpstreamConnection>>,
    tended: Cell<bool>,
}

impl Keepalive {
    /// A pool for `limit` idle connections; `requests` of one connection, and milliseconds of its life and idleness.
    #[must_use]
    pub fn new(limit: usize, local: bool, requests: u64, time: u64, timeout: u64) -> Keepalive {
        let pool = Rc::new(Idles { pool: Pool::new(limit), tended: Cell::new(false) });
        Keepalive { pool, local, requests, time, timeout: Duration::from_millis(timeout) }
    }

    /// The idle connection that was used last.
    pub fn take(&self, wanted: &KeyView<'_>) -> Option<Box<UpstreamConnection>> {
        let mut connection = self.pool.pool.get_where(|key| wanted.fits(key))?;
        connection.reused = true;
        connection.idle_until_ms = u64::MAX;
        Some(connection)
    }

    /// Whether no connection is idle here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pool.pool.is_empty()
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        self.pool.pool.clear();
    }

    /// Keeps a connection if it may serve another request.
    pub fn put(&self, wanted: KeyView<'_>, connection: Box<UpstreamConnection>, now_ms: u64) {
        self.put_for(wanted, connection, now_ms, self.requests, self.timeout);
    }

    /// As [`Keepalive::put`], with limits of this connection alone.
    pub(crate) fn put_for(
        &self,
        wanted: KeyView<'_>,
        mut connection: Box<UpstreamConnection>,
        now_ms: u64,
        requests: u64,
        timeout: Duration,
    ) {
        if connection.requests >= requests || now_ms.saturating_sub(connection.opened_ms) > self.time || !connection.is_alive() {
            return;
        }
        let idle = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        connection.idle_until_ms = now_ms.saturating_add(idle);
        connection.channel.shrink();
        let key = connection.key.take().filter(|key| wanted.fits(key)).unwrap_or_else(|| Rc::new(wanted.key()));
        connection.key = Some(key.clone());
        self.pool.pool.insert(key, connection, timeout);
        if !self.pool.tended.replace(true) {
            tokio::task::spawn_local(maintain(Rc::downgrade(&self.pool)));
        }
    }
}

/// Closes what has died or waited too long, as long as there is something and the group lives.
async fn maintain(idles: Weak<Idles>) {
    loop {
        net::time::sleep(Duration::from_secs(1)).await;
        let Some(idles) = idles.upgrade() else { return };
        clock::stale();
        idles.pool.sweep(clock::monotonic_ms());
        if idles.pool.is_empty() {
            idles.tended.set(false);
            return;
        }
    }
}
