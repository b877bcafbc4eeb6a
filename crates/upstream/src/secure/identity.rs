//! What distinguishes TLS connections in pools.

use std::rc::Rc;

/// What makes a connection different from others to the same address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the plan it is of: plans that say the same are one.
    plan: u64,
    target: Rc<[u8]>,
}

impl Identity {
    /// The identity of connections with `target` in mind, made by the plan of this number.
    #[must_use]
    pub fn new(plan: u64, target: &Rc<[u8]>) -> Identity {
        Identity { plan, target: target.clone() }
    }
}
