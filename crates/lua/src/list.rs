//! A table that is a plain list of strings, numbers and such lists, read where it lies.
//!
//! Fetching each item through Lua's interface costs four calls. The layout is that of LuaJIT with 64-bit references, as in
//! [`crate::fingerprint`]; where a list made for the purpose does not look as expected, no list is read in this way.

use crate::stack::{Stack, Type, lua_index};
use mlua_sys as sys;
use std::sync::OnceLock;

/// The header of LuaJIT's table.
#[repr(C)]
struct Head {
    next: u64,
    marks: u64,
    array: *const u64,
    gray: u64,
    meta: u64,
    nodes: *const u64,
    array_size: u32,
    node_mask: u32,
}

/// A string's header, which its bytes follow.
#[repr(C)]
struct Text {
    next: u64,
    marks: u64,
    hash: u32,
    length: u32,
}

/// How far a value's tag is shifted.
const TAG: u32 = 47;
/// The bits of a value that hold its address.
const ADDRESS: u64 = (1 << TAG) - 1;
/// Nil.
const NIL: u64 = u64::MAX;
/// The tag of strings.
const STRING: u64 = (1 << 17) - 5;
/// The tag of tables.
const TABLE: u64 = (1 << 17) - 12;
/// Smaller ones are numbers.
const NUMBER: u64 = (1 << 17) - 14;

/// How deep lists may nest; deeper ones may be circles.
const DEEPEST: usize = 16;

/// An item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'s> {
    /// A number.
    Number(f64),
    /// A string.
    Bytes(&'s [u8]),
}

/// Whether memory looks as expected.
static KNOWN: OnceLock<bool> = OnceLock::new();

impl Stack<'_> {
    /// Hands out the items of the table at `index` and of the tables in it, in order; false if one may hold anything but strings, numbers
    /// and tables with the keys from 1 on without a gap, some items having been handed out or none.
    pub fn each_piece(&mut self, index: usize, mut take: impl FnMut(Piece<'_>)) -> bool {
        if self.kind(index) != Type::Table || !*KNOWN.get_or_init(|| is_known(self)) {
            return false;
        }
        // SAFETY: a table stands there, whose memory is as expected.
        unsafe { walk(sys::lua_topointer(self.state(), lua_index(index)).cast(), DEEPEST, &mut take) }
    }
}

