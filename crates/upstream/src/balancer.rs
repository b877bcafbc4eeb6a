//! External balancers: the interface of directives of an `upstream` block such as `balancer_by_lua_block`.
//!
//! The directive puts a [`Balancer`] into the block's [`CustomBalancer`]. It is asked before each attempt of a request or session and may
//! wait. What it does not set stays as the group and the location have it: without a target, the group selects among its own servers.

use net::address::SocketAddress;
use session::{BoxFuture, Outcome};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

/// Chooses the server of each try.
pub trait Balancer<S> {
    /// Says in `turn` where the next try goes.
    fn choose(&self, session: &Rc<S>, turn: &Rc<BalancerContext>) -> BalancerAnswer;
}

/// A balancer's answer, now or later.
pub enum BalancerAnswer {
    /// The response.
    Now(Decision),
    /// Drive this to get it.
    Wait(BoxFuture<Decision>),
}

/// What comes of asking a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The try goes to the target that was set, or else to a server of the group.
    Go,
    /// There is no server that could be asked.
    NoLiveUpstreams,
    /// This try has failed as if its server had refused the connection.
    Failed,
    /// This is the request's answer.
    Answer(Outcome),
}

/// The balancer of an `upstream` block, in the block's server scope.
pub struct CustomBalancer<S> {
    /// Who chooses. A method that is named behind it takes its place.
    pub balancer: Option<Rc<dyn Balancer<S>>>,
    /// The block has named a method or `keepalive` before.
    pub is_second: bool,
}

impl<S> Default for CustomBalancer<S> {
    fn default() -> Self {
        CustomBalancer { balancer: None, is_second: false }
    }
}

/// What a balancer and the proxy tell each other about one request.
#[derive(Default)]
pub struct BalancerContext {
    target: RefCell<Option<Target>>,
    timeouts: Cell<Timeouts>,
    local: Cell<Option<SocketAddr>>,
    failure: Cell<Option<Failure>>,
    /// Tries that were begun.
    attempts: Cell<usize>,
    /// Tries left behind the current one.
    tries_left: Cell<usize>,
    /// Tries more that the current one allows.
    more: Cell<usize>,
    /// `*_next_upstream_tries`; 0 is no limit.
    limit: Cell<usize>,
    rewrite: Cell<bool>,
    /// The location has settings for TLS.
    can_secure: Cell<bool>,
    secure: Cell<Option<bool>>,
}

/// The server that a balancer has chosen for an attempt, and how to reach it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address.
    pub address: SocketAddress,
    /// The host that is meant, in lower case: connections are kept apart by it.
    pub host: Option<Rc<[u8]>>,
    /// Idle connections are kept in the balancer's pool, not in the group's.
    pub keepalive: Option<Pooling>,
    /// Which pool of the balancer's is meant; `None`: the one without a name.
    pub pool: Option<NamedPool>,
}

/// A pool whose connections no other pool's tries get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPool {
    /// What tells it from others.
    pub name: Rc<[u8]>,
    /// Most idle connections, as its first connection says; `None`: as many as [`Pooling::size`].
    pub size: Option<usize>,
}

/// Time limits in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Option<u64>,
    /// Between two writes.
    pub send: Option<u64>,
    /// Between two reads.
    pub read: Option<u64>,
}

/// How idle connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Most of them in the pool, as its first connection says.
    pub size: usize,
    /// How long this one may be idle, milliseconds; 0 is no limit.
    pub idle_ms: u64,
    /// Requests that this one may serve; 0 is no limit.
    pub requests: u64,
}

/// How the previous attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The server failed; otherwise it gave a response that another server may better (403, 404).
    pub failed: bool,
    /// The status of the response, or the one that stands for its absence.
    pub status: u16,
}

impl Target {
    /// A try at this address, everything else as usual.
    #[must_use]
    pub fn new(address: SocketAddress) -> Target {
        Target { address, host: None, keepalive: None, pool: None }
    }
}

impl BalancerContext {
    /// A turn before its first try; the proxy's part. A `limit` of 0 is none.
    #[must_use]
    pub fn new(left: usize, limit: usize) -> BalancerContext {
        BalancerContext { tries_left: Cell::new(left), limit: Cell::new(limit), ..BalancerContext::default() }
    }

    /// Says whether the location has settings for TLS; the proxy's part.
    pub fn allow_tls(&self, can: bool) {
        self.can_secure.set(can);
    }

