//! Reading nested values on a Lua stack: one goes into tables and out of them, and always looks at the value on top.
//!
//! Values are read raw. Where a table's metamethods are asked for, they run behind a protected call; what they may have
//! done to tables that are being walked is caught in the same way from then on.

use crate::raw;
use crate::stack::{Stack, Type, lua_index};
use mlua_sys as sys;
use std::cell::Cell;
use std::ffi::c_int;

/// How a table was entered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// None was: the value that the walk began with.
    Outside,
    /// Its keys and values: the last key stands above it.
    Pairs,
    /// Values by index.
    Items,
}

impl Level {
    /// Values of the stack that it adds to what is below.
    const fn takes(self) -> usize {
        match self {
            Self::Outside => 0,
            Self::Items => 1,
            Self::Pairs => 2,
        }
    }
}

/// A value as it is seen.
#[derive(Clone, Copy, Debug)]
pub enum ValueView<'v> {
    /// Nothing, or nil.
    Nil,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Bytes(&'v [u8]),
    /// A table.
    Table,
    /// The address in a light userdata.
    Light(usize),
    /// Anything else.
    Other(Type),
}

/// Values of the stack that a level needs while the walk is in it.
const NEEDED: usize = 8;
/// Room is made for so many at once, where there is as much.
const BLOCK: usize = 40;

/// Looks at a value and what is in it.
pub struct Walker<'s, 'a> {
    stack: &'s mut Stack<'a>,
    l: *mut sys::lua_State,
    base: usize,
    level: Level,
    /// The levels around that one.
    outer: Vec<Level>,
    /// Values of the stack that the levels take, and those that there is room for.
    used: usize,
    room: usize,
    /// A value stands on top, not the table or key of the last level.
    at_value: bool,
    /// Lua code has run meanwhile.
    disturbed: bool,
}

// The list of the last walk's levels, for the next.
thread_local!(static SPARE: Cell<Vec<Level>> = const { Cell::new(Vec::new()) });

impl Drop for Walker<'_, '_> {
    fn drop(&mut self) {
        self.stack.truncate(self.base);
        self.outer.clear();
        SPARE.set(std::mem::take(&mut self.outer));
    }
}

/// `lua_next` behind a protected call: key and value, or nothing at the end.
unsafe extern "C-unwind" fn next_entry(l: *mut sys::lua_State) -> c_int {
    // SAFETY: called with a table and a key only; nothing of Rust's is on this frame.
    unsafe { if sys::lua_next(l, 1) != 0 { 2 } else { 0 } }
}

/// `table[key]` with metamethods.
unsafe extern "C-unwind" fn index_entry(l: *mut sys::lua_State) -> c_int {
    // SAFETY: called with a table and a key only; nothing of Rust's is on this frame.
    unsafe {
        sys::lua_gettable(l, 1);
        1
    }
}

impl<'s, 'a> Walker<'s, 'a> {
    /// Begins with the value at `index`; none when there is no room. What is pushed goes away with the walker.
    pub fn new(stack: &'s mut Stack<'a>, index: usize) -> Option<Self> {
        if !stack.reserve(NEEDED) {
            return None;
        }
        let (l, base) = (stack.state(), stack.top());
        stack.push_copy(index);
        Some(Self { stack, l, base, level: Level::Outside, outer: SPARE.take(), used: 0, room: NEEDED, at_value: true, disturbed: false })
    }

    /// The type of the value.
    fn kind(&self) -> Type {
        if !self.at_value {
            return Type::None;
        }
        // SAFETY: a value stands on top.
        Type::of(unsafe { sys::lua_type(self.l, -1) })
    }

