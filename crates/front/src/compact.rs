//! A compact form of a parked connection's client: only what the kernel cannot report again.

use http::Connection;
use http::connection::{Address, Proxied};
use http::tls::TlsInfo;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A [`Connection`] without what the kernel can tell again.
pub struct Compact {
    id: u64,
    started_ms: u64,
    requests: u32,
    /// What a PROXY protocol header said.
    proxy_protocol: Option<Rc<Proxied>>,
    /// What the handshake of TLS found.
    tls: Option<Rc<TlsInfo>>,
}

impl Compact {
    /// Reduces what is known of a client.
    pub fn of(info: &Connection) -> Compact {
        let requests = u32::try_from(info.requests.get()).unwrap_or(u32::MAX);
        Compact {
            id: info.id,
            started_ms: info.started_ms,
            requests,
            proxy_protocol: info.proxy_protocol.borrow().clone(),
            tls: info.tls_info(),
        }
    }

    /// What is known of the client again, with the addresses that the kernel tells.
    pub fn restore(self, peer: Address, local: Address) -> Connection {
        let Compact { id, started_ms, requests, proxy_protocol, tls } = self;
        let (requests, proxy_protocol) = (Cell::new(u64::from(requests)), RefCell::new(proxy_protocol));
        Connection { id, peer, local, requests, started_ms, tls: RefCell::new(tls), proxy_protocol }
    }
}
