//! Sessions that Lua code holds, to resume by.

use crate::socket::table::Table;
use std::cell::RefCell;
use std::sync::Arc;
use tls::resume::Slot;

/// The sessions of a worker, by the numbers that their Lua objects hold.
#[derive(Default)]
pub struct Sessions(RefCell<Table<Arc<Slot>>>);

impl Sessions {
    /// Keeps a session and returns its number.
    pub fn add(&self, slot: Arc<Slot>) -> u64 {
        self.0.borrow_mut().add(slot)
    }

    /// Lets one go; nothing, if it is not to be had here and now.
    pub fn remove(&self, id: u64) -> Option<Arc<Slot>> {
        self.0.try_borrow_mut().ok()?.remove(id)
    }

    /// The session of this number.
    pub fn get(&self, id: u64) -> Option<Arc<Slot>> {
        self.0.borrow().get(id).cloned()
    }
}

/// How logs name a session, as OpenResty names it by its address.
#[must_use]
pub fn log_name(slot: &Arc<Slot>) -> String {
    format!("{:X}", Arc::as_ptr(slot) as usize)
}
