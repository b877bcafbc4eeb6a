//! `ngx.thread`: spawn, wait, kill. The texts are those of `ngx_http_lua_uthread.c`.

use crate::cx::CallContext;
use crate::phase::{LEAVE, LuaPhase, PhaseSet};
use crate::raise::Raise;
use crate::row::{Group, Row, Suspension, refuse_yield};
use crate::scheduler::{abandon, remove_thread};
use crate::stack::{Stack, Type, lua_index};
use crate::threads::{Core, Intent, State, Thread};
use mlua_sys as sys;
use std::rc::Rc;

/// Where handlers may suspend.
pub const YIELDABLE: PhaseSet = PhaseSet::of(LuaPhase::REWRITE)
    .with(LuaPhase::SERVER_REWRITE)
    .with(LuaPhase::ACCESS)
    .with(LuaPhase::PRECONTENT)
    .with(LuaPhase::CONTENT)
    .with(LuaPhase::TIMER)
    .with(LuaPhase::SSL_CERT)
    .with(LuaPhase::SSL_SESS_FETCH)
    .with(LuaPhase::SSL_CLIENT_HELLO)
    .with(LuaPhase::PROXY_SSL_CERT)
    .with(LuaPhase::PROXY_SSL_VERIFY)
    .with(LuaPhase::PREREAD)
    .union(PhaseSet(LEAVE));

/// The API group of `ngx.thread`, to be bound like any other.
pub fn light_threads() -> Group {
    Group {
        name: "ngx.thread",
        rows: vec![
            Row::suspends("spawn", YIELDABLE, spawn),
            Row::suspends("wait", YIELDABLE, wait),
            Row::suspends("kill", YIELDABLE, kill),
        ],
        glue: include_str!("light.lua"),
    }
}

fn job(cx: &CallContext) -> Result<Rc<Core>, Raise> {
    cx.core().ok_or(Raise::fixed("no request ctx found"))
}

fn spawn(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let core = job(cx)?;
    // SAFETY: this frame has a live state.
    unsafe { abandon(&core, core.current.get(), stack.state()) };
    let thread = create(cx, stack, &core, "spawn", true)?;
    core.intent.set(Intent::Spawn(thread.id));
    core.threads.borrow_mut().push(thread);
    Ok(Suspension::Scheduled)
}

/// A light thread of the function at index 1 and the arguments behind it; its coroutine takes their place. `suspends`:
/// its maker will be suspended, and must be able to.
pub(crate) fn create(cx: &CallContext, stack: &mut Stack<'_>, core: &Core, function: &str, suspends: bool) -> Result<Thread, Raise> {
    let l = stack.state();
    // SAFETY: index 1 is looked at only when something stands there.
    if stack.kind(1) != Type::Function || unsafe { sys::lua_iscfunction(l, 1) } != 0 {
        return Err(Raise::argument(1, function, "Lua function expected"));
    }
    if !stack.reserve(8) {
        return Err(Raise::fixed("stack overflow"));
    }
    if suspends {
        refuse_yield(stack)?;
    }
    let values = lua_index(stack.top());
    let id = cx.unique();
    let parent = core.current.get();
    // SAFETY: room was made on both sides; the function and its arguments move, the coroutine stays at index 1. The
    // table of light threads is in the registry for the VM's life.
    let (lua, anchor) = unsafe {
        let co = sys::lua_newthread(l);
        sys::lua_insert(l, 1);
        if sys::lua_checkstack(co, values) == 0 {
            return Err(Raise::fixed("stack overflow"));
        }
        sys::lua_xmove(l, co, values);
        sys::lua_rawgeti(l, sys::LUA_REGISTRYINDEX, cx.light.get() as sys::lua_Integer);
        sys::lua_pushvalue(l, 1);
        sys::lua_pushnumber(l, parent as f64);
        sys::lua_rawset(l, -3);
        sys::lua_settop(l, 1);
        (co, sys::luaL_ref(l, sys::LUA_REGISTRYINDEX))
    };
    Ok(Thread::new(id, parent, lua, anchor, l))
}

