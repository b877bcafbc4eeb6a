//! Functions of Lua whose forms in the bindings do more than is asked for here: those look at what they pushed, which
//! costs a second call for each value.

use mlua_sys::lua_State;
use std::ffi::{c_char, c_int};

unsafe extern "C-unwind" {
    /// Pushes a copy of `n` bytes as a string.
    #[link_name = "lua_pushlstring"]
    pub(crate) fn push_string(l: *mut lua_State, bytes: *const c_char, n: usize);

    /// Pushes `table[n]`, raw, for the table at `index`.
    #[link_name = "lua_rawgeti"]
    pub(crate) fn push_item(l: *mut lua_State, index: c_int, n: c_int);

    /// `table[n] = value`, raw, for the value on top and the table at `index`; pops the value.
    #[link_name = "lua_rawseti"]
    pub(crate) fn set_item(l: *mut lua_State, index: c_int, n: c_int);

    /// Replaces the key on top by `table[key]`, raw, for the table at `index`.
    #[link_name = "lua_rawget"]
    pub(crate) fn swap_field(l: *mut lua_State, index: c_int);
}
