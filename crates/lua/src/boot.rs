//! The first code that a VM runs: it defines in Lua what is best written in Lua, and hands its functions to Rust.

use crate::cx::{CDEF, CallContext};
use crate::light;
use crate::phase::{LuaPhase, PhaseSet};
use crate::raise::{ErrorKind, LuaError, Raise};
use crate::row::{self, Kind, Row};
use crate::stack::{Stack, lua_index};
use mlua_sys as sys;
use std::ffi::{CStr, c_int, c_void};
use std::rc::Rc;

/// Lua's part of the VM.
const PRELUDE: &str = concat!(include_str!("prelude.lua"), include_str!("globals.lua"));

/// Registry entries of the functions that the prelude gives to Rust.
#[derive(Clone, Copy)]
pub(crate) struct Prelude {
    pub(crate) factory: c_int,
    pub(crate) set_path: c_int,
    pub(crate) preload: c_int,
    pub(crate) supply: c_int,
    pub(crate) glue: c_int,
    pub(crate) explain: c_int,
    /// Entry and address of the metatable of handlers' globals.
    pub(crate) meta: (c_int, *const c_void),
}

fn report_global(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if let (Some(hooks), Some(name), Some(traceback)) = (cx.hooks(), stack.bytes(1), stack.bytes(2)) {
        hooks.global_write(cx, name, traceback);
    }
    Ok(0)
}

/// `lua_pcall`, with the message taken off the stack.
///
/// # Safety
/// A function and `nargs` arguments stand on `l`'s stack above `base`.
pub(crate) unsafe fn protected(
    l: *mut sys::lua_State,
    cx: &CallContext,
    base: c_int,
    nargs: c_int,
    results: c_int,
) -> Result<(), LuaError> {
    // SAFETY: the caller's contract.
    unsafe {
        let code = sys::lua_pcall(l, nargs, results, 0);
        if code == 0 {
            return Ok(());
        }
        let stack = Stack::new(l, &cx.bin);
        let message = stack.bytes(stack.top()).unwrap_or(b"unknown reason").to_vec();
        sys::lua_settop(l, base);
        let kind = if code == sys::LUA_ERRSYNTAX { ErrorKind::Syntax } else { ErrorKind::Runtime };
        Err(LuaError::plain(kind, message))
    }
}

/// Pushes a native function with its context and phases.
///
/// # Safety
/// `l` is a live state of `cx`'s VM with 4 free slots.
pub(crate) unsafe fn push_native(l: *mut sys::lua_State, cx: &Rc<CallContext>, function: sys::lua_CFunction, phases: PhaseSet) {
    // SAFETY: the caller's contract; the context outlives the VM.
    unsafe {
        sys::lua_pushlightuserdata(l, Rc::as_ptr(cx).cast_mut().cast());
        sys::lua_pushnumber(l, f64::from(phases.0));
        sys::lua_pushcclosure(l, function, 2);
    }
}

/// Runs the prelude in a fresh state.
///
/// # Errors
/// Memory is exhausted.
///
/// # Safety
/// `l` is a fresh state with the libraries opened, used by nobody else; `cx` outlives it.
pub(crate) unsafe fn run_prelude(l: *mut sys::lua_State, cx: &Rc<CallContext>) -> Result<Prelude, LuaError> {
    // SAFETY: a fresh state that nobody else uses; 20 slots are free and at most 8 are used.
    unsafe {
        let code = sys::luaL_loadbuffer(l, PRELUDE.as_ptr().cast(), PRELUDE.len(), c"=lunette".as_ptr());
        if code != 0 {
            return Err(LuaError::plain(ErrorKind::Syntax, "the prelude does not compile"));
        }
        let mut stack = Stack::new(l, &cx.bin);
        stack.push_table(0, 14);
        for (name, marker) in [("RAISE", &row::RAISE), ("PENDING", &row::PENDING), ("SUSPEND", &row::SUSPEND)] {
            stack.push_pointer(row::mark(marker));
            stack.set_field(2, name.as_bytes());
        }
        stack.push_pointer(Rc::as_ptr(cx).cast_mut().cast());
        stack.set_field(2, b"cx");
        stack.push_bytes(CDEF.as_bytes());
        stack.set_field(2, b"cdef");
        stack.push_number(f64::from(light::YIELDABLE.bits()));
        stack.set_field(2, b"yields");
        stack.push_number(f64::from(LuaPhase::INIT.bit));
        stack.set_field(2, b"init");
        stack.push_number(f64::from(LuaPhase::INIT.bit | LuaPhase::INIT_WORKER.bit));
        stack.set_field(2, b"starting");
        for row in [
            Row::calls("report", PhaseSet::EVERYWHERE, report_global),
            Row::calls("thread_status", PhaseSet::EVERYWHERE, light::status),
            Row::calls("ends", PhaseSet::EVERYWHERE, row::ends),
        ] {
            if let Kind::Native(function) = row.kind {
                push_native(l, cx, function, row.phases);
                stack.set_field(2, row.name.as_bytes());
            }
        }
        cx.light.set(weak_table(l, &mut stack, b"light"));
        cx.blame.set(weak_table(l, &mut stack, b"blame"));
        protected(l, cx, 0, 1, 1)?;
        let field = |name: &CStr| {
            let mut stack = Stack::new(l, &cx.bin);
            stack.get_field(1, name.to_bytes());
            let at = sys::lua_topointer(l, -1);
            (sys::luaL_ref(l, sys::LUA_REGISTRYINDEX), at)
        };
        let prelude = Prelude {
            factory: field(c"factory").0,
            set_path: field(c"set_path").0,
            preload: field(c"preload").0,
            supply: field(c"supply").0,
            glue: field(c"glue").0,
            explain: field(c"explain").0,
            meta: field(c"env_meta"),
        };
        sys::lua_settop(l, 0);
        Ok(prelude)
    }
}

/// Makes a table with weak keys, gives it to the prelude's argument at index 2 and keeps it in the registry.
///
/// # Safety
/// The prelude's argument table stands at index 2 of `l`, with 6 free slots above.
unsafe fn weak_table(l: *mut sys::lua_State, stack: &mut Stack<'_>, name: &[u8]) -> c_int {
    stack.push_table(0, 0);
    let table = stack.top();
    stack.push_table(0, 1);
    stack.push_bytes(b"k");
    stack.set_field(table + 1, b"__mode");
    // SAFETY: the metatable stands on top, the table below it.
    let entry = unsafe {
        sys::lua_setmetatable(l, lua_index(table));
        sys::lua_pushvalue(l, lua_index(table));
        sys::luaL_ref(l, sys::LUA_REGISTRYINDEX)
    };
    stack.set_field(2, name);
    entry
}
