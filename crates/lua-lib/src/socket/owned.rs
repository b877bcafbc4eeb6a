//! The sockets of one request, closed when it ends.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// A registry of sockets by their numbers.
pub trait SocketRegistry {
    /// Forgets a socket, which closes it.
    fn remove(&self, id: u64);
}

/// The numbers of a request's sockets.
#[derive(Default)]
pub struct Owned {
    keeper: OnceCell<Rc<dyn SocketRegistry>>,
    /// The first one, for most requests have no more; 0 is none.
    first: Cell<u64>,
    more: RefCell<Vec<u64>>,
}

impl Owned {
    /// Takes a socket on.
    pub fn add(&self, keeper: &Rc<impl SocketRegistry + 'static>, id: u64) {
        // There is one keeper in a worker.
        self.keeper.get_or_init(|| keeper.clone());
        if self.first.get() == 0 {
            self.first.set(id);
        } else {
            self.more.borrow_mut().push(id);
        }
    }

    /// Gives a socket up.
    pub fn remove(&self, id: u64) {
        if self.first.get() == id {
            self.first.set(0);
        } else {
            self.more.borrow_mut().retain(|one| *one != id);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.first.get() != 0) + self.more.borrow().len()
    }
}

impl Owned {
    /// Closes them all.
    pub fn close(&self) {
        if let Some(keeper) = self.keeper.get() {
            let first = self.first.take();
            if first != 0 {
                keeper.remove(first);
            }
            self.more.take().into_iter().for_each(|id| keeper.remove(id));
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.close();
    }
}
