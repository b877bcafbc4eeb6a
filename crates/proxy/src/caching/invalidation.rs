//! Unsafe methods invalidate stored responses (RFC 9111, 4.4).

use crate::caching::store::Store;
use base::errno;
use base::log::Level;
use cache::{Purge, PurgeTarget, key};
use http::{Method, Request, log_request};
use std::rc::Rc;

/// What a request of an unsafe method makes outdated, if it succeeds: the cache and the key.
pub struct Invalidation {
    store: Rc<Store>,
    key: Vec<u8>,
}

impl Invalidation {
    /// For a request that changes what its key stands for; `None` for the methods that change nothing.
    #[must_use]
    pub fn of(request: &Request, store: Rc<Store>, key: Vec<u8>) -> Option<Invalidation> {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&request.method());
        (!safe).then_some(Invalidation { store, key })
    }

    /// The upstream has answered.
    pub fn answered(&self, request: &Request, status: u16) {
        if !(200..400).contains(&status) || !self.store.index.contains(&key::digest(&self.key)) {
            return;
        }
        if let Err(error) = self.store.purge(&Purge { target: PurgeTarget::Key(&self.key), soft: false }) {
            log_request!(request, Level::Crit, "a cached answer could not be removed {}", errno::describe(&error));
        }
    }
}
