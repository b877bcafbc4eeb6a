//! A job: one phase handler's run for one host context, with its light threads and its suspended operations.
//!
//! The first stretch runs synchronously in [`Job::start`]; only a handler that must wait becomes a future.

use crate::chunk::ChunkId;
use crate::cx::CallContext;
use crate::host::Host;
use crate::phase::LuaPhase;
use crate::raise::{LuaError, Raise};
use crate::reference::Ref;
use crate::row::push_raise;
use crate::scheduler::{self, StopReason, release, remove_thread};
use crate::slot::Slot;
use crate::stack::{Stack, lua_index};
use crate::standby;
use crate::threads::{Core, State, Thread};
use crate::value::Reply;
use crate::vm::Vm;
use crate::wakers::Wakers;
use mlua_sys as sys;
use std::ffi::c_int;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// How a handler ended.
#[derive(Debug)]
pub enum Completion {
    /// Every thread returned.
    Returned,
    /// A row called [`CallContext::finish`] with this code (`ngx.exit`, `ngx.exec`, `ngx.redirect`).
    Finished(i32),
    /// The entry thread died of an error.
    Failed(Box<LuaError>),
}

/// What [`Job::start`] gives.
pub enum Started {
    /// The handler never waited.
    Done(Completion),
    /// The handler waits; await the job. Dropping it kills its threads.
    Waiting(Job),
}

/// A handler that waits.
pub struct Job {
    vm: Vm,
    slot: Option<Box<Slot>>,
    host: Rc<dyn Host>,
    phase: LuaPhase,
    entry: u64,
}

impl Job {
    /// Runs a chunk for `host` in `phase` until it ends or waits.
    pub fn start(vm: &Vm, chunk: ChunkId, phase: LuaPhase, host: Rc<dyn Host>) -> Started {
        match vm.take_slot(chunk) {
            Ok(slot) => Self::launch(vm, slot, 0, phase, host),
            Err(error) => Started::Done(Completion::Failed(Box::new(error))),
        }
    }

