//! Nested values made on a Lua stack, from the outside in: each value joins the container that was begun last, and a
//! container that has its number of values is complete.
//!
//! What stands where on the stack follows from the levels alone, so that it need not be asked of Lua for each value.

use crate::raw;
use crate::stack::{Stack, Type};
use mlua_sys as sys;
use std::ffi::c_int;

/// A container that lacks values.
#[derive(Clone, Copy, Debug)]
struct Level {
    missing: usize,
    /// The next index of an array; 0 for an object.
    index: usize,
    /// A key waits for its value.
    keyed: bool,
}

/// Builds one value on top of the stack.
pub struct Builder<'s, 'a> {
    stack: &'s mut Stack<'a>,
    l: *mut sys::lua_State,
    base: usize,
    levels: Vec<Level>,
    depth: usize,
    metatable: Option<c_int>,
    complete: bool,
    wrong: bool,
}

impl<'s, 'a> Builder<'s, 'a> {
    /// Makes room for a value in which containers stand `depth` deep; none when Lua's limit is reached. Arrays get the
    /// table at `metatable` as theirs, when there is one.
    pub fn new(stack: &'s mut Stack<'a>, depth: usize, metatable: Option<usize>) -> Option<Self> {
        if !stack.reserve(depth.checked_mul(2)?.checked_add(6)?) {
            return None;
        }
        let metatable = metatable.filter(|index| stack.kind(*index) == Type::Table).map(|index| index as c_int);
        let (l, base) = (stack.state(), stack.top());
        let levels = Vec::with_capacity(depth);
        Some(Self { stack, l, base, levels, depth, metatable, complete: false, wrong: false })
    }

    /// Whether a value may be pushed now.
    fn admits(&mut self) -> bool {
        let fits = match self.levels.last() {
            Some(level) => level.index > 0 || level.keyed,
            None => !self.complete,
        };
        self.wrong |= !fits;
        fits
    }

    /// Puts the value on top where it belongs, and likewise each container that is complete by that.
    fn join(&mut self) {
        while let Some(level) = self.levels.last_mut() {
            // SAFETY: the value stands on top; below it the level's table, with the key, a string, in between for an object.
            unsafe {
                if level.index > 0 {
                    sys::lua_rawseti(self.l, -2, level.index as sys::lua_Integer);
                    level.index += 1;
                } else {
                    sys::lua_rawset(self.l, -3);
                    level.keyed = false;
                }
            }
            level.missing -= 1;
            if level.missing > 0 {
                return;
            }
            self.levels.pop();
        }
        self.complete = true;
    }

    fn begin(&mut self, count: usize, array: bool) {
        if self.levels.len() >= self.depth {
            self.wrong = true;
        }
        if self.wrong || !self.admits() {
            return;
        }
        let size = count.min(1 << 26) as c_int;
        // SAFETY: `new` made room for a table, a key and a value at each of `depth` levels, and for a copy of the metatable,
        // which is a table.
        unsafe {
            sys::lua_createtable(self.l, if array { size } else { 0 }, if array { 0 } else { size });
            if let Some(metatable) = self.metatable.filter(|_| array) {
                sys::lua_pushvalue(self.l, metatable);
                sys::lua_setmetatable(self.l, -2);
            }
        }
        if count == 0 {
            self.join();
        } else {
            self.levels.push(Level { missing: count, index: usize::from(array), keyed: false });
        }
    }

    /// Whether an object waits for its next key.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        self.levels.last().is_some_and(|level| level.index == 0 && !level.keyed)
    }

    /// Begins an array of `count` values.
    pub fn array(&mut self, count: usize) {
        self.begin(count, true);
    }

    /// Begins an object of `count` keys, each followed by its value.
    pub fn object(&mut self, count: usize) {
        self.begin(count, false);
    }

    /// The key of the next value.
    pub fn key(&mut self, key: &[u8]) {
        match self.levels.last_mut().filter(|level| level.index == 0 && !level.keyed) {
            // SAFETY: the level has room for its key; Lua copies the bytes.
            Some(level) if !self.wrong => unsafe {
                raw::push_string(self.l, key.as_ptr().cast(), key.len());
                level.keyed = true;
            },
            _ => self.wrong = true,
        }
    }

    /// A string.
    pub fn bytes(&mut self, value: &[u8]) {
        if !self.wrong && self.admits() {
            // SAFETY: there is room for one value above the levels; Lua copies the bytes.
            unsafe { raw::push_string(self.l, value.as_ptr().cast(), value.len()) };
            self.join();
        }
    }

    /// A number.
    pub fn number(&mut self, value: f64) {
        if !self.wrong && self.admits() {
            // SAFETY: there is room for one value above the levels.
            unsafe { sys::lua_pushnumber(self.l, value) };
            self.join();
        }
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        if !self.wrong && self.admits() {
            // SAFETY: there is room for one value above the levels.
            unsafe { sys::lua_pushboolean(self.l, c_int::from(value)) };
            self.join();
        }
    }

    /// The null pointer that stands for nothing (`ngx.null`).
    pub fn null(&mut self) {
        if !self.wrong && self.admits() {
            // SAFETY: there is room for one value above the levels.
            unsafe { sys::lua_pushlightuserdata(self.l, std::ptr::null_mut()) };
            self.join();
        }
    }

    /// Whether the value stands on top, complete; otherwise nothing is left of it.
    #[must_use]
    pub fn finish(self) -> bool {
        let done = self.complete && !self.wrong;
        if !done {
            self.stack.truncate(self.base);
        }
        done
    }
}
