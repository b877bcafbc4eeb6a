//! Slots: a long-lived coroutine with its own globals and its closures of the chunks, used by one handler at a time.
//!
//! A finished coroutine can be started again, so that a handler's run is one `lua_resume` and allocates nothing. The
//! slot's globals table E stands in front of the real globals; it holds only `_G`, which is E itself. When a handler
//! left anything else there, E and the closures bound to it are dropped.

use crate::chunk::ChunkId;
use crate::fingerprint::{EnvAt, Fingerprint};
use crate::raw;
use crate::threads::Core;
use mlua_sys as sys;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

/// What all slots of a VM share.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    /// The VM's main state.
    pub(crate) main: *mut sys::lua_State,
    /// Registry entry and address of the metatable of every E.
    pub(crate) meta: c_int,
    pub(crate) meta_at: *const c_void,
}

/// A slot's closure of a chunk.
#[derive(Clone, Copy, Default)]
struct Closure {
    /// Its registry entry; 0 where none was made yet.
    entry: c_int,
    /// Where it keeps its globals; none where Lua must be asked.
    env: Option<EnvAt>,
}

pub(crate) struct Slot {
    pub(crate) lua: *mut sys::lua_State,
    anchor: c_int,
    env: c_int,
    env_at: *const c_void,
    /// E as it was when it was fresh; none where it must be walked instead.
    fingerprint: Option<Fingerprint>,
    /// By chunk.
    closures: Vec<Closure>,
    /// Where the coroutine keeps its globals; none where Lua must be asked.
    globals: Option<EnvAt>,
    pub(crate) core: Rc<Core>,
    /// A function of the handler outlives it and keeps E.
    pub(crate) detached: bool,
}

impl Slot {
    /// # Safety
    /// `shared.main` is live and at least 8 stack slots are free on it (so for all functions here).
    pub(crate) unsafe fn new(shared: &Shared) -> Self {
        let mut slot = Self {
            lua: std::ptr::null_mut(),
            anchor: 0,
            env: 0,
            env_at: std::ptr::null(),
            fingerprint: None,
            closures: Vec::new(),
            globals: None,
            core: Rc::new(Core::new()),
            detached: false,
        };
        // SAFETY: the caller's contract.
        unsafe {
            slot.fresh_env(shared);
            slot.fresh_thread(shared);
        }
        slot
    }

    /// # Safety
    /// See [`Slot::new`].
    unsafe fn fresh_env(&mut self, shared: &Shared) {
        let l = shared.main;
        // SAFETY: room is there; every push is popped again.
        unsafe {
            sys::lua_createtable(l, 0, 1);
            sys::lua_pushlstring(l, c"_G".as_ptr(), 2);
            sys::lua_pushvalue(l, -2);
            sys::lua_rawset(l, -3);
            raw::push_item(l, sys::LUA_REGISTRYINDEX, shared.meta);
            sys::lua_setmetatable(l, -2);
            self.env_at = sys::lua_topointer(l, -1);
            self.fingerprint = Fingerprint::of_fresh(self.env_at, shared.meta_at);
            self.env = sys::luaL_ref(l, sys::LUA_REGISTRYINDEX);
        }
    }

    /// # Safety
    /// See [`Slot::new`]; the slot has an E.
    unsafe fn fresh_thread(&mut self, shared: &Shared) {
        let l = shared.main;
        // SAFETY: room is there; the old coroutine is only let go.
        unsafe {
            if self.anchor != 0 {
                sys::luaL_unref(l, sys::LUA_REGISTRYINDEX, self.anchor);
            }
            self.lua = sys::lua_newthread(l);
            self.anchor = sys::luaL_ref(l, sys::LUA_REGISTRYINDEX);
            self.bind_env();
        }
    }

    /// Makes E the globals of the slot's coroutine.
    ///
    /// # Safety
    /// See [`Slot::new`].
    unsafe fn bind_env(&mut self) {
        // SAFETY: a live coroutine at rest.
        unsafe {
            raw::push_item(self.lua, sys::LUA_REGISTRYINDEX, self.env);
            sys::lua_replace(self.lua, sys::LUA_GLOBALSINDEX);
            self.globals = EnvAt::of_thread(self.lua.cast(), self.env_at);
        }
    }

