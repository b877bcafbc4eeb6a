//! The traceback of an uncaught error, in the form of `ngx_http_lua_thread_traceback`: every coroutine of the chain,
//! innermost first, then those of the threads that it descends from, at most five of them with at most 22 frames each.

use crate::cx::CallContext;
use crate::raise::{ErrorKind, LuaError};
use crate::reference::RefBin;
use crate::stack::{Stack, Type, lua_index};
use mlua_sys as sys;
use std::ffi::{CStr, c_char, c_int};

pub(crate) const MAX_COROUTINES: usize = 5;
const MAX_FRAMES: c_int = 22;

/// The error a dead coroutine ended with; its message stands on top of its stack. `ancestors` are the coroutines of the threads that
/// it descends from, its parent's first.
///
/// # Safety
/// `l` is a live coroutine of `cx`'s VM whose last resume returned the error `code`; the ancestors are live ones at rest.
pub(crate) unsafe fn describe(cx: &CallContext, l: *mut sys::lua_State, code: c_int, ancestors: &[*mut sys::lua_State]) -> LuaError {
    // SAFETY: the caller's contract; the stack of a dead coroutine is nobody else's.
    let stack = unsafe { Stack::new(l, &cx.bin) };
    let top = stack.top();
    let message = match stack.kind(top) {
        Type::String | Type::Number => stack.bytes(top).unwrap_or_default().to_vec(),
        _ => b"unknown reason".to_vec(),
    };
    let kind = ErrorKind::of(code);
    let mut traceback = b"stack traceback:".to_vec();
    // SAFETY: as above.
    let chain = unsafe { blamed_chain(cx, l) };
    for (number, co) in chain.into_iter().rev().chain(ancestors.iter().copied()).take(MAX_COROUTINES).enumerate() {
        traceback.extend_from_slice(format!("\ncoroutine {number}:").as_bytes());
        // SAFETY: each is kept alive by the one before it, and threads by their job.
        unsafe { frames(co, &mut traceback) };
    }
    LuaError { kind, message, traceback, errno: 0 }
}

/// The dead coroutine and those its error came through `coroutine.wrap` from, outermost first.
///
/// # Safety
/// As for [`describe`].
unsafe fn blamed_chain(cx: &CallContext, l: *mut sys::lua_State) -> Vec<*mut sys::lua_State> {
    let mut chain = vec![l];
    let bin: &RefBin = &cx.bin;
    // SAFETY: the table `blame` is in the registry for the VM's life; the values pushed are popped again, and what
    // is read stays reachable from that table meanwhile.
    unsafe {
        if sys::lua_checkstack(l, 8) == 0 {
            return chain;
        }
        let mut stack = Stack::new(l, bin);
        let message = stack.top();
        let mut co = l;
        while chain.len() < MAX_COROUTINES * 4 {
            sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, cx.blame.get() as sys::lua_Integer);
            sys::lua_pushthread(co);
            if co != l {
                sys::lua_xmove(co, l, 1);
            }
            sys::lua_rawget(l, lua_index(message + 1));
            let inner = if stack.kind(message + 2) == Type::Table {
                stack.get_item(message + 2, 2);
                let same = stack.same(message, message + 3);
                stack.get_item(message + 2, 1);
                stack.thread(message + 4).filter(|_| same)
            } else {
                None
            };
            stack.truncate(message);
            match inner {
                Some(inner) if !chain.contains(&inner) => chain.push(inner),
                _ => break,
            }
            co = inner.unwrap_or(l);
            if sys::lua_checkstack(co, 2) == 0 {
                break;
            }
        }
    }
    chain
}

