//! Who else may choose upstream servers: what a directive of an `upstream` block such as `balancer_by_lua_block` joins.
//!
//! The directive puts a [`Balancer`] into the block's [`Custom`]. It is asked before each try of a request and may wait. What it
//! leaves unsaid stays as the group and the location have it: without a target, the group chooses among its own servers.

use crate::request::Request;
use net::address::Address;
use session::{BoxFuture, Outcome};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

/// Chooses the server of each try.
pub trait Balancer {
    /// Says in `turn` where the next try goes. Anything but [`Outcome::Ok`] is the request's answer.
    fn choose(&self, request: &Rc<Request>, turn: &Rc<Turn>) -> BoxFuture<Outcome>;
}

/// The balancer of an `upstream` block, in the block's server scope.
#[derive(Default)]
pub struct Custom(pub Option<Rc<dyn Balancer>>);

/// What a balancer and the proxy tell each other about one request.
#[derive(Default)]
pub struct Turn {
    target: RefCell<Option<Target>>,
    failure: Cell<Option<Failure>>,
    /// Tries that were begun.
    begun: Cell<usize>,
    /// Tries left behind the current one.
    left: Cell<usize>,
    /// `*_next_upstream_tries`; 0 is no limit.
    limit: Cell<usize>,
    rewrite: Cell<bool>,
}

/// Where a try goes and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address.
    pub address: Address,
    /// Time limits in milliseconds in place of the location's.
    pub timeouts: Timeouts,
    /// Idle connections are kept in a pool of this kind, not in the group's.
    pub keepalive: Option<Pooling>,
    /// Local address of the connection.
    pub local: Option<SocketAddr>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pooling {
    /// Most of them.
    pub size: usize,
    /// For how long, milliseconds.
    pub idle_ms: u64,
    /// Requests of one connection.
    pub requests: u64,
}

/// How the try before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The server failed; otherwise it gave an answer that another server may better (403, 404).
    pub failed: bool,
    /// The status of the answer, or the one that stands for its absence.
    pub status: u16,
}

impl Target {
    /// A try at this address, everything else as usual.
    #[must_use]
    pub fn new(address: Address) -> Target {
        Target { address, timeouts: Timeouts::default(), keepalive: None, local: None }
    }
}

impl Turn {
    /// A turn before its first try; the proxy's part. A `limit` of 0 is none.
    #[must_use]
    pub fn new(left: usize, limit: usize) -> Turn {
        Turn { left: Cell::new(left), limit: Cell::new(limit), ..Turn::default() }
    }

    /// Begins a try; the proxy's part.
    pub fn begin(&self) {
        self.target.replace(None);
        self.begun.set(self.begun.get() + 1);
        self.left.set(self.left.get().saturating_sub(1));
    }

    /// Notes how a try has ended; the proxy's part.
    pub fn end(&self, failure: Failure) {
        self.failure.set(Some(failure));
    }

    /// Takes the target that was set; the proxy's part.
    pub fn take(&self) -> Option<Target> {
        self.target.take()
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

    /// How the try before ended; `None` at the first.
    pub fn last_failure(&self) -> Option<Failure> {
        self.failure.get()
    }

    /// Tries left behind the current one.
    pub fn left(&self) -> usize {
        self.left.get()
    }

    /// Allows `count` tries more; false: fewer, as the location's limit allows no more.
    pub fn allow_more(&self, count: usize) -> bool {
        let total = self.begun.get() + self.left.get();
        let allowed = match self.limit.get() {
            0 => count,
            limit => count.min(limit.saturating_sub(total)),
        };
        self.left.set(self.left.get() + allowed);
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
        let turn = Turn::new(1, 4);
        turn.begin();
        assert_eq!((turn.left(), turn.last_failure()), (0, None));
        assert!(turn.allow_more(2));
        turn.begin();
        turn.begin();
        assert!(!turn.allow_more(5));
        assert_eq!(turn.left(), 1);
        let endless = Turn::new(1, 0);
        assert!(endless.allow_more(1000));
        assert_eq!(endless.left(), 1001);
    }
}
