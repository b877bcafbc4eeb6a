//! Tables on a stack: made, read, written and walked through without metamethods.

use super::{Stack, Type, lua_index};
use crate::raise::Raise;
use crate::raw;
use mlua_sys as sys;
use std::ffi::c_int;

impl Stack<'_> {
    /// Pushes a new table with room for so many list items and fields.
    pub fn push_table(&mut self, items: usize, fields: usize) {
        self.check_stack();
        let clamp = |n: usize| lua_index(n.min(1 << 20));
        // SAFETY: room was made.
        unsafe { sys::lua_createtable(self.l, clamp(items), clamp(fields)) }
    }

    /// `table[key] = value` for the value on top, raw; pops it. Nothing happens when no table stands at `table`.
    pub fn set_field(&mut self, table: usize, key: &[u8]) {
        if self.kind(table) != Type::Table || self.top() <= table {
            return;
        }
        self.push_bytes(key);
        // SAFETY: value and key stand on top, a table at `table`; a string key cannot be refused.
        unsafe {
            sys::lua_insert(self.l, -2);
            sys::lua_rawset(self.l, lua_index(table));
        }
    }

    /// `table[key] = value`, raw, for a string. Nothing happens when no table stands at `table`.
    pub fn put_field(&mut self, table: usize, key: &[u8], value: &[u8]) {
        if self.kind(table) != Type::Table {
            return;
        }
        self.check_stack();
        // SAFETY: room was made, a table stands at `table`; Lua copies the bytes, and a string key cannot be refused.
        unsafe {
            raw::push_string(self.l, key.as_ptr().cast(), key.len());
            raw::push_string(self.l, value.as_ptr().cast(), value.len());
            sys::lua_rawset(self.l, lua_index(table));
        }
    }

    /// `table[index] = value` for the value on top, raw; pops it. An index that no list of Lua's can have drops the value.
    pub fn set_item(&mut self, table: usize, index: usize) {
        let top = self.top();
        if self.kind(table) != Type::Table || top <= table {
            return;
        }
        let Ok(item) = c_int::try_from(index) else { return self.truncate(top - 1) };
        // SAFETY: the value stands on top, a table at `table`.
        unsafe { raw::set_item(self.l, lua_index(table), item) }
    }

    /// `table[key] = value`, raw, for the key below the value on top; pops both. A key that Lua cannot take (nil, not a
    /// number) drops the pair.
    pub fn set_pair(&mut self, table: usize) {
        let top = self.top();
        if self.kind(table) != Type::Table || top < table + 2 {
            return;
        }
        let bad = match self.kind(top - 1) {
            Type::Nil => true,
            Type::Number => self.number(top - 1).is_none_or(f64::is_nan),
            _ => false,
        };
        if bad {
            return self.truncate(top - 2);
        }
        // SAFETY: key and value stand on top, a table at `table`, and the key is one that cannot be refused.
        unsafe { sys::lua_rawset(self.l, lua_index(table)) }
    }

    /// Pushes `table[key]`, raw; nil when no table stands there.
    pub fn get_field(&mut self, table: usize, key: &[u8]) -> Type {
        if self.kind(table) != Type::Table {
            self.push_nil();
            return Type::Nil;
        }
        self.push_bytes(key);
        // SAFETY: the key stands on top, a table at `table`.
        unsafe {
            raw::swap_field(self.l, lua_index(table));
        }
        self.kind(self.top())
    }

    /// Pushes `table[index]`, raw; nil when no table stands there.
    pub fn get_item(&mut self, table: usize, index: usize) -> Type {
        let Ok(item) = c_int::try_from(index) else {
            self.push_nil();
            return Type::Nil;
        };
        if self.kind(table) != Type::Table {
            self.push_nil();
            return Type::Nil;
        }
        self.check_stack();
        // SAFETY: room was made, a table stands at `table`.
        unsafe {
            raw::push_item(self.l, lua_index(table), item);
        }
        self.kind(self.top())
    }

    /// The length of the table or string at `index`, without metamethods.
    pub fn raw_len(&self, index: usize) -> usize {
        // SAFETY: a value stands at `i`.
        self.at(index).map_or(0, |i| unsafe { sys::lua_objlen(self.l, i) })
    }

    /// Walks the table at `index`: `each(stack, key, value)` gets the indexes of both. What `each` pushes is dropped;
    /// it must not turn the key into a string in place, so a number key is handed over as a copy.
    ///
    /// # Errors
    /// What `each` returns ends the walk. No table: an error that says so. No room: `stack overflow`.
    pub fn for_each(&mut self, index: usize, mut each: impl FnMut(&mut Stack<'_>, usize, usize) -> Result<(), Raise>) -> Result<(), Raise> {
        if self.kind(index) != Type::Table {
            return Err(Raise::fixed("table expected"));
        }
        let base = self.top();
        if !self.reserve(6) {
            return Err(Raise::fixed("stack overflow"));
        }
        self.push_nil();
        loop {
            // SAFETY: the key below is nil or came from lua_next on the same table; `each` sees only a copy of it.
            let more = unsafe { sys::lua_next(self.l, lua_index(index)) } != 0;
            if !more {
                return Ok(());
            }
            self.push_copy(base + 1);
            let result = each(self, base + 3, base + 2);
            if result.is_err() || self.top() < base + 2 {
                self.truncate(base);
                return result.and(Err(Raise::fixed("table walk lost its key")));
            }
            self.truncate(base + 1);
        }
    }
}
