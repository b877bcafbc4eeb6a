//! What a group keeps for its external balancer: the servers that it names, and the idle connections to them.

use crate::connection::Keepalive;
use ::upstream::named::NamedServers;
use balance::Peer;
use net::address::SocketAddress;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Before there are more pools than this, the empty ones are not looked for.
const FEW: usize = 64;

/// Servers and connections that are the balancer's affair.
#[derive(Debug, Default)]
pub struct BalancerPools {
    servers: NamedServers,
    pool: OnceCell<Rc<Keepalive>>,
    named: RefCell<NamedPools>,
}

/// Pools by name. Those without connections go when there are twice as many as were left the last time.
#[derive(Debug)]
struct NamedPools {
    pools: HashMap<Rc<[u8]>, Rc<Keepalive>>,
    most: usize,
}

impl Default for NamedPools {
    fn default() -> NamedPools {
        NamedPools { pools: HashMap::new(), most: FEW }
    }
}

impl NamedPools {
    fn get(&mut self, name: &Rc<[u8]>, size: usize) -> Rc<Keepalive> {
        if let Some(pool) = self.pools.get(name) {
            return pool.clone();
        }
        if self.pools.len() >= self.most {
            self.pools.retain(|_, pool| !pool.is_empty());
            self.most = FEW.max(2 * self.pools.len());
        }
        let pool = Rc::new(unlimited(size));
        self.pools.insert(name.clone(), pool.clone());
        pool
    }
}

/// Each connection has limits of its own.
fn unlimited(size: usize) -> Keepalive {
    Keepalive::new(size, false, u64::MAX, u64::MAX, u64::MAX)
}

impl BalancerPools {
    /// The server at this address.
    pub fn peer(&self, address: &SocketAddress) -> Rc<Peer> {
        self.servers.peer(address)
    }

    /// The pool, made for `size` connections when it is first asked for.
    pub fn pool(&self, size: usize) -> Rc<Keepalive> {
        self.pool.get_or_init(|| Rc::new(unlimited(size))).clone()
    }

    /// The pool of that name, likewise.
    pub fn named(&self, name: &Rc<[u8]>, size: usize) -> Rc<Keepalive> {
        self.named.borrow_mut().get(name, size)
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        if let Some(pool) = self.pool.get() {
            pool.clear();
        }
        self.named.borrow().pools.values().for_each(|pool| pool.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_that_nobody_uses_do_not_pile_up() {
        let pools = BalancerPools::default();
        for number in 0..10 * FEW {
            pools.named(&Rc::from(number.to_string().into_bytes()), 1);
        }
        let first: Rc<[u8]> = Rc::from(b"0".as_slice());
        assert!(pools.named.borrow().pools.len() <= FEW && Rc::ptr_eq(&pools.named(&first, 1), &pools.named(&first, 2)));
    }
}
