//! Runs the threads of one job until each of them waits or has ended.
//!
//! The order is OpenResty's (`ngx_http_lua_run_thread`): a spawned thread runs at once and its spawner queues behind,
//! a user's yield queues the thread, a child's end resumes the parent that waits for it.

use crate::cx::CallContext;
use crate::phase::LuaPhase;
use crate::raise::LuaError;
use crate::row::{SUSPEND, mark};
use crate::stack::Stack;
use crate::threads::{Core, Intent, State, Thread};
use crate::traceback;
use mlua_sys as sys;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why the scheduler came to rest.
pub(crate) enum StopReason {
    /// Some thread waits.
    Waiting,
    /// Every thread has ended.
    Ended,
    /// A thread asked for the job's end with this code.
    Finished(i32),
    /// The entry thread died of an error.
    Failed(Box<LuaError>),
}

/// What to run next.
enum Next {
    Thread(u64, c_int),
    Queue,
    Rest(StopReason),
}

/// Runs Lua code, whose allocations may be refused (see [`crate::memory`]).
#[inline]
pub(crate) fn limited<R>(cx: &CallContext, run: impl FnOnce() -> R) -> R {
    let before = cx.refuse_memory(true);
    let result = run();
    cx.refuse_memory(before);
    result
}

/// Resumes thread `id`, with `nargs` values on its stack, and then all that becomes ready.
///
/// # Safety
/// All coroutines of `core` belong to `cx`'s live VM, `cx` has been entered for this job, and `entry` is the entry
/// thread's id.
pub(crate) unsafe fn run(cx: &CallContext, core: &Core, entry: u64, mut id: u64, mut nargs: c_int) -> StopReason {
    loop {
        let Some(lua) = core.with(id, |t| {
            t.state = State::Ready;
            t.lua
        }) else {
            return StopReason::Waiting;
        };
        core.current.set(id);
        core.intent.set(Intent::None);
        let mut results = 0;
        // SAFETY: the caller's contract; lua_resume is a protected call.
        let code = unsafe { limited(cx, || sys::lua_resume(lua, std::ptr::null_mut(), nargs, &raw mut results)) };
        // SAFETY: as above.
        let next = unsafe {
            match code {
                sys::LUA_YIELD => suspended(core, id, lua),
                0 => ended(cx, core, entry, id, lua),
                _ => failed(cx, core, entry, id, lua, code),
            }
        };
        match next {
            Next::Thread(n, args) => (id, nargs) = (n, args),
            Next::Rest(rest) => return rest,
            Next::Queue => {
                let queued = core.queue.borrow_mut().pop_front();
                match queued {
                    Some(next) => (id, nargs) = next,
                    None if core.threads.borrow().is_empty() => return StopReason::Ended,
                    None => return StopReason::Waiting,
                }
            }
        }
    }
}

/// # Safety
/// As for [`run`]; `lua` has just yielded.
unsafe fn suspended(core: &Core, id: u64, lua: *mut sys::lua_State) -> Next {
    if let Some(code) = core.finish.get() {
        return Next::Rest(StopReason::Finished(code));
    }
    // SAFETY: a yielded coroutine shows the values it yielded; they may be dropped.
    let by_api = unsafe {
        let api =
            sys::lua_gettop(lua) == 1 && sys::lua_type(lua, 1) == sys::LUA_TLIGHTUSERDATA && sys::lua_touserdata(lua, 1) == mark(&SUSPEND);
        sys::lua_settop(lua, 0);
        api
    };
    if !by_api {
        // SAFETY: the caller's contract.
        unsafe { abandon(core, id, lua) };
    }
    match core.intent.get() {
        Intent::Operation if by_api => Next::Queue,
        Intent::Children if by_api => {
            core.with(id, |t| t.state = State::Children);
            Next::Queue
        }
        Intent::Spawn(child) if by_api => {
            let started = core.with(child, |t| t.lua);
            let Some(co) = started else {
                return Next::Thread(id, 0);
            };
            // SAFETY: both coroutines are live and at rest; the child's function and arguments stand on its stack.
            unsafe {
                let nargs = sys::lua_gettop(co) - 1;
                sys::lua_pushthread(co);
                sys::lua_xmove(co, lua, 1);
                core.queue.borrow_mut().push_back((id, 1));
                Next::Thread(child, nargs)
            }
        }
        _ if core.queue.borrow().is_empty() => Next::Thread(id, 0),
        _ => {
            core.queue.borrow_mut().push_back((id, 0));
            Next::Queue
        }
    }
}

