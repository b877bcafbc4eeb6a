//! A safe view of a Lua stack: reads without coercing, raw table access only, and pushes that first make room.
//!
//! Only calls that cannot raise a Lua error are made here, so that no `longjmp` crosses a Rust frame. Exhausted memory is the exception,
//! which ends the process as it does in OpenResty, and so is a table of more than [`MOST_KEYS`](crate::MOST_KEYS) entries: who
//! makes tables of a size that a client chooses stops there.

mod tables;

use crate::raise::{Raise, StackOverflow};
use crate::raw;
use crate::reference::{Ref, RefBin};
use mlua_sys as sys;
use std::ffi::{c_int, c_void};

/// An index or a number of values as Lua wants it, for what stands on a stack: there is room for far fewer than the type can count.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a stack ends at 65,500 values (LUAI_MAXCSTACK)")]
pub(crate) const fn lua_index(index: usize) -> c_int {
    debug_assert!(index <= c_int::MAX as usize);
    index as c_int
}

/// The type of a Lua value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// No value at that index.
    None,
    /// `nil`
    Nil,
    /// `true`, `false`
    Boolean,
    /// A bare pointer, such as `ngx.null`.
    LightUserdata,
    /// A number.
    Number,
    /// A string.
    String,
    /// A table.
    Table,
    /// A function.
    Function,
    /// A full userdata.
    Userdata,
    /// A coroutine.
    Thread,
    /// A cdata of LuaJIT's FFI.
    Cdata,
}

impl Type {
    /// Of Lua's number for a value that is there.
    pub(crate) const fn of(number: c_int) -> Self {
        match number {
            sys::LUA_TNIL => Self::Nil,
            sys::LUA_TBOOLEAN => Self::Boolean,
            sys::LUA_TLIGHTUSERDATA => Self::LightUserdata,
            sys::LUA_TNUMBER => Self::Number,
            sys::LUA_TSTRING => Self::String,
            sys::LUA_TTABLE => Self::Table,
            sys::LUA_TFUNCTION => Self::Function,
            sys::LUA_TUSERDATA => Self::Userdata,
            sys::LUA_TTHREAD => Self::Thread,
            _ => Self::Cdata,
        }
    }

    /// The name as `type()` gives it, `no value` for none (the words of `luaL_typerror`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::LightUserdata | Self::Userdata => "userdata",
            Self::Number => "number",
            Self::String => "string",
            Self::Table => "table",
            Self::Function => "function",
            Self::Thread => "thread",
            Self::Cdata => "cdata",
        }
    }
}

/// The stack of a running native function: arguments from index 1 on, results pushed on top.
pub struct Stack<'a> {
    l: *mut sys::lua_State,
    bin: &'a RefBin,
}

impl<'a> Stack<'a> {
    /// # Safety
    /// `l` is a live state of the VM `bin` belongs to, and nobody else uses its stack meanwhile.
    pub(crate) unsafe fn new(l: *mut sys::lua_State, bin: &'a RefBin) -> Self {
        Self { l, bin }
    }

    pub(crate) fn state(&self) -> *mut sys::lua_State {
        self.l
    }

    /// Makes room for `n` more values; false when Lua's limit is reached.
    pub fn reserve(&mut self, n: usize) -> bool {
        // SAFETY: a live state.
        c_int::try_from(n).is_ok_and(|n| unsafe { sys::lua_checkstack(self.l, n) } != 0)
    }

    /// How many values stand on the stack: the number of arguments when nothing was pushed.
    pub fn top(&self) -> usize {
        // SAFETY: a live state.
        unsafe { sys::lua_gettop(self.l) as usize }
    }

    /// The index as Lua wants it, when a value stands there.
    fn at(&self, index: usize) -> Option<c_int> {
        if index == 0 || index > self.top() { None } else { c_int::try_from(index).ok() }
    }

    /// The type of the value at `index` (from 1).
    pub fn kind(&self, index: usize) -> Type {
        let Some(i) = self.at(index) else {
            return Type::None;
        };
        // SAFETY: a value stands at `i`.
        Type::of(unsafe { sys::lua_type(self.l, i) })
    }

    /// Whether nothing or nil stands at `index`.
    pub fn is_nil(&self, index: usize) -> bool {
        matches!(self.kind(index), Type::None | Type::Nil)
    }

    /// Whether the value there is true in Lua's sense.
    pub fn truthy(&self, index: usize) -> bool {
        // SAFETY: a value stands at `i`.
        self.at(index).is_some_and(|i| unsafe { sys::lua_toboolean(self.l, i) } != 0)
    }

    /// The number there; strings that look like numbers count, as in Lua.
    pub fn number(&self, index: usize) -> Option<f64> {
        let i = self.at(index)?;
        // SAFETY: a value stands at `i`.
        unsafe { (sys::lua_isnumber(self.l, i) != 0).then(|| sys::lua_tonumber(self.l, i)) }
    }

