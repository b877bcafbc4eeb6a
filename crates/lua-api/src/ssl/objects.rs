//! Parsed certificates and keys, by the numbers that their Lua objects hold.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use tls::certificate::{Chain, Key};

/// One of them.
#[derive(Clone)]
pub(super) enum Object {
    /// A certificate with its chain.
    Chain(Rc<Chain>),
    /// A private key.
    Key(Rc<Key>),
}

/// All of a process.
#[derive(Default)]
pub(super) struct Objects {
    all: RefCell<HashMap<u64, Object>>,
    next: Cell<u64>,
}

impl Objects {
    /// Keeps one; answers its number.
    pub(super) fn add(&self, object: Object) -> f64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        self.all.borrow_mut().insert(id, object);
        id as f64
    }

    /// A chain.
    pub(super) fn chain(&self, id: f64) -> Option<Rc<Chain>> {
        match self.all.borrow().get(&(id as u64)) {
            Some(Object::Chain(chain)) => Some(chain.clone()),
            _ => None,
        }
    }

    /// A key.
    pub(super) fn key(&self, id: f64) -> Option<Rc<Key>> {
        match self.all.borrow().get(&(id as u64)) {
            Some(Object::Key(key)) => Some(key.clone()),
            _ => None,
        }
    }

    /// The Lua object is gone.
    pub(super) fn remove(&self, id: f64) {
        self.all.borrow_mut().remove(&(id as u64));
    }
}
