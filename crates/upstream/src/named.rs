//! Servers that an external balancer names by address (`upstream::balancer`), and that belong to no group.

use balance::{Peer, Server};
use foldhash::HashMap;
use net::address::SocketAddress;
use std::cell::RefCell;
use std::rc::Rc;

/// Most servers that are remembered.
const MOST: usize = 1024;

/// The servers, by address.
#[derive(Debug, Default)]
pub struct NamedServers(RefCell<HashMap<SocketAddress, Rc<Peer>>>);

impl NamedServers {
    /// The server at this address. Its failures are for those who name it to count.
    pub fn peer(&self, address: &SocketAddress) -> Rc<Peer> {
        if let Some(known) = self.0.borrow().get(address) {
            return known.clone();
        }
        let made = Rc::new(Peer::new(Server { max_fails: 0, ..Server::new(address.clone()) }));
        let mut peers = self.0.borrow_mut();
        if peers.len() >= MOST {
            peers.clear();
        }
        peers.insert(address.clone(), made.clone());
        made
    }
}
