//! What is known of a client's connection, whatever is spoken on it.

use crate::address::{Address, Proxied};
use crate::tls_info::TlsInfo;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What is known of a client's connection. One exists per connection, whatever the protocol on it.
pub struct Connection<V> {
    /// `$connection`: a number unique among the processes of the server.
    pub id: u64,
    /// The client as the kernel sees it. A session may know the client behind it (realip).
    pub peer: Address,
    /// Our end.
    pub local: Address,
    /// Requests so far, the current one included. Which of them a request is says the request.
    pub requests: Cell<u64>,
    /// When it was accepted, in milliseconds since the epoch.
    pub started_ms: u64,
    /// What TLS on it found; nothing without TLS, and before the handshake.
    pub tls: RefCell<Option<Rc<TlsInfo<V>>>>,
    /// What a PROXY protocol header said.
    pub proxy_protocol: RefCell<Option<Rc<Proxied>>>,
}

impl<V> Connection<V> {
    /// Whether it is over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.borrow().is_some()
    }

    /// What TLS on it found.
    pub fn tls_info(&self) -> Option<Rc<TlsInfo<V>>> {
        self.tls.borrow().clone()
    }
}