/// # Safety
/// `table` is a live table, and memory looks as expected.
unsafe fn walk(table: *const Head, deep: usize, take: &mut impl FnMut(Piece<'_>)) -> bool {
    // SAFETY: nothing of Lua's runs or changes while this looks: `take` has no way to it. The table's header and its array of
    // `array_size` values are live, there is always one node, a string's header is followed by its bytes, and a table's value holds
    // its header's address.
    unsafe {
        let head = &*table;
        if deep == 0 || head.node_mask != 0 || *head.nodes != NIL {
            return false;
        }
        if head.array_size < 2 {
            return head.array_size == 0 || *head.array == NIL;
        }
        // The place of key 0 is the first.
        let places = std::slice::from_raw_parts(head.array, head.array_size as usize);
        let mut places = places.iter();
        if places.next() != Some(&NIL) {
            return false;
        }
        for value in places.by_ref() {
            match value >> TAG {
                STRING => {
                    let text = (value & ADDRESS) as *const Text;
                    take(Piece::Bytes(std::slice::from_raw_parts(text.add(1).cast::<u8>(), (*text).length as usize)));
                }
                tag if tag < NUMBER => take(Piece::Number(f64::from_bits(*value))),
                TABLE if walk((value & ADDRESS) as *const Head, deep - 1, take) => {}
                _ if *value == NIL => break,
                _ => return false,
            }
        }
        places.all(|value| *value == NIL)
    }
}

/// Reads a list whose items are known, its memory step by step as far as it looks as expected.
fn is_known(stack: &mut Stack<'_>) -> bool {
    if !cfg!(all(target_pointer_width = "64", target_endian = "little")) || !stack.reserve(5) {
        return false;
    }
    let (l, top) = (stack.state(), stack.top());
    // SAFETY: room is there. A table of Lua's is at least as large as its header here, whose array is looked at once its size
    // is what was asked for; an address is followed once it is that of the string as Lua gives it.
    let known = unsafe {
        sys::lua_createtable(l, 3, 0);
        let table = lua_index(top + 1);
        sys::lua_pushnumber(l, 2.5);
        sys::lua_rawseti(l, table, 1);
        sys::lua_pushlstring(l, c"seen".as_ptr(), 4);
        let bytes = sys::lua_tolstring(l, -1, std::ptr::null_mut()).addr();
        sys::lua_rawseti(l, table, 2);
        let head = &*sys::lua_topointer(l, table).cast::<Head>();
        let looks_right = head.array_size == 4 && head.node_mask == 0 && !head.array.is_null() && !head.nodes.is_null() && {
            let places = std::slice::from_raw_parts(head.array, 4);
            let text = places.get(2).copied().unwrap_or(NIL);
            places.first() == Some(&NIL)
                && places.get(1) == Some(&2.5_f64.to_bits())
                && places.get(3) == Some(&NIL)
                && text >> TAG == STRING
                && (text & ADDRESS) as usize + size_of::<Text>() == bytes
        };
        sys::lua_createtable(l, 1, 0);
        sys::lua_pushvalue(l, table);
        sys::lua_rawseti(l, table + 1, 1);
        let outer = sys::lua_topointer(l, table + 1).cast::<Head>();
        let inner = looks_right && (*outer).array_size == 2 && {
            let place = *(*outer).array.add(1);
            place >> TAG == TABLE && (place & ADDRESS) as usize == sys::lua_topointer(l, table).addr()
        };
        let mut read = Vec::new();
        inner
            && walk(outer, DEEPEST, &mut |piece| match piece {
                Piece::Number(number) => read.extend_from_slice(number.to_string().as_bytes()),
                Piece::Bytes(bytes) => read.extend_from_slice(bytes),
            })
            && read == b"2.5seen"
    };
    stack.truncate(top);
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LuaPhase, Options, Vm};

    /// The items as text, if they are handed out.
    fn read(vm: &Vm, expression: &str) -> Option<String> {
        let chunk = vm.load_text(format!("return {expression}").as_bytes(), "=test").unwrap();
        let read = |stack: &mut Stack<'_>| {
            let mut text = String::new();
            let whole = stack.each_piece(1, |piece| match piece {
                Piece::Number(number) => text.push_str(&format!("{number};")),
                Piece::Bytes(bytes) => text.push_str(&format!("{};", String::from_utf8_lossy(bytes))),
            });
            whole.then_some(text)
        };
        vm.run_now(chunk, LuaPhase::INIT, None, |_| 0, read).unwrap()
    }

    #[test]
    fn only_plain_lists_are_read() {
        let vm = Vm::new(&Options::default()).unwrap();
        let read = |expression| read(&vm, expression);
        assert_eq!(read("{ '*', 2, '', -1.5, 1e3 }").as_deref(), Some("*;2;;-1.5;1000;"));
        assert_eq!(read("require('table.new')(20, 0)").as_deref(), Some(""));
        assert_eq!(read("{ 'a', { 'b', {}, { 1, { 'c' } } }, 'd', { 2 } }").as_deref(), Some("a;b;1;c;d;2;"));
        assert_eq!(read("(function() local t = { 1, 2, 3 } t[3] = nil return t end)()").as_deref(), Some("1;2;"));
        for other in [
            "{ 1, nil, 2 }",
            "{ 1, a = 2 }",
            "{ [0] = 0, 1, 2 }",
            "{ 1, { a = 2 } }",
            "{ 1, { true } }",
            "{ 1, { [0] = 0 } }",
            "(function() local t = { 1 } t[2] = t return t end)()",
            "{ 1, true }",
            "{ 1, false }",
            "{ 1, require('ffi').new('int') }",
            "'text'",
            "nil",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let text = read("(function() local t = {} for i = 1, 100 do t[i] = 'n' .. i end return t end)()");
        assert!(text.is_none_or(|text| text.ends_with("n99;n100;")));
    }
}