    /// The bytes of the string there. A number is first turned into its string in place, as `lua_tolstring` does.
    /// The borrow keeps the stack from being changed while the bytes are read.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let i = self.at(index)?;
        let mut len = 0;
        // SAFETY: a value stands at `i`; the string lives at least as long as it stands there, and this borrow
        // forbids every pop and replacement.
        unsafe {
            let p = sys::lua_tolstring(self.l, i, &raw mut len);
            (!p.is_null()).then(|| std::slice::from_raw_parts(p.cast::<u8>(), len))
        }
    }

    /// The bytes of a string argument, or the error `bad argument #N to 'F' (string expected, got T)`.
    ///
    /// # Errors
    /// When neither string nor number stands there.
    pub fn check_bytes(&self, index: usize, function: &str) -> Result<&[u8], Raise> {
        self.bytes(index).ok_or_else(|| self.mismatch(index, function, "string"))
    }

    /// A number argument, or the error of `luaL_checknumber`.
    ///
    /// # Errors
    /// When no number stands there.
    pub fn check_number(&self, index: usize, function: &str) -> Result<f64, Raise> {
        self.number(index).ok_or_else(|| self.mismatch(index, function, "number"))
    }

    /// The error of `luaL_typerror` for the argument at `index`.
    pub fn mismatch(&self, index: usize, function: &str, expected: &str) -> Raise {
        let what = format!("{expected} expected, got {}", self.kind(index).name());
        Raise::argument(index, function, &what)
    }

    /// The address in a light userdata, such as `ngx.null`.
    pub fn light(&self, index: usize) -> Option<usize> {
        if self.kind(index) != Type::LightUserdata {
            return None;
        }
        let i = self.at(index)?;
        // SAFETY: a light userdata stands at `i`; only its address is looked at.
        Some(unsafe { sys::lua_touserdata(self.l, i) }.addr())
    }

    /// The coroutine there, as the scheduler names it.
    pub(crate) fn thread(&self, index: usize) -> Option<*mut sys::lua_State> {
        let i = self.at(index)?;
        // SAFETY: a value stands at `i`.
        let co = unsafe { sys::lua_tothread(self.l, i) };
        (!co.is_null()).then_some(co)
    }

    /// Whether two values are the same without metamethods.
    pub fn same(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.at(a), self.at(b)) else {
            return false;
        };
        // SAFETY: values stand at both.
        unsafe { sys::lua_rawequal(self.l, a, b) != 0 }
    }

    /// Keeps the value at `index` alive beyond this call.
    pub fn reference(&mut self, index: usize) -> Option<Ref> {
        let i = self.at(index)?;
        if !self.reserve(2) {
            return None;
        }
        // SAFETY: room was made; `take` pops the copy.
        unsafe {
            sys::lua_pushvalue(self.l, i);
            Some(self.bin.take(self.l))
        }
    }

    /// Pushes a kept value; nil when it belongs to another VM.
    pub(crate) fn push_ref(&mut self, value: &Ref) {
        if !value.belongs_to(self.bin) {
            return self.push_nil();
        }
        self.check_stack();
        // SAFETY: the registry entry lives while the Ref does.
        unsafe {
            sys::lua_rawgeti(self.l, sys::LUA_REGISTRYINDEX, value.slot() as sys::lua_Integer);
        }
    }

    /// Makes room for what one push needs. Where Lua's limit of 8,000 values is reached the row ends with `stack overflow`,
    /// which its entry turns into a Lua error; a row that pushes without bound asks [`Stack::reserve`] first.
    fn check_stack(&mut self) {
        if !self.reserve(4) {
            std::panic::resume_unwind(Box::new(StackOverflow));
        }
    }

    /// Pushes nil.
    pub fn push_nil(&mut self) {
        self.check_stack();
        // SAFETY: room was made.
        unsafe { sys::lua_pushnil(self.l) }
    }

    /// Pushes a boolean.
    pub fn push_bool(&mut self, value: bool) {
        self.check_stack();
        // SAFETY: room was made.
        unsafe { sys::lua_pushboolean(self.l, c_int::from(value)) }
    }

    /// Pushes a number.
    pub fn push_number(&mut self, value: f64) {
        self.check_stack();
        // SAFETY: room was made.
        unsafe { sys::lua_pushnumber(self.l, value) }
    }

    /// Pushes a string of any bytes.
    pub fn push_bytes(&mut self, value: &[u8]) {
        self.check_stack();
        // SAFETY: room was made; Lua copies the bytes.
        unsafe {
            raw::push_string(self.l, value.as_ptr().cast(), value.len());
        }
    }

    /// Pushes a light userdata: an address of 47 bits that Lua can only compare and print.
    pub fn push_light(&mut self, address: usize) {
        self.push_pointer(std::ptr::without_provenance_mut(address));
    }

    /// Pushes a pointer that native code will get back.
    pub(crate) fn push_pointer(&mut self, pointer: *mut c_void) {
        self.check_stack();
        // SAFETY: room was made; the pointer is opaque to Lua.
        unsafe { push_light(self.l, pointer) }
    }

    /// Pushes a copy of the value at `index`, nil when there is none.
    pub fn push_copy(&mut self, index: usize) {
        match self.at(index) {
            Some(i) => {
                self.check_stack();
                // SAFETY: room was made and a value stands at `i`.
                unsafe { sys::lua_pushvalue(self.l, i) }
            }
            None => self.push_nil(),
        }
    }

    /// Shortens the stack to `top` values; never lengthens it.
    pub fn truncate(&mut self, top: usize) {
        if top < self.top() {
            // SAFETY: `top` is below the current top.
            unsafe { sys::lua_settop(self.l, lua_index(top)) }
        }
    }
}

/// # Safety
/// `l` is a live state with a free slot.
unsafe fn push_light(l: *mut sys::lua_State, pointer: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe { sys::lua_pushlightuserdata(l, pointer) }
}
