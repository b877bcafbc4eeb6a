//! Pools of idle connections that a group's balancer asks for.

use crate::connection::Keepalive;
use crate::limits::MAX_POOLS;
use http::balancer::Pooling;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Pools of one group that its balancer made.
#[derive(Debug, Default)]
pub struct Pools(RefCell<HashMap<Pooling, Rc<Keepalive>>>);

impl Pools {
    /// The pool of this kind.
    pub fn pool(&self, kind: Pooling) -> Rc<Keepalive> {
        let mut all = self.0.borrow_mut();
        if all.len() >= MAX_POOLS && !all.contains_key(&kind) {
            all.clear();
        }
        let make = || Rc::new(Keepalive::new(kind.size, false, kind.requests, u64::MAX, kind.idle_ms));
        all.entry(kind).or_insert_with(make).clone()
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
