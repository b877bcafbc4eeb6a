//! `ngx.ctx` tables by number: which numbers are in use, and by whom.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// Numbers of tables in the VM's list of `ngx.ctx` tables.
#[derive(Debug, Default)]
pub struct Slots {
    free: RefCell<Vec<i32>>,
    next: Cell<i32>,
}

impl Slots {
    fn take(&self) -> i32 {
        self.free.borrow_mut().pop().unwrap_or_else(|| {
            self.next.set(self.next.get() + 1);
            self.next.get()
        })
    }
}

/// An `ngx.ctx` table that code in a handshake leaves for the requests of the connection.
pub struct HandshakeCtx {
    slot: i32,
    slots: Rc<Slots>,
}

impl HandshakeCtx {
    /// The number of the table.
    pub fn slot(&self) -> i32 {
        self.slot
    }
}

impl Drop for HandshakeCtx {
    fn drop(&mut self) {
        self.slots.free.borrow_mut().push(self.slot);
    }
}

/// The `ngx.ctx` table of a session.
#[derive(Default)]
pub struct CtxTable {
    slot: Cell<i32>,
    slots: OnceCell<Rc<Slots>>,
    /// The number is somebody else's to give back.
    is_kept: Cell<bool>,
}

impl CtxTable {
    /// The number of the table; negative when it has just been given and the table must be made.
    #[inline]
    pub fn slot(&self, slots: &Rc<Slots>) -> i32 {
        let slot = self.slot.get();
        if slot != 0 {
            return slot;
        }
        let slot = slots.take();
        self.slot.set(slot);
        // The first list stays; there is one in a worker.
        let _ = self.slots.set(slots.clone());
        -slot
    }

    /// Hands the table on, if there is one.
    pub fn take(&self) -> Option<HandshakeCtx> {
        let slots = self.slots.get()?.clone();
        let slot = self.slot.take();
        (slot != 0).then_some(HandshakeCtx { slot, slots })
    }

    /// The table, for those who keep it beyond the session's state; `None` if there is none, or if somebody has it.
    pub fn share(&self) -> Option<HandshakeCtx> {
        let slots = self.slots.get().filter(|_| self.exists() && !self.is_kept.replace(true))?;
        Some(HandshakeCtx { slot: self.slot.get(), slots: slots.clone() })
    }

    /// Whether there is a table.
    pub fn exists(&self) -> bool {
        self.slot.get() != 0
    }

    /// Gives the number back.
    pub fn give_back(&self) {
        let slot = self.slot.take();
        let kept = self.is_kept.take();
        if let Some(slots) = self.slots.get().filter(|_| slot != 0 && !kept) {
            slots.free.borrow_mut().push(slot);
        }
    }
}

impl Drop for CtxTable {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_tables_are_given_again() {
        let slots = Rc::new(Slots::default());
        let (one, two) = (CtxTable::default(), CtxTable::default());
        assert_eq!((one.slot(&slots), two.slot(&slots)), (-1, -2));
        assert_eq!(one.slot(&slots), 1);
        assert!(one.exists() && !CtxTable::default().exists());
        drop(one);
        assert_eq!(CtxTable::default().slot(&slots), -1);
    }

    #[test]
    fn a_place_that_somebody_keeps_is_his_to_give() {
        let slots = Rc::new(Slots::default());
        let table = CtxTable::default();
        assert!(table.share().is_none(), "there is no table yet");
        table.slot(&slots);
        let kept = table.share().unwrap();
        assert!(kept.slot() == 1 && table.share().is_none());
        table.give_back();
        assert_eq!(table.slot(&slots), -2, "the first is in use");
        drop(kept);
        drop(table);
        let (one, two, three) = (CtxTable::default(), CtxTable::default(), CtxTable::default());
        let mut places = [one.slot(&slots), two.slot(&slots), three.slot(&slots)];
        places.sort_unstable();
        assert_eq!(places, [-3, -2, -1], "each once");
    }
}
