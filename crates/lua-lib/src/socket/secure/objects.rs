//! Parsed certificates and keys, by the numbers that their Lua objects hold.

use base::saturated::Saturated;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use tls::certificate::{Chain, Key, Pair};

/// One of them.
#[derive(Clone)]
pub enum Object {
    /// A certificate with its chain.
    Chain(Rc<Chain>),
    /// A private key.
    Key(Rc<Key>),
}

/// All of a process.
#[derive(Default)]
pub struct Objects {
    all: RefCell<HashMap<u64, Object>>,
    next: Cell<u64>,
}

impl Objects {
    /// Keeps one; returns its number.
    pub fn add(&self, object: Object) -> f64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        self.all.borrow_mut().insert(id, object);
        id as f64
    }

    /// A chain.
    pub fn chain(&self, id: f64) -> Option<Rc<Chain>> {
        match self.all.borrow().get(&(u64::saturated(id))) {
            Some(Object::Chain(chain)) => Some(chain.clone()),
            _ => None,
        }
    }

    /// A key.
    pub fn key(&self, id: f64) -> Option<Rc<Key>> {
        match self.all.borrow().get(&(u64::saturated(id))) {
            Some(Object::Key(key)) => Some(key.clone()),
            _ => None,
        }
    }

    /// A certificate and its key, which a socket shows as its own.
    ///
    /// # Errors
    /// OpenResty's text.
    pub fn pair(&self, chain: f64, key: f64) -> Result<Pair, &'static str> {
        let chain = self.chain(chain).ok_or("invalid client certificate chain")?;
        let key = self.key(key).ok_or("ssl set client private key failed")?;
        Pair::new(&chain, &key).map_err(|_| "ssl set client private key failed")
    }

    /// The Lua object is gone.
    pub fn remove(&self, id: f64) {
        self.all.borrow_mut().remove(&(u64::saturated(id)));
    }
}
