//! What must be remembered of a parked connection's client: what the kernel cannot tell again.

use http::Connection;
use http::connection::{Address, Proxied};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A [`Connection`] without what the kernel can tell again.
#[derive(Debug)]
pub struct Compact {
    id: u64,
    started_ms: u64,
    requests: u32,
    /// Only if the client's address was corrected (realip, PROXY protocol).
    changed: Option<Box<Corrected>>,
}

#[derive(Debug)]
struct Corrected {
    peer: Address,
    real_peer: Address,
    proxy_protocol: Option<Rc<Proxied>>,
}

impl Compact {
    /// Reduces what is known of a client.
    pub fn of(info: &Connection) -> Compact {
        let peer = info.peer.borrow().clone();
        let proxy_protocol = info.proxy_protocol.borrow().clone();
        let changed = (peer != info.real_peer || proxy_protocol.is_some())
            .then(|| Box::new(Corrected { peer, real_peer: info.real_peer.clone(), proxy_protocol }));
        Compact { id: info.id, started_ms: info.started_ms, requests: u32::try_from(info.requests.get()).unwrap_or(u32::MAX), changed }
    }

    /// What is known of the client again, with the addresses that the kernel tells.
    pub fn restore(self, peer: Address, local: Address) -> Connection {
        let (peer, real_peer, proxy_protocol) = match self.changed {
            Some(corrected) => (corrected.peer, corrected.real_peer, corrected.proxy_protocol),
            None => (peer.clone(), peer, None),
        };
        Connection {
            id: self.id,
            peer: RefCell::new(peer),
            real_peer,
            local,
            requests: Cell::new(u64::from(self.requests)),
            started_ms: self.started_ms,
            tls: false,
            proxy_protocol: RefCell::new(proxy_protocol),
        }
    }
}
