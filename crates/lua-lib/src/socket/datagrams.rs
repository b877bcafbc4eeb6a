//! One UDP cosocket.

use crate::resources::Resources;
use crate::socket::label::Label;
use net::datagram::Datagram;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

/// A UDP socket of a request or timer.
pub struct Datagrams {
    /// The resources of what connected it.
    pub owner: Weak<Resources>,
    /// The socket; none before `setpeername` and after `close`.
    pub socket: RefCell<Option<Rc<Datagram>>>,
    /// What log lines say of its peer.
    pub label: RefCell<Label>,
    busy: Cell<bool>,
}

impl Datagrams {
    /// A socket without a peer.
    #[must_use]
    pub fn new(owner: &Rc<Resources>) -> Datagrams {
        Datagrams { owner: Rc::downgrade(owner), socket: RefCell::default(), label: RefCell::default(), busy: Cell::new(false) }
    }

    /// Whether it is one of these resources.
    pub fn belongs_to(&self, resources: &Rc<Resources>) -> bool {
        std::ptr::eq(self.owner.as_ptr(), Rc::as_ptr(resources))
    }

    /// Whether a light thread waits for it.
    pub fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Marks the socket as busy until the result is dropped, also when the waiting thread is killed.
    pub fn begin(self: &Rc<Self>) -> Busy {
        self.busy.set(true);
        Busy(self.clone())
    }
}

/// A socket at work.
pub struct Busy(Rc<Datagrams>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(false);
    }
}