impl Stack<'_> {
    /// Appends where the function at `level` is, as `ngx.log` says it: `FILE:LINE: NAME(): `. Nothing if there is no such function.
    pub fn place(&self, level: usize, out: &mut Vec<u8>) {
        let Ok(level) = c_int::try_from(level) else { return };
        // SAFETY: all-zero is a valid lua_Debug, which holds integers, pointers and a character array. The coroutine is live; the
        // strings that it gives live as long as the function on its stack.
        unsafe {
            let mut ar: sys::lua_Debug = std::mem::zeroed();
            if sys::lua_getstack(self.state(), level, &raw mut ar) == 0 {
                return;
            }
            sys::lua_getinfo(self.state(), c"Snl".as_ptr(), &raw mut ar);
            let source = CStr::from_ptr(ar.short_src.as_ptr().cast::<c_char>()).to_bytes();
            let name = source.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1);
            out.extend_from_slice(source.get(name..).unwrap_or_default());
            let line = if ar.currentline > 0 { ar.currentline } else { ar.linedefined };
            out.push(b':');
            // Formatting it by `write!` takes three times as long.
            out.extend_from_slice(line.to_string().as_bytes());
            out.extend_from_slice(b": ");
            let is_named = !ar.namewhat.is_null() && *ar.namewhat != 0;
            if is_named && CStr::from_ptr(ar.what).to_bytes() == b"Lua" {
                out.extend_from_slice(if ar.name.is_null() { b"?" } else { CStr::from_ptr(ar.name).to_bytes() });
                out.extend_from_slice(b"(): ");
            }
        }
    }
}

/// The prelude's source. What it does for a function of the API shows as that function.
const OURS: &[u8] = b"lunette";

/// Appends the frames of one coroutine.
///
/// # Safety
/// `co` is a live coroutine.
unsafe fn frames(co: *mut sys::lua_State, out: &mut Vec<u8>) {
    // SAFETY: all-zero is a valid lua_Debug, which holds integers, pointers and a character array.
    let mut ar: sys::lua_Debug = unsafe { std::mem::zeroed() };
    let mut level = 0;
    // A function of C, which the prelude may turn out to have called.
    let mut held = Vec::new();
    // SAFETY: a live coroutine and a record of ours.
    while unsafe { sys::lua_getstack(co, level, &raw mut ar) } != 0 {
        level += 1;
        if level > MAX_FRAMES {
            held.extend_from_slice(b"\n\t...");
            break;
        }
        // SAFETY: lua_getstack filled the record; the strings it gets live as long as the function on the stack.
        unsafe {
            sys::lua_getinfo(co, c"Snl".as_ptr(), &raw mut ar);
            let source = CStr::from_ptr(ar.short_src.as_ptr().cast::<c_char>()).to_bytes();
            if source == OURS {
                held.clear();
                frame(&ar, b"[C]", &mut held);
            } else {
                out.append(&mut held);
                frame(&ar, source, if *ar.what == b'C' as c_char { &mut held } else { &mut *out });
            }
        }
    }
    out.append(&mut held);
}

/// Appends one frame.
///
/// # Safety
/// lua_getinfo has filled the record, whose function is still on its stack.
unsafe fn frame(ar: &sys::lua_Debug, source: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n\t");
    out.extend_from_slice(source);
    out.push(b':');
    let is_c = source == b"[C]";
    if ar.currentline > 0 && !is_c {
        out.extend_from_slice(format!("{}:", ar.currentline).as_bytes());
    }
    // SAFETY: the caller's contract.
    let (what, name) = unsafe {
        let named = !ar.namewhat.is_null() && *ar.namewhat != 0 && !ar.name.is_null();
        (CStr::from_ptr(ar.what).to_bytes(), named.then(|| CStr::from_ptr(ar.name).to_bytes()))
    };
    match (name, what) {
        (Some(name), _) => {
            out.extend_from_slice(b" in function '");
            out.extend_from_slice(name);
            out.push(b'\'');
        }
        (None, [b'm', ..]) => out.extend_from_slice(b" in main chunk"),
        (None, [b'C' | b't', ..]) => out.extend_from_slice(b" ?"),
        (None, _) if is_c => out.extend_from_slice(b" ?"),
        (None, _) => {
            out.extend_from_slice(b" in function <");
            out.extend_from_slice(source);
            out.extend_from_slice(format!(":{}>", ar.linedefined).as_bytes());
        }
    }
}