/// # Safety
/// As for [`run`]; `lua` has just returned, its results stand on its stack.
unsafe fn ended(cx: &CallContext, core: &Core, entry: u64, id: u64, lua: *mut sys::lua_State) -> Next {
    if let Some(code) = core.finish.get() {
        return Next::Rest(StopReason::Finished(code));
    }
    // SAFETY: the caller's contract.
    unsafe { abandon(core, id, lua) };
    if id == entry && cx.phase() == Some(LuaPhase::SET) {
        // SAFETY: the coroutine is at rest.
        let stack = unsafe { Stack::new(lua, &cx.bin) };
        cx.keep_result(stack.bytes(1).unwrap_or_default());
    }
    if id == entry && core.threads.borrow().len() == 1 {
        core.threads.borrow_mut().clear();
        return Next::Rest(StopReason::Ended);
    }
    // SAFETY: the caller's contract.
    unsafe {
        remove_zombies(core, id, lua);
        if id == entry {
            core.remove(id);
            return Next::Queue;
        }
        if sys::lua_checkstack(lua, 2) != 0 {
            sys::lua_pushboolean(lua, 1);
            sys::lua_insert(lua, 1);
        }
        deliver(cx, core, id, lua)
    }
}

/// # Safety
/// As for [`run`]; `lua` has just died, the error value stands on top of its stack.
unsafe fn failed(cx: &CallContext, core: &Core, entry: u64, id: u64, lua: *mut sys::lua_State, code: c_int) -> Next {
    // SAFETY: the caller's contract.
    let error = unsafe { traceback::describe(cx, lua, code, &ancestors(core, id)) };
    if id == entry {
        return Next::Rest(StopReason::Failed(Box::new(error)));
    }
    if let Some(hooks) = cx.hooks() {
        // A host's mistake must not leave the job half run.
        let _ = catch_unwind(AssertUnwindSafe(|| hooks.thread_aborted(cx, &error)));
    }
    // SAFETY: as above; a dead coroutine keeps its stack for reading.
    unsafe {
        abandon(core, id, lua);
        remove_zombies(core, id, lua);
        let shown = if has_bare_text(lua) { 2 } else { 1 };
        let top = sys::lua_gettop(lua);
        sys::lua_pushboolean(lua, 0);
        sys::lua_insert(lua, top - shown + 1);
        deliver_top(cx, core, id, lua, shown + 1)
    }
}

/// The coroutines of the threads that a thread descends from and that are still there, its parent's first.
fn ancestors(core: &Core, id: u64) -> Vec<*mut sys::lua_State> {
    let parent_of = |id| core.with(id, |t| t.parent);
    let ids = std::iter::successors(parent_of(id), |id| parent_of(*id));
    ids.map_while(|id| core.with(id, |t| t.lua)).take(traceback::MAX_COROUTINES).collect()
}

/// Whether the text that was given to `error` stands below the text with its place: OpenResty hands the parent both, the
/// bare one first. Leaves just these two on the stack then.
///
/// # Safety
/// As for [`run`]; `lua` has died, the error value stands on top of its stack.
unsafe fn has_bare_text(lua: *mut sys::lua_State) -> bool {
    // SAFETY: only values that are there are read; strings stay where they are while they stand on the stack.
    unsafe {
        let top = sys::lua_gettop(lua);
        if !(2..=3).contains(&top) || sys::lua_type(lua, 1) != sys::LUA_TSTRING || sys::lua_type(lua, top) != sys::LUA_TSTRING {
            return false;
        }
        let text = |index| {
            let mut length = 0;
            let start = sys::lua_tolstring(lua, index, &raw mut length);
            std::slice::from_raw_parts(start.cast::<u8>(), length)
        };
        let ends = text(top).ends_with(text(1));
        if ends && top == 3 {
            sys::lua_remove(lua, 2);
        }
        ends
    }
}