    /// The value.
    #[inline(always)]
    pub fn view(&self) -> ValueView<'_> {
        // SAFETY: a value stands on top.
        if self.at_value { unsafe { self.view_at(-1) } } else { ValueView::Nil }
    }

    /// The value at `index`.
    ///
    /// # Safety
    /// One stands there.
    #[inline(always)]
    unsafe fn view_at(&self, index: c_int) -> ValueView<'_> {
        let mut length = 0;
        // SAFETY: the caller's contract, and each function is asked for a value of its type, which changes nothing. A string
        // lives as long as it stands there, and this borrow forbids every step. Of a pointer only the address is looked at.
        unsafe {
            match sys::lua_type(self.l, index) {
                sys::LUA_TNIL => ValueView::Nil,
                sys::LUA_TBOOLEAN => ValueView::Bool(sys::lua_toboolean(self.l, index) != 0),
                sys::LUA_TNUMBER => ValueView::Number(sys::lua_tonumber(self.l, index)),
                sys::LUA_TSTRING => {
                    let bytes = sys::lua_tolstring(self.l, index, &raw mut length);
                    ValueView::Bytes(if bytes.is_null() { &[] } else { std::slice::from_raw_parts(bytes.cast::<u8>(), length) })
                }
                sys::LUA_TTABLE => ValueView::Table,
                sys::LUA_TLIGHTUSERDATA => ValueView::Light(sys::lua_touserdata(self.l, index).addr()),
                other => ValueView::Other(Type::of(other)),
            }
        }
    }

    /// The address of the value's metatable.
    pub fn metatable(&mut self) -> Option<usize> {
        if self.kind() != Type::Table {
            return None;
        }
        // SAFETY: a table stands on top, and entering each level made room.
        unsafe {
            if sys::lua_getmetatable(self.l, -1) == 0 {
                return None;
            }
            let address = sys::lua_topointer(self.l, -1).addr();
            sys::lua_settop(self.l, -2);
            Some(address)
        }
    }

    /// The address of the table at `index` of the stack below, to compare [`Walker::metatable`] with.
    pub fn address(&self, index: usize) -> Option<usize> {
        if index > self.base || self.stack.kind(index) != Type::Table {
            return None;
        }
        // SAFETY: a table stands there.
        Some(unsafe { sys::lua_topointer(self.l, lua_index(index)) }.addr())
    }

    /// The raw length of the table.
    pub fn length(&self) -> c_int {
        // SAFETY: a table stands on top.
        let length = if self.kind() == Type::Table { unsafe { sys::lua_objlen(self.l, -1) } } else { 0 };
        c_int::try_from(length).unwrap_or(c_int::MAX)
    }

    /// What the table's `__len` says, if it has one.
    ///
    /// # Errors
    /// The error it raised.
    pub fn length_by_metamethod(&mut self) -> Result<Option<f64>, Vec<u8>> {
        if self.kind() != Type::Table {
            return Ok(None);
        }
        // SAFETY: a table stands on top, and entering each level made room.
        unsafe {
            if sys::lua_getmetatable(self.l, -1) == 0 {
                return Ok(None);
            }
            sys::lua_pushstring(self.l, c"__len".as_ptr());
            raw::swap_field(self.l, -2);
            sys::lua_remove(self.l, -2);
            if sys::lua_type(self.l, -1) == sys::LUA_TNIL {
                sys::lua_settop(self.l, -2);
                return Ok(None);
            }
            sys::lua_pushvalue(self.l, -2);
            self.protected(1, 1)?;
            let length = sys::lua_tonumber(self.l, -1);
            sys::lua_settop(self.l, -2);
            Ok(Some(length))
        }
    }

    fn enter(&mut self, level: Level) -> bool {
        if self.kind() != Type::Table || !self.make_room() {
            return false;
        }
        if level == Level::Pairs {
            // SAFETY: room was made.
            unsafe { sys::lua_pushnil(self.l) };
        }
        self.used += level.takes();
        self.outer.push(self.level);
        self.level = level;
        self.at_value = false;
        true
    }

    /// Makes room for one level more.
    fn make_room(&mut self) -> bool {
        if self.used + NEEDED <= self.room {
            return true;
        }
        let more = if self.stack.reserve(BLOCK) {
            BLOCK
        } else if self.stack.reserve(NEEDED) {
            NEEDED
        } else {
            return false;
        };
        self.room = self.used + more;
        true
    }

    fn leave_level(&mut self) {
        self.used -= self.level.takes();
        self.level = self.outer.pop().unwrap_or(Level::Outside);
        self.at_value = true;
    }

    /// Enters the table to walk its pairs; false when there is no room, or no table.
    #[must_use]
    pub fn enter_pairs(&mut self) -> bool {
        self.enter(Level::Pairs)
    }

    /// Enters the table to walk its items; false when there is no room, or no table.
    #[must_use]
    pub fn enter_items(&mut self) -> bool {
        self.enter(Level::Items)
    }

    /// Goes to the next pair's value: its key and itself; nothing at the end, where the table is left.
    ///
    /// # Errors
    /// Lua code has changed the table so that it cannot be walked on.
    #[inline(always)]
    pub fn pair(&mut self) -> Result<Option<(ValueView<'_>, ValueView<'_>)>, Vec<u8>> {
        if self.level != Level::Pairs {
            return Ok(None);
        }
        self.ascend();
        // SAFETY: the table and its last key stand on top, and entering made room. The direct call cannot fail: nothing
        // has changed the table since the key came from it.
        let more = unsafe { if self.disturbed { self.next_by_metamethod()? } else { sys::lua_next(self.l, -2) != 0 } };
        if !more {
            self.leave_level();
            return Ok(None);
        }
        self.at_value = true;
        // SAFETY: key and value stand on top.
        Ok(Some(unsafe { (self.view_at(-2), self.view_at(-1)) }))
    }

    /// `lua_next` where it may fail: whether key and value stand on top in place of the last key.
    ///
    /// # Safety
    /// The table and its last key stand on top, and there is room.
    #[cold]
    unsafe fn next_by_metamethod(&mut self) -> Result<bool, Vec<u8>> {
        // SAFETY: the caller's contract.
        unsafe {
            sys::lua_pushcclosure(self.l, next_entry, 0);
            sys::lua_insert(self.l, -2);
            sys::lua_pushvalue(self.l, -3);
            sys::lua_insert(self.l, -2);
            self.protected(2, 2)?;
            let more = sys::lua_type(self.l, -2) != sys::LUA_TNIL;
            if !more {
                sys::lua_settop(self.l, -3);
            }
            Ok(more)
        }
    }

    /// Goes to the item `index`, with the table's `__index` if `raw` is off and there is no such item.
    ///
    /// # Errors
    /// The error that `__index` raised.
    #[inline(always)]
    pub fn item(&mut self, index: c_int, raw: bool) -> Result<ValueView<'_>, Vec<u8>> {
        if self.level != Level::Items {
            return Ok(ValueView::Nil);
        }
        self.ascend();
        // SAFETY: the table stands on top, and entering made room.
        unsafe {
            raw::push_item(self.l, -1, index);
            if !raw && sys::lua_type(self.l, -1) == sys::LUA_TNIL {
                sys::lua_settop(self.l, -2);
                sys::lua_pushcclosure(self.l, index_entry, 0);
                sys::lua_pushvalue(self.l, -2);
                sys::lua_pushnumber(self.l, f64::from(index));
                self.protected(2, 1)?;
            }
        }
        self.at_value = true;
        Ok(self.view())
    }

    /// Goes back from a value to the table it is in.
    #[inline(always)]
    fn ascend(&mut self) {
        if self.at_value && self.level != Level::Outside {
            // SAFETY: the value stands on top of its level.
            unsafe { sys::lua_settop(self.l, -2) };
            self.at_value = false;
        }
    }

    /// Leaves the table, which is the value again.
    pub fn leave(&mut self) {
        self.ascend();
        if self.level == Level::Pairs {
            // SAFETY: the last key stands on top.
            unsafe { sys::lua_settop(self.l, -2) };
        }
        self.leave_level();
    }

    /// Calls the function below `arguments` values. After an error the walker may only be dropped.
    ///
    /// # Safety
    /// They stand on the stack.
    unsafe fn protected(&mut self, arguments: c_int, results: c_int) -> Result<(), Vec<u8>> {
        self.disturbed = true;
        // SAFETY: the caller's contract; the error's bytes are copied before it goes.
        unsafe {
            if sys::lua_pcall(self.l, arguments, results, 0) == 0 {
                return Ok(());
            }
            let text = match self.view_at(-1) {
                ValueView::Bytes(text) => text.to_vec(),
                _ => b"unknown reason".to_vec(),
            };
            self.outer.clear();
            (self.level, self.used) = (Level::Outside, 0);
            self.at_value = true;
            Err(text)
        }
    }
}
