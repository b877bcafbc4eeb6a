//! The memory that one machine may use (`lua_max_memory`).
//!
//! The machine's allocator is asked through a meter. When much of the limit is used, it makes the collector finish a whole
//! cycle as soon as the running code allocates again, and before the next handler starts. While Lua code runs, an allocation
//! beyond the limit is refused, which Lua reports as `not enough memory`: an error that ends the handler, not the worker.
//! Native functions may overdraw: an error of the allocator must not leave through a Rust frame, and what they allocate is
//! small or was in memory already.

use mlua_sys as sys;
use std::cell::Cell;
use std::ffi::{CStr, c_void};

/// Counts what a machine has allocated.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: usize,
    used: Cell<usize>,
    /// Lua code runs, which can bear a refusal.
    pub(crate) refusing: Cell<bool>,
    /// The least that was used since the collector was last told to hurry.
    low: Cell<usize>,
    /// What was left by the last collection between handlers.
    recorded: Cell<usize>,
    /// Something was refused since then.
    refused: Cell<bool>,
    inner: sys::lua_Alloc,
    inner_data: *mut c_void,
    lua: *mut sys::lua_State,
}

impl Meter {
    /// Puts a meter in front of the machine's allocator. It must be taken away before the machine is closed, and stay
    /// where it is till then.
    ///
    /// # Safety
    /// `lua` is a live main state of this thread on which nothing runs.
    pub(crate) unsafe fn install(lua: *mut sys::lua_State, limit: usize) -> Box<Meter> {
        let mut inner_data = std::ptr::null_mut();
        // SAFETY: the caller's contract; the meter outlives its use as the allocator's data.
        unsafe {
            let inner = sys::lua_getallocf(lua, &raw mut inner_data);
            let kib = usize::try_from(sys::lua_gc(lua, sys::LUA_GCCOUNT, 0)).unwrap_or(0);
            let used = Cell::new(kib * 1024);
            let (refusing, refused) = (Cell::new(false), Cell::new(false));
            let meter =
                Box::new(Meter { limit, used, refusing, low: Cell::new(0), recorded: Cell::new(0), refused, inner, inner_data, lua });
            sys::lua_setallocf(lua, allocate, std::ptr::from_ref::<Meter>(&meter).cast_mut().cast());
            meter
        }
    }

    /// # Safety
    /// The machine is live and nothing runs on it.
    pub(crate) unsafe fn remove(&self) {
        // SAFETY: the caller's contract.
        unsafe { sys::lua_setallocf(self.lua, self.inner, self.inner_data) }
    }

    /// Whether the machine is rather full and has grown since this was last so.
    fn is_due(&self, used: usize) -> bool {
        self.low.set(self.low.get().min(used));
        let due = used > self.limit / 8 * 5 && used > self.low.get() + self.limit / 16;
        if due {
            self.low.set(used);
        }
        due
    }

    /// Collects garbage if the machine is nearly full and holds more than the last collection had to leave, or something was
    /// refused since.
    ///
    /// # Safety
    /// The machine may be entered now.
    pub(crate) unsafe fn make_room(&self) {
        let used = self.used.get();
        if used > self.limit / 8 * 7 && (used > self.recorded.get() + self.limit / 32 || self.refused.take()) {
            // SAFETY: the caller's contract.
            unsafe {
                take_ffi_over(self.lua);
                sys::lua_gc(self.lua, sys::LUA_GCCOLLECT, 0);
            }
            self.recorded.set(self.used.get());
            self.low.set(self.used.get());
        }
    }
}

/// LuaJIT's FFI keeps the coroutine that has used it last, and with it what a dead one has on its stack. Now that is `lua`.
///
/// # Safety
/// `lua` is a live main state on which nothing runs, with room for three values.
unsafe fn take_ffi_over(lua: *mut sys::lua_State) {
    // SAFETY: the caller's contract. The tables are plain ones that the machine keeps; if a script has spoilt them, the call
    // fails in its protected frame.
    unsafe {
        let top = sys::lua_gettop(lua);
        sys::lua_getfield(lua, sys::LUA_REGISTRYINDEX, c"_LOADED".as_ptr());
        raw_field(lua, c"ffi");
        raw_field(lua, c"sizeof");
        sys::lua_pushlstring(lua, c"int".as_ptr(), 3);
        // It was called for what it leaves behind.
        let _ = sys::lua_pcall(lua, 1, 0, 0);
        sys::lua_settop(lua, top);
    }
}

/// Puts the field of the table on top in its place; nil where no table is.
///
/// # Safety
/// `lua` is live and has a value on its stack and room for two more.
unsafe fn raw_field(lua: *mut sys::lua_State, name: &CStr) {
    // SAFETY: the caller's contract; a raw read of a table runs no code.
    unsafe {
        if sys::lua_type(lua, -1) == sys::LUA_TTABLE {
            sys::lua_pushlstring(lua, name.as_ptr(), name.to_bytes().len());
            sys::lua_rawget(lua, -2);
        } else {
            sys::lua_pushnil(lua);
        }
        sys::lua_replace(lua, -2);
    }
}

/// The allocator of a machine with a limit: `realloc` with the old size, as lua_Alloc(3) says.
unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: the meter is the allocator's data while it is installed.
    let meter = unsafe { &*data.cast::<Meter>() };
    let old = if block.is_null() { 0 } else { old };
    let used = meter.used.get().saturating_sub(old).saturating_add(new);
    if new > old && used > meter.limit && meter.refusing.get() {
        meter.refused.set(true);
        return std::ptr::null_mut();
    }
    if new > old && meter.is_due(used) {
        // SAFETY: these two only set numbers: a step is a whole cycle from now on, and the next one is due at once.
        unsafe {
            sys::lua_gc(meter.lua, sys::LUA_GCSETSTEPMUL, 0);
            sys::lua_gc(meter.lua, sys::LUA_GCRESTART, 0);
        }
    }
    // SAFETY: passed on as it came.
    let moved = unsafe { (meter.inner)(meter.inner_data, block, old, new) };
    if !moved.is_null() || new == 0 {
        meter.used.set(used);
    }
    moved
}
