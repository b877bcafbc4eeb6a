//! The light threads of one handler's run: plain data that the scheduler and the API rows share.

use crate::raise::Raise;
use crate::value::Reply;
use mlua_sys as sys;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::future::Future;
use std::pin::Pin;

/// A suspended function's work.
pub type LocalFuture = Pin<Box<dyn Future<Output = Result<Reply, Raise>>>>;

/// What a thread waits for.
pub(crate) enum State {
    /// Running, or queued to run.
    Ready,
    /// A suspended API call.
    Pending(LocalFuture),
    /// One of its children to end.
    Children,
    /// Ended; its results stand on its stack until the parent fetches them.
    Zombie,
}

/// One entry or light thread.
pub(crate) struct Thread {
    /// Unique in the VM, so that a recycled coroutine address is never taken for an older thread.
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) lua: *mut sys::lua_State,
    /// Registry entry that keeps a light thread's coroutine alive; the entry thread's belongs to its slot.
    pub(crate) anchor: c_int,
    /// The coroutine that made it.
    pub(crate) maker: *mut sys::lua_State,
    pub(crate) waited: bool,
    /// What it waits for must not be given up: it cannot be killed.
    pub(crate) held: bool,
    pub(crate) state: State,
}

/// Why the running thread suspends itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    None,
    Operation,
    Spawn(u64),
    Children,
}

/// The threads of one job. Recycled with its slot, so that a handler that never waits allocates nothing.
pub(crate) struct Core {
    pub(crate) threads: RefCell<Vec<Thread>>,
    /// Threads to resume and the number of values on their stacks.
    pub(crate) queue: RefCell<VecDeque<(u64, c_int)>>,
    pub(crate) current: Cell<u64>,
    pub(crate) intent: Cell<Intent>,
    pub(crate) finish: Cell<Option<i32>>,
    /// A thread in reserve, not yet one of the job's.
    pub(crate) standby: RefCell<Option<Thread>>,
    /// There is or was one.
    pub(crate) standby_made: Cell<bool>,
    /// Room for a list of ids, kept between polls.
    pub(crate) scratch: RefCell<Vec<u64>>,
}

/// The place of a thread. Asked for is mostly the entry thread, which is first, or one that was made just now.
fn place(threads: &[Thread], is_it: impl Fn(&Thread) -> bool) -> Option<usize> {
    if threads.first().is_some_and(&is_it) { Some(0) } else { threads.iter().rposition(is_it) }
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            threads: RefCell::new(Vec::with_capacity(1)),
            queue: RefCell::new(VecDeque::new()),
            current: Cell::new(0),
            intent: Cell::new(Intent::None),
            finish: Cell::new(None),
            standby: RefCell::new(None),
            standby_made: Cell::new(false),
            scratch: RefCell::new(Vec::new()),
        }
    }

    /// Forgets what the last job left, its threads being gone.
    pub(crate) fn reset(&self) {
        self.queue.borrow_mut().clear();
        self.intent.set(Intent::None);
        self.finish.set(None);
        self.standby_made.set(false);
    }

    /// Looks at one thread.
    pub(crate) fn with<R>(&self, id: u64, f: impl FnOnce(&mut Thread) -> R) -> Option<R> {
        let mut threads = self.threads.borrow_mut();
        place(&threads, |t| t.id == id).and_then(|at| threads.get_mut(at)).map(f)
    }

    /// Looks at the thread that is this coroutine.
    pub(crate) fn by_state<R>(&self, lua: *mut sys::lua_State, f: impl FnOnce(&mut Thread) -> R) -> Option<R> {
        let mut threads = self.threads.borrow_mut();
        place(&threads, |t| t.lua == lua).and_then(|at| threads.get_mut(at)).map(f)
    }

    /// Takes a thread out; its pending work is dropped by the caller, outside every borrow.
    pub(crate) fn remove(&self, id: u64) -> Option<Thread> {
        let mut threads = self.threads.borrow_mut();
        let at = place(&threads, |t| t.id == id)?;
        let thread = threads.swap_remove(at);
        drop(threads);
        self.queue.borrow_mut().retain(|(queued, _)| *queued != id);
        Some(thread)
    }

    /// The running thread waits for this work.
    pub(crate) fn park(&self, work: LocalFuture, held: bool) {
        self.with(self.current.get(), |t| {
            t.state = State::Pending(work);
            t.held = held;
        });
        self.intent.set(Intent::Operation);
    }
}
