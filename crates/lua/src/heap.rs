//! A machine's memory, which comes from the program's own allocator: LuaJIT's takes three times as long to free a block, and what a request
//! leaves behind is a dozen.

use mlua_sys as sys;
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::{c_int, c_void};
use std::io::Write;

/// What LuaJIT expects of every block.
const ALIGNMENT: usize = 8;

/// A new machine without libraries; null if memory is exhausted.
pub(crate) fn new_state() -> *mut sys::lua_State {
    // LuaJIT keeps 47 bits of an address. Elsewhere programs may get memory beyond these, which its own allocator avoids.
    if !cfg!(target_arch = "x86_64") {
        // SAFETY: the state is fresh.
        return unsafe { sys::luaL_newstate() };
    }
    // SAFETY: the function is an allocator as lua_Alloc(3) wants it, and needs no data; the state is fresh.
    unsafe {
        let state = sys::lua_newstate(allocate, std::ptr::null_mut());
        if !state.is_null() {
            sys::lua_atpanic(state, panic);
        }
        state
    }
}

/// How much of memory a block of `size` bytes takes.
///
/// LuaJIT finds what is a key in a table by its address, of whose hash the lowest bits follow the address's own lowest ones. Blocks of 64 and
/// 96 bytes, tables and coroutines, would differ in none of six or five of them, and a table would keep all of its keys in a few long chains.
/// Their neighbours are apart by an odd multiple of 16 bytes instead, as in LuaJIT's own heap.
#[inline]
fn room(size: usize) -> usize {
    if size & !32 == 64 { size + 16 } else { size }
}

/// # Safety
/// `block` is null or one of this function's with `old` bytes.
unsafe extern "C" fn allocate(_: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: the caller's contract; no size is 0, and LuaJIT's sizes are far from the largest that a layout may have.
    unsafe {
        let layout = Layout::from_size_align_unchecked(room(old), ALIGNMENT);
        if new == 0 {
            if !block.is_null() {
                dealloc(block.cast(), layout);
            }
            std::ptr::null_mut()
        } else if block.is_null() {
            alloc(Layout::from_size_align_unchecked(room(new), ALIGNMENT)).cast()
        } else {
            realloc(block.cast(), layout, room(new)).cast()
        }
    }
}

/// Says what an error said that no call protects from; then the process exits.
unsafe extern "C-unwind" fn panic(state: *mut sys::lua_State) -> c_int {
    // SAFETY: the machine is live, and the error is its last value. A string lives as long as it stands there.
    let text = unsafe {
        let mut length = 0;
        let bytes = sys::lua_tolstring(state, -1, &raw mut length);
        if bytes.is_null() { b"?".as_slice() } else { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }
    };
    let text = String::from_utf8_lossy(text);
    // Nobody is left to tell of a failure.
    let _ = writeln!(std::io::stderr(), "PANIC: unprotected error in call to Lua API ({text})");
    0
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn objects_that_are_keys_are_apart_by_odd_multiples_of_sixteen() {
        for (size, expected) in
            [(0, 0), (16, 16), (32, 32), (63, 63), (64, 80), (65, 65), (96, 112), (97, 97), (128, 128), (160, 160), (1000, 1000)]
        {
            assert_eq!(room(size), expected, "{size}");
        }
    }
}
