//! What a group keeps for its balancer from outside: the servers that it names, and the idle connections to them.

use crate::connection::Keepalive;
use crate::limits::MAX_NAMED;
use balance::{Peer, Server};
use foldhash::HashMap;
use net::address::SocketAddress;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Servers and connections that are the balancer's affair.
#[derive(Debug, Default)]
pub struct Outside {
    peers: RefCell<HashMap<SocketAddress, Rc<Peer>>>,
    pool: OnceCell<Keepalive>,
}

impl Outside {
    /// The server at this address. Its failures are the balancer's to count.
    pub fn peer(&self, address: &SocketAddress) -> Rc<Peer> {
        if let Some(known) = self.peers.borrow().get(address) {
            return known.clone();
        }
        let made = Rc::new(Peer::new(Server { max_fails: 0, ..Server::new(address.clone()) }));
        let mut peers = self.peers.borrow_mut();
        if peers.len() >= MAX_NAMED {
            peers.clear();
        }
        peers.insert(address.clone(), made.clone());
        made
    }

    /// The pool, made for `size` connections when it is first asked for.
    pub fn pool(&self, size: usize) -> &Keepalive {
        self.pool.get_or_init(|| Keepalive::new(size, false, u64::MAX, u64::MAX, u64::MAX))
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        if let Some(pool) = self.pool.get() {
            pool.clear();
        }
    }
}