/// The parent's id of a coroutine that is or was a light thread.
fn parent_of(cx: &CallContext, stack: &mut Stack<'_>, index: usize) -> Option<u64> {
    let top = stack.top();
    if !stack.reserve(4) {
        return None;
    }
    // SAFETY: room was made; the table is in the registry for the VM's life.
    unsafe {
        sys::lua_rawgeti(stack.state(), sys::LUA_REGISTRYINDEX, cx.light.get() as sys::lua_Integer);
        sys::lua_pushvalue(stack.state(), lua_index(index));
        sys::lua_rawget(stack.state(), -2);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
    let parent = stack.number(top + 2).map(|n| n as u64);
    stack.truncate(top);
    parent
}

fn wait(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let core = job(cx)?;
    let me = core.current.get();
    let count = stack.top();
    if count == 0 {
        return Err(Raise::fixed("at least one coroutine should be specified"));
    }
    for index in 1..=count {
        let Some(co) = stack.thread(index) else {
            return Err(Raise::argument(index, "wait", "lua thread expected"));
        };
        let l = stack.state();
        // The entry thread has no parent, and is no light thread.
        let light = |t: &mut Thread| (t.parent != 0).then_some((t.parent == me && t.maker == l, t.id, matches!(t.state, State::Zombie)));
        let known = core.by_state(co, light).flatten();
        let is_mine = match known {
            Some((is_mine, ..)) => is_mine,
            // One that is gone is remembered by its parent.
            None => parent_of(cx, stack, index).ok_or(Raise::fixed("attempt to wait on a coroutine that is not a user thread"))? == me,
        };
        if !is_mine {
            return Err(Raise::fixed("only the parent coroutine can wait on the thread"));
        }
        match known.map(|(_, id, is_zombie)| (id, is_zombie)) {
            Some((id, true)) => return Ok(Suspension::Now(collect(&core, stack, id, co)?)),
            None if index == count => {
                stack.push_nil();
                stack.push_bytes(b"already waited or killed");
                return Ok(Suspension::Now(2));
            }
            None => {}
            Some((id, false)) => {
                let turn = core.with(me, |t| t.wait_round).unwrap_or_default();
                core.with(id, |t| t.waited = turn);
            }
        }
    }
    refuse_yield(stack)?;
    core.intent.set(Intent::Children);
    Ok(Suspension::Scheduled)
}

/// Moves the kept results of an ended thread to the caller.
fn collect(core: &Core, stack: &mut Stack<'_>, id: u64, co: *mut sys::lua_State) -> Result<usize, Raise> {
    // SAFETY: the zombie's coroutine is kept alive by its anchor until it is collected.
    let n = unsafe { sys::lua_gettop(co) };
    if !stack.reserve(n as usize + 2) {
        return Err(Raise::fixed("stack overflow"));
    }
    core.with(core.current.get(), |t| t.wait_round += 1);
    // SAFETY: room was made; both coroutines belong to one VM.
    unsafe {
        if n > 0 {
            sys::lua_xmove(co, stack.state(), n);
        }
        remove_thread(core, id, stack.state());
    }
    Ok(n as usize)
}

fn kill(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let core = job(cx)?;
    let Some(co) = stack.thread(1) else {
        return Err(Raise::argument(1, "kill", "lua thread expected"));
    };
    let l = stack.state();
    let refusal = match parent_of(cx, stack, 1) {
        None => Some("not user thread"),
        Some(parent) if parent != core.current.get() || core.by_state(co, |t| t.maker != l) == Some(true) => Some("killer not parent"),
        Some(_) if core.by_state(co, |t| t.unkillable && matches!(t.state, State::Pending(_))) == Some(true) => Some("pending subrequests"),
        Some(_) => match core.by_state(co, |t| (t.id, matches!(t.state, State::Zombie))) {
            None => Some("already waited or killed"),
            Some((id, zombie)) => {
                // SAFETY: the thread is at rest: it is not the one that runs, which is its parent.
                unsafe { remove_thread(&core, id, stack.state()) };
                zombie.then_some("already terminated")
            }
        },
    };
    match refusal {
        Some(text) => {
            stack.push_nil();
            stack.push_bytes(text.as_bytes());
            Ok(Suspension::Now(2))
        }
        None => {
            stack.push_number(1.0);
            Ok(Suspension::Now(1))
        }
    }
}

/// `coroutine.status` of a light thread: nil for a coroutine that is none.
pub(crate) fn status(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (Some(core), Some(co)) = (cx.core(), stack.thread(1)) else {
        return Ok(0);
    };
    let text: &[u8] = match core.by_state(co, |t| matches!(t.state, State::Zombie)) {
        Some(true) => b"zombie",
        Some(false) => b"running",
        None => b"dead",
    };
    stack.push_bytes(text);
    Ok(1)
}
