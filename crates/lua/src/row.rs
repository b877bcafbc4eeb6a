//! API rows: one line per function, from which the binder derives its checks and its shim.

use crate::cx::CallContext;
use crate::fast::FastFn;
use crate::phase::PhaseSet;
use crate::raise::Raise;
use crate::stack::{Stack, lua_index};
use crate::threads::{Core, LocalFuture};
use crate::value::Reply;
use ::sys::boxed::pinned;
use mlua_sys as sys;
use std::ffi::{c_int, c_void};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

/// First result of a native function that wants its shim to raise: message and level follow.
pub(crate) static RAISE: u8 = 0;
/// Only result of a native function that wants its shim to suspend.
pub(crate) static PENDING: u8 = 1;
/// What a coroutine yields when an API call suspends it, as opposed to the user's own yields.
pub(crate) static SUSPEND: u8 = 2;

/// A marker's address as Lua holds it.
pub(crate) fn mark(marker: &'static u8) -> *mut c_void {
    std::ptr::from_ref(marker).cast_mut().cast()
}

unsafe extern "C-unwind" {
    /// Whether the running coroutine may yield: no C function's frame lies in between.
    fn lua_isyieldable(l: *mut sys::lua_State) -> c_int;
}

/// Why a coroutine cannot be suspended now, in LuaJIT's words.
pub(crate) fn refuse_yield(stack: &Stack<'_>) -> Result<(), Raise> {
    // SAFETY: a live, running state.
    if unsafe { lua_isyieldable(stack.state()) } != 0 {
        return Ok(());
    }
    Err(Raise::fixed("attempt to yield across C-call boundary").at_level(0))
}

/// How a suspending function answers.
pub enum Suspension {
    /// At once: so many results stand on top of the stack.
    Now(usize),
    /// When this future is done.
    Wait(LocalFuture),
    /// As [`Suspension::Wait`], but the thread cannot be killed meanwhile (`pending subrequests`).
    Hold(LocalFuture),
    /// Never: the row has called [`CallContext::finish`].
    End,
    /// The scheduler has been told what the thread waits for.
    #[doc(hidden)]
    Scheduled,
}

impl Suspension {
    /// Suspends until the future that `make` returns is done; if its first poll finishes it, nothing is suspended.
    #[inline]
    pub fn wait<F: Future<Output = Result<Reply, Raise>> + 'static>(make: impl FnOnce() -> F) -> Self {
        Self::Wait(pinned(make))
    }

    /// As [`Suspension::wait`]; the thread cannot be killed until the future is done.
    #[inline]
    pub fn hold<F: Future<Output = Result<Reply, Raise>> + 'static>(make: impl FnOnce() -> F) -> Self {
        Self::Hold(pinned(make))
    }
}

/// How Lua reaches a row.
#[derive(Clone)]
pub(crate) enum Kind {
    Fast { declaration: String, address: *const c_void },
    Native(sys::lua_CFunction),
    Constant(i32),
}

/// One function of the API, or a number that functions and glue agree on.
#[derive(Clone)]
pub struct Row {
    pub(crate) name: &'static str,
    pub(crate) phases: PhaseSet,
    pub(crate) kind: Kind,
}

impl Row {
    /// A function reached through the FFI, callable in the phases of `MASK` (see [`PhaseSet::bits`]). The glue finds
    /// it as `C.name` and passes `cx` first. A result that means failure is `FAILED` of its type.
    pub fn fast<const MASK: u32, Shape, F: FastFn<Shape>>(name: &'static str, _function: F) -> Self {
        let kind = Kind::Fast { declaration: F::declaration(), address: F::address::<MASK>() };
        Self { name, phases: PhaseSet(MASK), kind }
    }