/// # Safety
/// As for [`run`]; the whole stack of `lua` is the outcome of thread `id`.
unsafe fn deliver(cx: &CallContext, core: &Core, id: u64, lua: *mut sys::lua_State) -> Next {
    // SAFETY: the caller's contract.
    unsafe {
        let n = sys::lua_gettop(lua);
        deliver_top(cx, core, id, lua, n)
    }
}

/// Hands the top `n` values of an ended thread to the parent that waits, or keeps them for it.
///
/// # Safety
/// As for [`run`]; `n` values stand on top of `lua`.
unsafe fn deliver_top(_cx: &CallContext, core: &Core, id: u64, lua: *mut sys::lua_State, n: c_int) -> Next {
    let Some((parent, turn)) = core.with(id, |t| (t.parent, t.waited)) else {
        return Next::Queue;
    };
    let alive = core.with(parent, |t| (!matches!(t.state, State::Zombie)).then_some((t.lua, t.wait_round == turn))).flatten();
    let Some((to, waited)) = alive else {
        // SAFETY: the thread is out of use.
        unsafe { remove_thread(core, id, lua) };
        return Next::Queue;
    };
    if !waited {
        // Only the outcome stays on the stack for the parent to fetch.
        // SAFETY: values below the outcome are dropped one by one.
        unsafe {
            while sys::lua_gettop(lua) > n {
                sys::lua_remove(lua, 1);
            }
        }
        core.with(id, |t| t.state = State::Zombie);
        core.with(parent, |t| t.zombies += 1);
        return Next::Queue;
    }
    core.with(parent, |t| t.wait_round += 1);
    // SAFETY: both coroutines belong to one VM; room is asked for first.
    unsafe {
        let moved = if sys::lua_checkstack(to, n) != 0 { n } else { 0 };
        if moved > 0 {
            sys::lua_xmove(lua, to, moved);
        }
        remove_thread(core, id, lua);
        Next::Thread(parent, moved)
    }
}

/// Forgets the ended children of `id` that nobody will wait for.
///
/// # Safety
/// As for [`run`].
unsafe fn remove_zombies(core: &Core, id: u64, lua: *mut sys::lua_State) {
    while core.with(id, |t| t.zombies).is_some_and(|count| count > 0) {
        let child = core.threads.borrow().iter().find(|t| t.parent == id && matches!(t.state, State::Zombie)).map(|t| t.id);
        let Some(child) = child else { return };
        // SAFETY: the caller's contract.
        unsafe { remove_thread(core, child, lua) };
    }
}

/// Takes a thread out of the job and lets its coroutine go. What it waited for is dropped.
///
/// # Safety
/// `lua` is a live state of the VM.
pub(crate) unsafe fn remove_thread(core: &Core, id: u64, lua: *mut sys::lua_State) {
    if let Some(thread) = core.remove(id) {
        // SAFETY: the caller's contract.
        unsafe { release(thread, lua) };
    }
}

/// Lets the coroutine of a thread that is in no job go, and what it waited for.
///
/// # Safety
/// `lua` is a live state of the VM.
pub(crate) unsafe fn release(thread: Thread, lua: *mut sys::lua_State) {
    let Thread { anchor, state, .. } = thread;
    if anchor != 0 {
        // SAFETY: the entry was made by luaL_ref and is given back once.
        unsafe { sys::luaL_unref(lua, sys::LUA_REGISTRYINDEX, anchor) }
    }
    drop(state);
}

/// Takes back what thread `id` began to wait for but did not: its yield was refused at a C function's frame, and the
/// error was caught.
///
/// # Safety
/// `lua` is a live state of the VM.
pub(crate) unsafe fn abandon(core: &Core, id: u64, lua: *mut sys::lua_State) {
    match core.intent.replace(Intent::None) {
        // SAFETY: the caller's contract; the child never ran.
        Intent::Spawn(child) => unsafe { remove_thread(core, child, lua) },
        Intent::Operation => {
            let work = core.with(id, |t| std::mem::replace(&mut t.state, State::Ready));
            drop(work);
        }
        Intent::None | Intent::Children => {}
    }
}
