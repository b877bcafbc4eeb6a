//! What distinguishes TLS connections in pools.

use std::rc::Rc;

/// What makes a connection different from others to the same address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which plan it is of: plans that say the same are one.
    plan: usize,
    target: Rc<[u8]>,
}

impl Identity {
    /// The identity of connections with `target` in mind, made by a plan.
    #[must_use]
    pub fn new(plan: usize, target: &Rc<[u8]>) -> Identity {
        Identity { plan, target: target.clone() }
    }
}