    /// A function that reads its arguments from the Lua stack and pushes its results, whose number it returns.
    /// The glue finds it as `R.name`.
    pub fn calls<F>(name: &'static str, phases: PhaseSet, _function: F) -> Self
    where
        F: Fn(&CallContext, &mut Stack<'_>) -> Result<usize, Raise> + Copy + 'static,
    {
        const { assert!(size_of::<F>() == 0, "a row must be a function item or a closure without captures") }
        Self { name, phases, kind: Kind::Native(call_entry::<F>) }
    }

    /// A function that may suspend its caller: it reads its arguments and answers at once or with a future.
    /// The glue finds it as `R.name`.
    pub fn suspends<F>(name: &'static str, phases: PhaseSet, _function: F) -> Self
    where
        F: Fn(&CallContext, &mut Stack<'_>) -> Result<Suspension, Raise> + Copy + 'static,
    {
        const { assert!(size_of::<F>() == 0, "a row must be a function item or a closure without captures") }
        Self { name, phases, kind: Kind::Native(suspend_entry::<F>) }
    }

    /// A number that the glue writes as `K.name`: what a result means, what an argument asks for.
    pub fn constant(name: &'static str, number: i32) -> Self {
        Self { name, phases: PhaseSet::EVERYWHERE, kind: Kind::Constant(number) }
    }

    pub(crate) fn number(&self) -> Option<(&'static str, i32)> {
        match self.kind {
            Kind::Constant(number) => Some((self.name, number)),
            _ => None,
        }
    }

    /// The row's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where the row may be called.
    pub fn phases(&self) -> PhaseSet {
        self.phases
    }
}

/// The function item itself, which has no bytes.
fn zero_sized<F: Copy + 'static>() -> &'static F {
    // SAFETY: Row's constructors checked that F has no bytes and took a value of it, so it is inhabited and Copy.
    unsafe { std::ptr::NonNull::<F>::dangling().as_ref() }
}

/// What a native function leaves on the stack.
enum Answer {
    Results(usize),
    Suspend,
}

/// Runs a native function's body behind the phase check and the panic barrier.
///
/// # Safety
/// `l` runs a C closure made by the binder: upvalue 1 is the context, upvalue 2 the phase mask.
unsafe fn guarded(l: *mut sys::lua_State, body: impl FnOnce(&CallContext, &mut Stack<'_>) -> Result<Answer, Raise>) -> c_int {
    // SAFETY: the caller's contract; the context outlives the VM's last call.
    let cx = unsafe { &*sys::lua_touserdata(l, sys::lua_upvalueindex(1)).cast::<CallContext>() };
    // SAFETY: as above; the mask is an integral number.
    #[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
    let mask = unsafe { sys::lua_tonumber(l, sys::lua_upvalueindex(2)) } as u32;
    let refused = cx.refuse_memory(false);
    let outcome = if cx.allows(mask) {
        catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: this frame alone uses the stack while the function runs.
            let mut stack = unsafe { Stack::new(l, &cx.bin) };
            body(cx, &mut stack)
        }))
        .unwrap_or_else(|panic| Err(Raise::of_panic(panic.as_ref())))
    } else {
        Err(cx.refusal())
    };
    // SAFETY: the stack belongs to this frame.
    let mut stack = unsafe { Stack::new(l, &cx.bin) };
    let count = match outcome {
        Ok(Answer::Results(n)) => lua_index(n.min(stack.top())),
        Ok(Answer::Suspend) => {
            stack.truncate(0);
            stack.push_pointer(mark(&PENDING));
            1
        }
        Err(raise) => push_raise(&mut stack, &raise),
    };
    cx.refuse_memory(refused);
    count
}

/// Leaves an error for the shim; returns the number of values pushed.
pub(crate) fn push_raise(stack: &mut Stack<'_>, raise: &Raise) -> c_int {
    stack.truncate(0);
    stack.push_pointer(mark(&RAISE));
    stack.push_bytes(&raise.message);
    stack.push_number(if raise.level == 0 { 0.0 } else { f64::from(raise.level) + 1.0 });
    3
}

unsafe extern "C-unwind" fn call_entry<F>(l: *mut sys::lua_State) -> c_int
where
    F: Fn(&CallContext, &mut Stack<'_>) -> Result<usize, Raise> + Copy + 'static,
{
    // SAFETY: only the binder makes closures of this function, with the upvalues `guarded` wants.
    unsafe { guarded(l, |cx, stack| zero_sized::<F>()(cx, stack).map(Answer::Results)) }
}

unsafe extern "C-unwind" fn suspend_entry<F>(l: *mut sys::lua_State) -> c_int
where
    F: Fn(&CallContext, &mut Stack<'_>) -> Result<Suspension, Raise> + Copy + 'static,
{
    // SAFETY: as for call_entry.
    unsafe {
        guarded(l, |cx, stack| match zero_sized::<F>()(cx, stack)? {
            Suspension::Now(n) => Ok(Answer::Results(n)),
            Suspension::Scheduled => Ok(Answer::Suspend),
            Suspension::Wait(work) => suspend(cx, stack, work, false),
            Suspension::Hold(work) => suspend(cx, stack, work, true),
            Suspension::End if is_last(cx, stack) => Ok(Answer::Results(0)),
            Suspension::End => suspend(cx, stack, pinned(std::future::pending), false),
        })
    }
}

/// Whether the function that has called the running native one is the last of its thread, as in `return ngx.exit(404)`: then the thread ends
/// when both return. One that is left where it has yielded cannot be used again, and a new coroutine costs as much as a small handler.
pub(crate) fn is_last(cx: &CallContext, stack: &Stack<'_>) -> bool {
    const CALLERS_CALLER: c_int = 2;
    let mut place = std::mem::MaybeUninit::<sys::lua_Debug>::uninit();
    // SAFETY: the coroutine is live, and what is written to the record is not read.
    let has_callers = unsafe { sys::lua_getstack(stack.state(), CALLERS_CALLER, place.as_mut_ptr()) != 0 };
    // A coroutine of the code's own is not the thread.
    let is_thread = |core: &Core| core.with(core.current.get(), |thread| thread.lua == stack.state());
    !has_callers && cx.core().is_some_and(|core| core.finish.get().is_some() && is_thread(&core) == Some(true))
}

/// For `stop()`.
pub(crate) fn ends(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let last = is_last(cx, stack);
    stack.push_bool(last);
    Ok(1)
}

/// Parks the thread until `work` is done, unless it is done at once.
fn suspend(cx: &CallContext, stack: &mut Stack<'_>, mut work: LocalFuture, held: bool) -> Result<Answer, Raise> {
    if let Poll::Ready(reply) = cx.poll_new(&mut work) {
        return reply?.push(stack).map(Answer::Results);
    }
    let core = cx.core().filter(|_| cx.can_suspend()).ok_or_else(|| cx.refusal())?;
    refuse_yield(stack)?;
    core.park(work, held);
    Ok(Answer::Suspend)
}

/// A named part of the API: its rows and the Lua glue that makes the public functions of them.
///
/// The glue is a chunk that gets one table: `C` (fast rows as FFI pointers), `R` (the other rows, ready to call),
/// `N` (the same rows, bare: call one with a fixed number of results and, when the first is `RAISE`, leave by
/// `return raised(second, third)`; when a row that suspends gives `PENDING`, its results are those of `wait()`;
/// compiled code goes on behind such a call, not behind one through `R`),
/// `cx` (pass it to fast rows; `cx.err` is not 0 after a failed one), `text` (the output buffer as a string),
/// `stop` (`return stop()` ends the handler; after a row that called `CallContext::finish`), `wait` (the results of what a fast row has given to
/// `CallContext::park`, to be called where `can_wait()` holds and as the last thing), `finalized` (makes a list that finalizers write to),
/// `ngx` and `G` (the real globals).
/// `K.NAME` in it is the number of [`Row::constant`].
pub struct Group {
    /// Its name in messages.
    pub name: &'static str,
    /// Its functions.
    pub rows: Vec<Row>,
    /// Lua source.
    pub glue: &'static str,
}
