//! The light threads of one handler's run: plain data that the scheduler and the API rows share.

use crate::raise::Raise;
use crate::value::Reply;
use crate::wakers::Wakers;
use foldhash::HashMap;
use mlua_sys as sys;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::future::Future;
use std::pin::Pin;
use std::task::Waker;

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
    /// The parent's turn of waiting in which it waits for this one; 0 for none.
    pub(crate) waited: u64,
    /// Its own turn of waiting for children.
    pub(crate) wait_round: u64,
    /// How many of its children have ended and been asked for by nobody.
    pub(crate) zombies: usize,
    /// What wakes it, once it has waited beside others.
    pub(crate) waker: Option<Waker>,
    /// What it waits for must not be given up: it cannot be killed.
    pub(crate) unkillable: bool,
    pub(crate) state: State,
}

impl Thread {
    /// A thread that is about to run.
    pub(crate) fn new(id: u64, parent: u64, lua: *mut sys::lua_State, anchor: c_int, maker: *mut sys::lua_State) -> Thread {
        let state = State::Ready;
        Thread { id, parent, lua, anchor, maker, waited: 0, wait_round: 1, zombies: 0, waker: None, unkillable: false, state }
    }
}

/// So many threads are looked through faster than a table of them is kept.
const FEW: usize = 16;

/// The threads of a job by number. Asked for is mostly the entry thread, which is first.
#[derive(Default)]
pub(crate) struct Threads {
    all: Vec<Thread>,
    /// Their places, where there are or were more than a few; else empty.
    places: HashMap<u64, usize>,
}

impl Threads {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.all.first().map(|thread| thread.id)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Thread> {
        self.all.iter()
    }

    pub(crate) fn push(&mut self, thread: Thread) {
        if !self.places.is_empty() {
            self.places.insert(thread.id, self.all.len());
        }
        self.all.push(thread);
        if self.places.is_empty() && self.all.len() > FEW {
            self.places.extend(self.all.iter().enumerate().map(|(place, thread)| (thread.id, place)));
        }
    }

    fn place(&self, id: u64) -> Option<usize> {
        if self.places.is_empty() { self.all.iter().position(|thread| thread.id == id) } else { self.places.get(&id).copied() }
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Thread> {
        let at = self.place(id)?;
        self.all.get_mut(at)
    }

    fn remove(&mut self, id: u64) -> Option<Thread> {
        let at = self.place(id)?;
        let thread = self.all.swap_remove(at);
        if self.all.len() < FEW / 2 {
            self.places.clear();
        }
        if !self.places.is_empty() {
            self.places.remove(&id);
            if let Some(moved) = self.all.get(at) {
                self.places.insert(moved.id, at);
            }
        }
        Some(thread)
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.places.clear();
    }

    /// All of them.
    pub(crate) fn take(&mut self) -> Vec<Thread> {
        self.places.clear();
        std::mem::take(&mut self.all)
    }
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
    pub(crate) threads: RefCell<Threads>,
    /// Threads to resume and the number of values on their stacks.
    pub(crate) queue: RefCell<VecDeque<(u64, c_int)>>,
    pub(crate) current: Cell<u64>,
    pub(crate) intent: Cell<Intent>,
    pub(crate) finish: Cell<Option<i32>>,
    /// A thread in reserve, not yet one of the job's.
    pub(crate) standby: RefCell<Option<Thread>>,
    /// There is or was one.
    pub(crate) standby_made: Cell<bool>,
    /// The thread that waited when it was alone: the job's task is woken for it.
    pub(crate) alone: Cell<Option<u64>>,
    /// Who woke of those that are not alone; none before there are several.
    pub(crate) bells: RefCell<Option<Wakers>>,
}

impl Core {
    pub(crate) fn new() -> Self {
        Self {
            threads: RefCell::default(),
            queue: RefCell::new(VecDeque::new()),
            current: Cell::new(0),
            intent: Cell::new(Intent::None),
            finish: Cell::new(None),
            standby: RefCell::new(None),
            standby_made: Cell::new(false),
            alone: Cell::new(None),
            bells: RefCell::new(None),
        }
    }

    /// Forgets what the last job left, its threads being gone.
    pub(crate) fn reset(&self) {
        self.queue.borrow_mut().clear();
        self.intent.set(Intent::None);
        self.finish.set(None);
        self.standby_made.set(false);
        self.alone.set(None);
        // Bells that still ring belong to nobody.
        self.bells.take();
    }

    /// What wakes the running thread; none where the job's task is to be woken.
    pub(crate) fn thread_waker(&self) -> Option<Waker> {
        let id = self.current.get();
        if self.is_single() {
            return None;
        }
        let mut bells = self.bells.borrow_mut();
        let bells = bells.get_or_insert_default();
        self.with(id, |thread| thread.waker.get_or_insert_with(|| bells.make(id)).clone())
    }

    /// Whether there is no more than one thread.
    pub(crate) fn is_single(&self) -> bool {
        self.threads.borrow().len() <= 1
    }

    /// Looks at one thread.
    pub(crate) fn with<R>(&self, id: u64, f: impl FnOnce(&mut Thread) -> R) -> Option<R> {
        self.threads.borrow_mut().get_mut(id).map(f)
    }

    /// Looks at the thread that is this coroutine.
    pub(crate) fn by_state<R>(&self, lua: *mut sys::lua_State, f: impl FnOnce(&mut Thread) -> R) -> Option<R> {
        self.threads.borrow_mut().all.iter_mut().rfind(|t| t.lua == lua).map(f)
    }

    /// Takes a thread out; its pending work is dropped by the caller, outside every borrow.
    pub(crate) fn remove(&self, id: u64) -> Option<Thread> {
        let thread = self.threads.borrow_mut().remove(id)?;
        if matches!(thread.state, State::Zombie) {
            self.with(thread.parent, |parent| parent.zombies = parent.zombies.saturating_sub(1));
        }
        self.queue.borrow_mut().retain(|(queued, _)| *queued != id);
        Some(thread)
    }

    /// The running thread waits for this work.
    pub(crate) fn park(&self, work: LocalFuture, held: bool) {
        self.with(self.current.get(), |t| {
            t.state = State::Pending(work);
            t.unkillable = held;
        });
        let id = self.current.get();
        if self.is_single() {
            self.alone.set(Some(id));
        } else if self.alone.get() == Some(id) {
            self.alone.set(None);
        }
        self.intent.set(Intent::Operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_found_whatever_their_number() {
        let mut threads = Threads::default();
        let mut known: Vec<u64> = Vec::new();
        let mut next = 0;
        // Grows beyond what is looked through, shrinks, and grows again.
        for step in 0..400_u64 {
            let grows = (step / 50) % 2 == 0 || known.is_empty();
            if grows {
                next += 1;
                known.push(next);
                threads.push(Thread::new(next, 0, std::ptr::null_mut(), 0, std::ptr::null_mut()));
            } else {
                let gone = known.swap_remove((step as usize * 7) % known.len());
                assert_eq!(threads.remove(gone).map(|thread| thread.id), Some(gone));
                assert!(threads.remove(gone).is_none());
            }
            assert_eq!(threads.len(), known.len());
            for id in &known {
                assert_eq!(threads.get_mut(*id).map(|thread| thread.id), Some(*id));
            }
            assert!(threads.get_mut(next + 1).is_none());
        }
    }
}