    /// Pushes the slot's closure of a chunk onto the slot's coroutine, made by `factory` at the first time.
    ///
    /// # Safety
    /// See [`Slot::new`]; `factory` is the registry entry of the chunk's factory.
    pub(crate) unsafe fn push_closure(&mut self, chunk: ChunkId, factory: c_int) {
        let at = chunk.0 as usize;
        let l = self.lua;
        // SAFETY: a coroutine at rest has its minimum of 20 slots free; the factory runs one instruction that makes
        // a closure, which can fail only for want of memory.
        unsafe {
            if let Some(&Closure { entry, env }) = self.closures.get(at)
                && entry != 0
            {
                raw::push_item(l, sys::LUA_REGISTRYINDEX, entry);
                let same = match env {
                    Some(env) => env.holds(self.env_at),
                    None => {
                        sys::lua_getfenv(l, -1);
                        let same = sys::lua_topointer(l, -1) == self.env_at;
                        sys::lua_settop(l, -2);
                        same
                    }
                };
                if same {
                    return;
                }
                sys::lua_settop(l, -2);
                sys::luaL_unref(l, sys::LUA_REGISTRYINDEX, entry);
            }
            raw::push_item(l, sys::LUA_REGISTRYINDEX, factory);
            sys::lua_call(l, 0, 1);
            raw::push_item(l, sys::LUA_REGISTRYINDEX, self.env);
            sys::lua_setfenv(l, -2);
            sys::lua_pushvalue(l, -1);
            let env = EnvAt::of_function(sys::lua_topointer(l, -1), self.env_at);
            let entry = sys::luaL_ref(l, sys::LUA_REGISTRYINDEX);
            if self.closures.len() <= at {
                self.closures.resize(at + 1, Closure::default());
            }
            if let Some(place) = self.closures.get_mut(at) {
                *place = Closure { entry, env };
            }
        }
    }

    /// Makes the slot ready for its next handler, whatever the last one left.
    ///
    /// # Safety
    /// See [`Slot::new`]; nothing runs on the slot's coroutine.
    pub(crate) unsafe fn clean(&mut self, shared: &Shared) {
        // SAFETY: the caller's contract.
        unsafe {
            let dead = sys::lua_status(self.lua) != 0;
            if !dead && sys::lua_gettop(self.lua) > 0 {
                sys::lua_settop(self.lua, 0);
            }
            if std::mem::take(&mut self.detached) || !self.env_is_clean(shared, dead) {
                self.drop_env(shared);
                self.fresh_env(shared);
                if !dead {
                    self.bind_env();
                }
            }
            if dead {
                self.fresh_thread(shared);
            }
        }
    }

    /// Whether E holds `_G` = E and nothing else, has its own metatable, and is still the coroutine's globals.
    ///
    /// # Safety
    /// See [`Slot::clean`].
    unsafe fn env_is_clean(&self, shared: &Shared, dead: bool) -> bool {
        let l = if dead { shared.main } else { self.lua };
        // SAFETY: the pseudo-index of the globals is always readable; E is kept by the registry, so its print may be
        // taken.
        unsafe {
            let bound = || match self.globals {
                Some(globals) => globals.holds(self.env_at),
                None => sys::lua_topointer(l, sys::LUA_GLOBALSINDEX) == self.env_at,
            };
            if !dead && !bound() {
                return false;
            }
            if let Some(print) = &self.fingerprint {
                return print.is_of(self.env_at);
            }
        }
        // SAFETY: fewer than 8 values are pushed and all are popped; lua_next starts from nil and goes on from a key
        // that it gave itself.
        unsafe {
            let base = sys::lua_gettop(l);
            if dead {
                raw::push_item(l, sys::LUA_REGISTRYINDEX, self.env);
            } else {
                sys::lua_pushvalue(l, sys::LUA_GLOBALSINDEX);
            }
            let mut clean = sys::lua_topointer(l, -1) == self.env_at;
            if clean {
                sys::lua_pushnil(l);
                clean = sys::lua_next(l, -2) != 0 && sys::lua_topointer(l, -1) == self.env_at && {
                    sys::lua_settop(l, -2);
                    sys::lua_next(l, -2) == 0
                };
            }
            if clean {
                clean = sys::lua_getmetatable(l, base + 1) != 0 && sys::lua_topointer(l, -1) == shared.meta_at;
            }
            sys::lua_settop(l, base);
            clean
        }
    }

    /// # Safety
    /// See [`Slot::new`].
    unsafe fn drop_env(&mut self, shared: &Shared) {
        for Closure { entry, .. } in self.closures.drain(..) {
            // SAFETY: an entry made by luaL_ref, given back once; 0 stands for none.
            unsafe {
                if entry != 0 {
                    sys::luaL_unref(shared.main, sys::LUA_REGISTRYINDEX, entry);
                }
            }
        }
        // SAFETY: as above.
        unsafe { sys::luaL_unref(shared.main, sys::LUA_REGISTRYINDEX, self.env) }
    }

    /// Gives everything back to Lua.
    ///
    /// # Safety
    /// See [`Slot::new`]; the slot is not used again.
    pub(crate) unsafe fn discard(mut self, shared: &Shared) {
        // SAFETY: the caller's contract.
        unsafe {
            self.drop_env(shared);
            sys::luaL_unref(shared.main, sys::LUA_REGISTRYINDEX, self.anchor);
        }
    }
}
