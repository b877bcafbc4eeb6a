//! Lua values kept alive from Rust: an entry in Lua's registry, released without a stack at hand.

use mlua_sys as sys;
use std::cell::RefCell;
use std::ffi::c_int;
use std::rc::Rc;

/// Registry entries whose owner is gone; emptied when the VM next has a stack at hand.
#[derive(Clone, Default)]
pub(crate) struct RefBin(Rc<RefCell<Vec<c_int>>>);

impl RefBin {
    /// Takes the value on top of `l`'s stack into the registry.
    ///
    /// # Safety
    /// `l` is a live state of the VM this bin belongs to, with a value on its stack.
    pub(crate) unsafe fn take(&self, l: *mut sys::lua_State) -> Ref {
        // SAFETY: the caller's contract; luaL_ref pops the value.
        unsafe {
            self.drain(l);
            let slot = sys::luaL_ref(l, sys::LUA_REGISTRYINDEX);
            Ref(Rc::new(Entry { slot, bin: self.clone() }))
        }
    }

    /// Gives abandoned entries back to Lua.
    ///
    /// # Safety
    /// `l` is a live state of the VM this bin belongs to.
    pub(crate) unsafe fn drain(&self, l: *mut sys::lua_State) {
        while let Some(slot) = self.0.try_borrow_mut().ok().and_then(|mut v| v.pop()) {
            // SAFETY: the entry was made by luaL_ref on the same registry and is given back once.
            unsafe { sys::luaL_unref(l, sys::LUA_REGISTRYINDEX, slot) }
        }
    }
}

struct Entry {
    slot: c_int,
    bin: RefBin,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Ok(mut bin) = self.bin.0.try_borrow_mut() {
            bin.push(self.slot);
        }
    }
}

/// A Lua value (function, table, thread, …) that stays alive while this handle or a clone of it lives.
#[derive(Clone)]
pub struct Ref(Rc<Entry>);

impl Ref {
    pub(crate) fn slot(&self) -> c_int {
        self.0.slot
    }
    pub(crate) fn belongs_to(&self, bin: &RefBin) -> bool {
        Rc::ptr_eq(&self.0.bin.0, &bin.0)
    }
}

impl std::fmt::Debug for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ref({})", self.0.slot)
    }
}
