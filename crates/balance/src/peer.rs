//! One server of a group and what is known of its health.

use net::address::Address;
use std::cell::Cell;
use std::rc::Rc;

/// A server as the configuration describes it (nginx manual, `server` in `upstream`).
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: Address,
    /// The address as the log and `$upstream_addr` show it.
    pub name: Rc<str>,
    /// `weight`
    pub weight: i64,
    /// `max_fails`; 0 never disables it
    pub max_fails: u64,
    /// `fail_timeout`, seconds
    pub fail_timeout: i64,
    /// `max_conns`; 0 is unlimited
    pub max_conns: u64,
    /// `backup`
    pub backup: bool,
    /// `down`
    pub down: bool,
}

impl Server {
    /// A server with nginx's defaults: weight 1, one failure disables it for ten seconds.
    #[must_use]
    pub fn new(address: Address) -> Server {
        let name = address.to_string().into();
        Server { address, name, weight: 1, max_fails: 1, fail_timeout: 10, max_conns: 0, backup: false, down: false }
    }
}

/// A server at work. The state is one worker's.
#[derive(Debug)]
pub struct Peer {
    /// What the configuration says.
    pub server: Server,
    pub(crate) current_weight: Cell<i64>,
    pub(crate) effective_weight: Cell<i64>,
    pub(crate) fails: Cell<u64>,
    pub(crate) accessed: Cell<i64>,
    pub(crate) checked: Cell<i64>,
    pub(crate) connections: Cell<u64>,
}

impl Peer {
    pub(crate) fn new(server: Server) -> Peer {
        let effective_weight = Cell::new(server.weight);
        Peer {
            server,
            current_weight: Cell::new(0),
            effective_weight,
            fails: Cell::new(0),
            accessed: Cell::new(0),
            checked: Cell::new(0),
            connections: Cell::new(0),
        }
    }

    /// Requests that it is serving now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.get()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.server.max_conns != 0 && self.connections.get() >= self.server.max_conns
    }

    /// Whether it may be asked at `now`, a second count that never goes back.
    pub(crate) fn is_available(&self, now: i64) -> bool {
        let failing =
            self.server.max_fails != 0 && self.fails.get() >= self.server.max_fails && now - self.checked.get() <= self.server.fail_timeout;
        !self.server.down && !failing && !self.is_full()
    }

    /// After `fail_timeout` a failing server gets one probe per window.
    pub(crate) fn chosen(&self, now: i64) {
        if now - self.checked.get() > self.server.fail_timeout {
            self.checked.set(now);
        }
        self.connections.set(self.connections.get() + 1);
    }

    pub(crate) fn released(&self) {
        self.connections.set(self.connections.get().saturating_sub(1));
    }

    /// Counts a failure; true when that disables the server.
    pub(crate) fn failed(&self, now: i64) -> bool {
        self.fails.set(self.fails.get() + 1);
        self.accessed.set(now);
        self.checked.set(now);
        if self.server.max_fails == 0 {
            return false;
        }
        let cut = self.server.weight / i64::try_from(self.server.max_fails).unwrap_or(i64::MAX);
        self.effective_weight.set((self.effective_weight.get() - cut).max(0));
        self.fails.get() >= self.server.max_fails
    }

    pub(crate) fn succeeded(&self) {
        if self.accessed.get() < self.checked.get() {
            self.fails.set(0);
        }
    }
}
