//! Nested values made on a Lua stack, from the outside in: each value joins the container that was begun last, and a
//! container that has its number of values is complete.
//!
//! What stands where on the stack follows from the levels alone, so that it need not be asked of Lua for each value.

use crate::raise::Raise;
use crate::raw;
use crate::stack::{Stack, Type, lua_index};
use mlua_sys as sys;
use std::cell::Cell;
use std::ffi::c_int;

/// So many items of a list fit into a table for certain. With twice as many Lua raises an error, which must not cross Rust's frames.
const MOST_ITEMS: usize = 1 << 27;

/// The same for keys.
pub const MOST_KEYS: usize = 1 << 25;

/// A container that lacks values, or what stands around all of them.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// So many; 0 only around the containers.
    missing: usize,
    /// The next index of an array; 0 for an object.
    index: c_int,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// An object's key.
    Key,
    /// A value: the first of all, an array's, or that of the key on top.
    Value,
    /// Nothing: the value is complete.
    Nothing,
    /// Nothing: something came that may not.
    Wrong,
}

/// Builds one value on top of the stack.
pub struct Builder<'s, 'a> {
    stack: &'s mut Stack<'a>,
    l: *mut sys::lua_State,
    base: usize,
    next: Next,
    /// A container has more values than a table can hold.
    too_many: bool,
    level: Level,
    /// The levels around that one.
    outer: Vec<Level>,
    depth: usize,
    metatable: Option<c_int>,
}

// The list of the last value's levels, for the next.
thread_local!(static SPARE: Cell<Vec<Level>> = const { Cell::new(Vec::new()) });

impl<'s, 'a> Builder<'s, 'a> {
    /// Makes room for a value in which containers stand `depth` deep; none when Lua's limit is reached. Arrays get the
    /// table at `metatable` as theirs, when there is one.
    pub fn new(stack: &'s mut Stack<'a>, depth: usize, metatable: Option<usize>) -> Option<Self> {
        if !stack.reserve(depth.checked_mul(2)?.checked_add(6)?) {
            return None;
        }
        let metatable = metatable.filter(|index| stack.kind(*index) == Type::Table).map(lua_index);
        let (l, base) = (stack.state(), stack.top());
        let level = Level { missing: 0, index: 0 };
        Some(Self { stack, l, base, next: Next::Value, too_many: false, level, outer: SPARE.take(), depth, metatable })
    }

    /// Puts the value on top where it belongs, and likewise each container that is complete by that.
    #[inline]
    fn join(&mut self) {
        while self.level.missing > 0 {
            // SAFETY: the value stands on top; below it the level's table, with the key, a string, in between for an object.
            unsafe {
                if self.level.index > 0 {
                    raw::set_item(self.l, -2, self.level.index);
                    self.level.index += 1;
                } else {
                    sys::lua_rawset(self.l, -3);
                    self.next = Next::Key;
                }
            }
            self.level.missing -= 1;
            if self.level.missing > 0 {
                return;
            }
            let Some(outer) = self.outer.pop() else { break };
            self.level = outer;
            self.next = Next::Value;
        }
        self.next = Next::Nothing;
    }

    #[inline]
    fn begin(&mut self, count: usize, array: bool) {
        if self.next != Next::Value || self.outer.len() >= self.depth {
            self.next = Next::Wrong;
            return;
        }
        if count > if array { MOST_ITEMS } else { MOST_KEYS } {
            (self.next, self.too_many) = (Next::Wrong, true);
            return;
        }
        let size = lua_index(count);
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
            return self.join();
        }
        self.outer.push(self.level);
        self.level = Level { missing: count, index: c_int::from(array) };
        self.next = if array { Next::Value } else { Next::Key };
    }

    /// Begins an array of `count` values.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.begin(count, true);
    }

    /// Begins an object of `count` keys, each followed by its value.
    #[inline]
    pub fn object(&mut self, count: usize) {
        self.begin(count, false);
    }

    /// A string, which is the next value's key where an object waits for one.
    #[inline]
    pub fn string(&mut self, bytes: &[u8]) {
        if !matches!(self.next, Next::Key | Next::Value) {
            self.next = Next::Wrong;
            return;
        }
        // SAFETY: there is room for a key and a value above the levels; Lua copies the bytes.
        unsafe { raw::push_string(self.l, bytes.as_ptr().cast(), bytes.len()) };
        if self.next == Next::Key {
            self.next = Next::Value;
        } else {
            self.join();
        }
    }

    /// Pushes a value that is no container and puts it where it belongs.
    ///
    /// # Safety
    /// `push` pushes one value and does nothing else.
    #[inline]
    unsafe fn scalar(&mut self, push: impl FnOnce(*mut sys::lua_State)) {
        if self.next == Next::Value {
            push(self.l);
            self.join();
        } else {
            self.next = Next::Wrong;
        }
    }

    /// A number.
    #[inline]
    pub fn number(&mut self, value: f64) {
        // SAFETY: there is room for one value above the levels.
        unsafe { self.scalar(|l| sys::lua_pushnumber(l, value)) }
    }

    /// A boolean.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        // SAFETY: there is room for one value above the levels.
        unsafe { self.scalar(|l| sys::lua_pushboolean(l, c_int::from(value))) }
    }

    /// The null pointer that stands for nothing (`ngx.null`).
    #[inline]
    pub fn null(&mut self) {
        // SAFETY: there is room for one value above the levels.
        unsafe { self.scalar(|l| sys::lua_pushlightuserdata(l, std::ptr::null_mut())) }
    }

    /// Leaves the complete value on top, or nothing of it.
    ///
    /// # Errors
    /// The value is not complete, or some container has more values than a table can hold.
    pub fn finish(mut self) -> Result<(), Raise> {
        self.outer.clear();
        SPARE.set(self.outer);
        if self.next == Next::Nothing {
            return Ok(());
        }
        self.stack.truncate(self.base);
        Err(Raise::fixed(if self.too_many { "table overflow" } else { "the value is not complete" }))
    }
}