    /// As [`Job::start`], with arguments: `push` puts them on the stack and says how many.
    pub fn start_with(vm: &Vm, chunk: ChunkId, phase: LuaPhase, host: Rc<dyn Host>, push: impl FnOnce(&mut Stack<'_>) -> usize) -> Started {
        match vm.take_slot(chunk) {
            Ok(slot) => {
                // SAFETY: the slot is this job's alone and its coroutine at rest.
                let mut stack = unsafe { Stack::new(slot.lua, &vm.cx().bin) };
                let nargs = push(&mut stack).min(stack.top().saturating_sub(1));
                Self::launch(vm, slot, lua_index(nargs), phase, host)
            }
            Err(error) => Started::Done(Completion::Failed(Box::new(error))),
        }
    }

    /// Runs a chunk with the real globals, as `init_worker_by_lua*` does when it may wait.
    pub fn start_global(vm: &Vm, chunk: ChunkId, phase: LuaPhase, host: Rc<dyn Host>) -> Started {
        match vm.take_slot_for_globals(chunk) {
            Ok(slot) => Self::launch(vm, slot, 0, phase, host),
            Err(error) => Started::Done(Completion::Failed(Box::new(error))),
        }
    }

    /// Runs a kept function, such as a timer's callback, in a slot of its own; `push` puts the arguments on the stack
    /// above the function and says how many. The handler that gave the function away should have called
    /// [`CallContext::detach_globals`].
    pub fn call(vm: &Vm, function: &Ref, push: impl FnOnce(&mut Stack<'_>) -> usize, phase: LuaPhase, host: Rc<dyn Host>) -> Started {
        let slot = match vm.take_bare_slot() {
            Ok(slot) => slot,
            Err(error) => return Started::Done(Completion::Failed(Box::new(error))),
        };
        // SAFETY: the slot is this job's alone and its coroutine at rest.
        let mut stack = unsafe { Stack::new(slot.lua, &vm.cx().bin) };
        stack.push_ref(function);
        let nargs = push(&mut stack).min(stack.top().saturating_sub(1));
        Self::launch(vm, slot, lua_index(nargs), phase, host)
    }

    /// Runs what stands on the slot's stack.
    fn launch(vm: &Vm, mut slot: Box<Slot>, nargs: c_int, phase: LuaPhase, host: Rc<dyn Host>) -> Started {
        let cx = vm.cx();
        let entry = cx.unique();
        slot.core.threads.borrow_mut().push(Thread::new(entry, 0, slot.lua, 0, std::ptr::null_mut()));
        let saved = cx.enter(Some(host), Some(phase), Some(Rc::clone(&slot.core)), None);
        // SAFETY: the slot is this job's alone, and its closure stands on its coroutine.
        let rest = unsafe { scheduler::run(cx, &slot.core, entry, entry, nargs) };
        slot.detached = cx.detached.get();
        let host = cx.restore(saved);
        if let (StopReason::Waiting, Some(host)) = (&rest, host) {
            return Started::Waiting(Self { vm: vm.clone(), slot: Some(slot), host, phase, entry });
        }
        let outcome = outcome(rest);
        retire(vm, slot);
        Started::Done(outcome)
    }

    /// Lets the thread in reserve (see [`stand_by`](crate::stand_by)) run at the next poll. False: there is none, or it
    /// was roused before.
    pub fn wake_standby(&mut self) -> bool {
        self.slot.as_ref().is_some_and(|slot| standby::wake_standby(&slot.core))
    }

    /// Polls the operations of the threads that were woken and runs those whose operations are done.
    fn advance(&mut self, context: &mut Context<'_>) -> Option<StopReason> {
        let core = Rc::clone(&self.slot.as_ref()?.core);
        let roused = core.queue.borrow_mut().pop_front();
        if let Some((id, nargs)) = roused {
            match self.go_on(&core, id, context, |_, _| nargs) {
                StopReason::Waiting => {}
                other => return Some(other),
            }
        }
        if let Some(id) = core.alone.take() {
            let rest = self.poll_one(&core, id, context, true);
            if rest.is_some() {
                return rest;
            }
        }
        // Those that ring meanwhile wake the task again, which is fair to other tasks.
        let count = core.bells.borrow().as_ref().map_or(0, |bells| bells.listen(context.waker()));
        for _ in 0..count {
            let Some(id) = core.bells.borrow().as_ref().and_then(Wakers::next) else { break };
            let rest = self.poll_one(&core, id, context, false);
            if rest.is_some() {
                return rest;
            }
        }
        None
    }

    /// Polls what a thread waits for, and runs it when that is done; how the job ended, if it did.
    fn poll_one(&mut self, core: &Rc<Core>, id: u64, context: &Context<'_>, alone: bool) -> Option<StopReason> {
        let bell = if alone { None } else { core.with(id, |t| t.waker.clone())? };
        let waker = bell.as_ref().unwrap_or_else(|| context.waker());
        let reply = match poll_thread(core, id, &mut Context::from_waker(waker)) {
            Some(reply) => reply,
            None if alone => {
                // It stays the one for whom the task is woken.
                core.alone.set(core.with(id, |t| matches!(t.state, State::Pending(_)))?.then_some(id));
                return None;
            }
            None => return None,
        };
        // SAFETY: the thread is suspended: its stack is empty and nobody else's.
        match self.go_on(core, id, context, |cx, lua| unsafe { push_reply(cx, lua, reply) }) {
            StopReason::Waiting => None,
            rest => Some(rest),
        }
    }

    /// Resumes a thread with what `push` puts on its stack: the results of its operation.
    fn go_on(
        &mut self,
        core: &Rc<Core>,
        id: u64,
        context: &Context<'_>,
        push: impl FnOnce(&CallContext, *mut sys::lua_State) -> c_int,
    ) -> StopReason {
        let cx = self.vm.cx();
        let Some(lua) = core.with(id, |t| t.lua) else {
            return StopReason::Waiting;
        };
        let saved = cx.enter(Some(Rc::clone(&self.host)), Some(self.phase), Some(Rc::clone(core)), Some(context.waker()));
        let nargs = push(cx, lua);
        // SAFETY: the thread is at rest with its arguments on its stack; it is alive while in the job.
        let rest = unsafe { scheduler::run(cx, core, self.entry, id, nargs) };
        let detached = cx.detached.get();
        drop(cx.restore(saved));
        if let Some(slot) = self.slot.as_mut() {
            slot.detached |= detached;
        }
        rest
    }
}

/// Pushes what a suspended call returns; the number of values.
///
/// # Safety
/// `lua` is a suspended coroutine of `cx`'s VM with an empty stack.
unsafe fn push_reply(cx: &CallContext, lua: *mut sys::lua_State, reply: Result<Reply, Raise>) -> c_int {
    // SAFETY: the caller's contract.
    let mut stack = unsafe { Stack::new(lua, &cx.bin) };
    let pushed = reply.and_then(|reply| {
        catch_unwind(AssertUnwindSafe(|| reply.push(&mut stack))).unwrap_or_else(|panic| Err(Raise::of_panic(panic.as_ref())))
    });
    match pushed {
        Ok(n) => lua_index(n.min(stack.top())),
        Err(raise) => push_raise(&mut stack, &raise),
    }
}

/// Polls what a thread waits for; its result when it is done.
fn poll_thread(core: &Core, id: u64, context: &mut Context<'_>) -> Option<Result<Reply, Raise>> {
    let taken = core.with(id, |t| match std::mem::replace(&mut t.state, State::Ready) {
        State::Pending(work) => Some(work),
        other => {
            t.state = other;
            None
        }
    });
    let mut work = taken.flatten()?;
    match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Ready(reply)) => Some(reply),
        Err(panic) => Some(Err(Raise::of_panic(panic.as_ref()))),
        Ok(Poll::Pending) => {
            core.with(id, |t| t.state = State::Pending(work));
            None
        }
    }
}

fn outcome(rest: StopReason) -> Completion {
    match rest {
        StopReason::Waiting | StopReason::Ended => Completion::Returned,
        StopReason::Finished(code) => Completion::Finished(code),
        StopReason::Failed(error) => Completion::Failed(error),
    }
}

/// Kills what is left of a job and makes its slot ready for the next.
fn retire(vm: &Vm, mut slot: Box<Slot>) {
    if !vm.cx().enterable() {
        return vm.retire_later(slot);
    }
    let core = Rc::clone(&slot.core);
    loop {
        let next = core.threads.borrow().first();
        let Some(id) = next else { break };
        // SAFETY: nothing of this job runs any more.
        unsafe { remove_thread(&core, id, vm.main()) };
    }
    if let Some(thread) = core.standby.take() {
        // SAFETY: as above; it never ran.
        unsafe { release(thread, vm.main()) };
    }
    core.reset();
    vm.release_slot(&mut slot);
    vm.pool_slot(slot);
}

impl Future for Job {
    type Output = Completion;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        let this = self.get_mut();
        if this.slot.is_none() {
            return Poll::Ready(Completion::Returned);
        }
        if !this.vm.cx().enterable() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match this.advance(context) {
            None => Poll::Pending,
            Some(rest) => {
                if let Some(slot) = this.slot.take() {
                    retire(&this.vm, slot);
                }
                Poll::Ready(outcome(rest))
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            retire(&self.vm, slot);
        }
    }
}
