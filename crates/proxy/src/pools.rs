//! What a group keeps for its external balancer: the servers that it names, and the idle connections to them.

use crate::connection::Keepalive;
use ::upstream::named::NamedServers;
use balance::Peer;
use net::address::SocketAddress;
use std::cell::OnceCell;
use std::rc::Rc;

/// Servers and connections that are the balancer's affair.
#[derive(Debug, Default)]
pub struct BalancerPools {
    servers: NamedServers,
    pool: OnceCell<Keepalive>,
}

impl BalancerPools {
    /// The server at this address.
    pub fn peer(&self, address: &SocketAddress) -> Rc<Peer> {
        self.servers.peer(address)
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
