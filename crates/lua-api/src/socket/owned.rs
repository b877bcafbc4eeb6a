//! The sockets of one request: closed when it ends.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Who knows sockets by their numbers.
pub trait Keeper {
    /// Forgets a socket, which closes it.
    fn remove(&self, id: u64);
}

/// The numbers of a request's sockets.
#[derive(Default)]
pub struct Owned {
    keeper: OnceCell<Rc<dyn Keeper>>,
    ids: RefCell<Vec<u64>>,
}

impl Owned {
    /// Takes a socket on.
    pub fn add(&self, keeper: Rc<dyn Keeper>, id: u64) {
        // There is one keeper in a worker.
        let _ = self.keeper.set(keeper);
        self.ids.borrow_mut().push(id);
    }

    /// Gives a socket up.
    pub fn remove(&self, id: u64) {
        self.ids.borrow_mut().retain(|one| *one != id);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            self.ids.borrow().iter().for_each(|id| keeper.remove(*id));
        }
    }
}
