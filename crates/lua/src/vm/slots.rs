//! The slots of a VM: given to handlers, cleaned and kept for the next ones.

use super::Vm;
use crate::chunk::ChunkId;
use crate::raise::LuaError;
use crate::slot::Slot;
use mlua_sys as sys;

impl Vm {
    /// A slot with the chunk's closure on its stack.
    pub(crate) fn take_slot(&self, chunk: ChunkId) -> Result<Box<Slot>, LuaError> {
        let factory = self.factory(chunk)?;
        let mut slot = self.take_bare_slot()?;
        // SAFETY: the slot is at rest, and taking it made room on the main state.
        unsafe { slot.push_closure(chunk, factory) }
        Ok(slot)
    }

    /// A slot with a closure of the chunk on its stack that has the real globals.
    pub(crate) fn take_slot_for_globals(&self, chunk: ChunkId) -> Result<Box<Slot>, LuaError> {
        let factory = self.factory(chunk)?;
        let slot = self.take_bare_slot()?;
        // SAFETY: the slot is at rest with its minimum of 20 stack slots free; the factory runs one instruction.
        unsafe {
            sys::lua_rawgeti(slot.lua, sys::LUA_REGISTRYINDEX, factory as sys::lua_Integer);
            sys::lua_call(slot.lua, 0, 1);
        }
        Ok(slot)
    }

    /// A slot with nothing on its stack.
    pub(crate) fn take_bare_slot(&self) -> Result<Box<Slot>, LuaError> {
        self.enter()?;
        while let Some(slot) = self.next_late() {
            for thread in slot.core.threads.borrow_mut().take() {
                if thread.anchor != 0 {
                    // SAFETY: `enter` made room; the entry was made by luaL_ref and is given back once.
                    unsafe { sys::luaL_unref(self.main(), sys::LUA_REGISTRYINDEX, thread.anchor) }
                }
            }
            // SAFETY: as above; the job is gone.
            unsafe { slot.discard(&self.inner.shared) }
        }
        let idle = self.inner.slots.borrow_mut().pop();
        // SAFETY: `enter` made room on the main state.
        unsafe { self.inner.cx.bin.drain(self.main()) }
        // Now that nothing holds what earlier handlers left.
        if let Some(meter) = self.inner.cx.meter.get() {
            // SAFETY: `enter` has said so.
            unsafe { meter.make_room() }
        }
        // SAFETY: as above.
        unsafe { Ok(idle.unwrap_or_else(|| Box::new(Slot::new(&self.inner.shared)))) }
    }

    fn next_late(&self) -> Option<Box<Slot>> {
        self.inner.late.borrow_mut().pop()
    }

    /// Cleans a slot after its handler.
    pub(crate) fn release_slot(&self, slot: &mut Slot) {
        // SAFETY: nothing runs on the slot, and the main state has room: `enter` asked for 40 when it was taken.
        unsafe {
            slot.clean(&self.inner.shared);
        }
    }

    /// Takes the slot of a job that is dropped inside a fast row; its coroutines go with the next slot that is taken.
    pub(crate) fn retire_later(&self, slot: Box<Slot>) {
        self.inner.late.borrow_mut().push(slot);
    }

    /// Keeps a clean slot for the next handler.
    pub(crate) fn pool_slot(&self, slot: Box<Slot>) {
        let mut slots = self.inner.slots.borrow_mut();
        if slots.len() < self.inner.idle.get() {
            slots.push(slot);
        } else {
            // SAFETY: as for give_slot.
            unsafe { slot.discard(&self.inner.shared) }
        }
    }
}