    /// Speaks TLS with servers, or does not; false: the location has no settings for that.
    pub fn use_tls(&self, on: bool) -> bool {
        if on && !self.can_secure.get() {
            return false;
        }
        self.secure.set(Some(on));
        true
    }

    /// What was said about TLS.
    pub fn tls(&self) -> Option<bool> {
        self.secure.get()
    }

    /// Begins a try; the proxy's part.
    pub fn begin(&self) {
        self.target.replace(None);
        self.more.set(0);
        self.attempts.set(self.attempts.get() + 1);
        self.tries_left.set(self.tries_left.get().saturating_sub(1));
    }

    /// Notes how a try has ended; the proxy's part.
    pub fn end(&self, failure: Failure) {
        self.failure.set(Some(failure));
    }

    /// Takes the target that was set, and with it the tries that were allowed; the proxy's part.
    pub fn take(&self) -> Option<Target> {
        let more = self.more.take();
        let target = self.target.take()?;
        self.tries_left.set(self.tries_left.get().saturating_add(more));
        Some(target)
    }

    /// Whether the request is to be written anew; the proxy's part.
    pub fn take_rewrite(&self) -> bool {
        self.rewrite.take()
    }

    /// Says where this try goes.
    pub fn set(&self, target: Target) {
        self.target.replace(Some(target));
    }

    /// Changes the target that was set; `None` if there is none.
    pub fn change<R>(&self, change: impl FnOnce(&mut Target) -> R) -> Option<R> {
        self.target.borrow_mut().as_mut().map(change)
    }

    /// Sets time limits of this try and those behind it, as far as they are given.
    pub fn limit_times(&self, given: Timeouts) {
        let old = self.timeouts.get();
        let (connect, send, read) = (given.connect.or(old.connect), given.send.or(old.send), given.read.or(old.read));
        self.timeouts.set(Timeouts { connect, send, read });
    }

    /// Time limits in place of the location's.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts.get()
    }

    /// Connects from this address from now on.
    pub fn bind(&self, local: SocketAddr) {
        self.local.set(Some(local));
    }

    /// The local address that was asked for.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local.get()
    }

    /// How the try before ended; `None` at the first.
    pub fn last_failure(&self) -> Option<Failure> {
        self.failure.get()
    }

    /// Tries left behind the current one.
    pub fn tries_left(&self) -> usize {
        self.tries_left.get()
    }

    /// Allows `count` tries behind the one whose target is set; false: fewer, as the location's limit allows no more.
    pub fn allow_more(&self, count: usize) -> bool {
        let total = self.attempts.get() + self.tries_left.get();
        let allowed = match self.limit.get() {
            0 => count,
            limit => count.min(limit.saturating_sub(total)),
        };
        self.more.set(allowed);
        allowed == count
    }

    /// Has the request written anew, as what it is made of has changed.
    pub fn rewrite(&self) {
        self.rewrite.set(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_allowed_up_to_the_limit() {
        let target = || Target::new(SocketAddr::from(([127, 0, 0, 1], 80)).into());
        let go = |turn: &BalancerContext| {
            turn.set(target());
            turn.take().is_some()
        };
        let turn = BalancerContext::new(1, 4);
        turn.begin();
        assert_eq!((turn.tries_left(), turn.last_failure()), (0, None));
        // What was said last holds.
        assert!(turn.allow_more(1) && turn.allow_more(2) && go(&turn));
        turn.begin();
        turn.begin();
        assert!(!turn.allow_more(5) && go(&turn));
        assert_eq!(turn.tries_left(), 1);
        let endless = BalancerContext::new(1, 0);
        endless.begin();
        assert!(endless.allow_more(1000));
        assert!(endless.take().is_none());
        assert_eq!(endless.tries_left(), 0);
        assert!(endless.allow_more(1000) && go(&endless));
        assert_eq!(endless.tries_left(), 1000);
    }

    #[test]
    fn what_is_set_for_all_tries_stays() {
        let turn = BalancerContext::new(1, 0);
        turn.limit_times(Timeouts { connect: Some(1), ..Timeouts::default() });
        turn.begin();
        turn.limit_times(Timeouts { read: Some(2), ..Timeouts::default() });
        assert_eq!(turn.timeouts(), Timeouts { connect: Some(1), send: None, read: Some(2) });
    }
}
