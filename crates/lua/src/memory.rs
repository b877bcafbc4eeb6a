//! The memory that one machine may use (`lua_max_memory`).
//!
//! The machine's allocator is asked through a meter. When much of the limit is used, it makes the collector finish a whole
//! cycle as soon as the running code allocates again, and before the next handler starts. While Lua code runs, an allocation beyond the limit is refused, which Lua reports as `not enough memory`: an
//! error that ends the handler, not the worker. Native functions may overdraw: an error of the allocator must not leave
//! through a Rust frame, and what they allocate is small or was in memory already.

use mlua_sys as sys;
use std::cell::Cell;
use std::ffi::c_void;

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
    kept: Cell<usize>,
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
            let meter =
                Box::new(Meter { limit, used, refusing: Cell::new(false), low: Cell::new(0), kept: Cell::new(0), inner, inner_data, lua });
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

    /// Collects garbage if the machine is nearly full and holds more than the last collection had to leave.
    ///
    /// # Safety
    /// The machine may be entered now.
    pub(crate) unsafe fn make_room(&self) {
        let used = self.used.get();
        if used > self.limit / 8 * 7 && used > self.kept.get() + self.limit / 32 {
            // SAFETY: the caller's contract.
            unsafe { sys::lua_gc(self.lua, sys::LUA_GCCOLLECT, 0) };
            self.kept.set(self.used.get());
            self.low.set(self.used.get());
        }
    }
}

/// The allocator of a machine with a limit: `realloc` with the old size, as lua_Alloc(3) says.
unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: the meter is the allocator's data while it is installed.
    let meter = unsafe { &*data.cast::<Meter>() };
    let old = if block.is_null() { 0 } else { old };
    let used = meter.used.get().saturating_sub(old).saturating_add(new);
    if new > old && used > meter.limit && meter.refusing.get() {
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
