//! The context that every native function sees: the host's request, the phase, the output buffer.
//!
//! One lives per VM at a fixed address, because glue compiled to machine code reads its head through the FFI.

use crate::cpu::RunCounter;
use crate::host::Host;
use crate::memory::Meter;
use crate::phase::{LuaPhase, PhaseSet};
use crate::raise::{LuaError, Raise};
use crate::reference::RefBin;
use crate::threads::{Core, LocalFuture};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_void;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Declaration of the head of [`CallContext`] for LuaJIT's FFI.
pub(crate) const CDEF: &str = "typedef struct { const char *p; size_t n; int32_t err; uint32_t phase; void *req; int32_t note; int32_t flags; double number; } lunette_cx;";

/// What the VM tells its host while Lua runs.
pub trait Hooks {
    /// A handler or a module created a global while requests are served: the place where OpenResty logs `writing a global Lua variable ('NAME') …`,
    /// with the traceback (`\nstack traceback:…`).
    fn global_write(&self, cx: &CallContext, name: &[u8], traceback: &[u8]);

    /// A light thread died of an error: the place where OpenResty logs `lua user thread aborted: …`.
    fn thread_aborted(&self, cx: &CallContext, error: &LuaError);
}

/// The current context. Rust reaches it in every row; Lua glue reads its head as `lunette_cx`.
#[repr(C)]
pub struct CallContext {
    out_ptr: Cell<*const u8>,
    out_len: Cell<usize>,
    /// Nonzero after a fast row failed; its text is in the output buffer.
    err: Cell<i32>,
    phase: Cell<u32>,
    req: Cell<*const c_void>,
    note: Cell<i32>,
    flags: Cell<u32>,
    number: Cell<f64>,
    // From here on Rust only.
    phase_info: Cell<Option<LuaPhase>>,
    in_fast: Cell<bool>,
    out: RefCell<Vec<u8>>,
    host: RefCell<Option<Rc<dyn Host>>>,
    core: RefCell<Option<Rc<Core>>>,
    waker: RefCell<Option<Waker>>,
    hooks: RefCell<Option<Rc<dyn Hooks>>>,
    next_id: Cell<u64>,
    /// The first result of the last `set_by_lua*` that was run as a job.
    result: RefCell<Vec<u8>>,
    pub(crate) stretches: OnceCell<RunCounter>,
    pub(crate) meter: OnceCell<Box<Meter>>,
    pub(crate) light: Cell<i32>,
    pub(crate) blame: Cell<i32>,
    pub(crate) detached: Cell<bool>,
    pub(crate) bin: RefBin,
}

/// What was current before a handler was entered; put back when it is left.
pub(crate) struct Saved {
    host: Option<Rc<dyn Host>>,
    core: Option<Rc<Core>>,
    phase: Option<LuaPhase>,
    waker: Option<Waker>,
    detached: bool,
    stretch: u64,
    note: i32,
}

impl CallContext {
    pub(crate) fn new() -> Self {
        Self {
            out_ptr: Cell::new(b"".as_ptr()),
            out_len: Cell::new(0),
            err: Cell::new(0),
            phase: Cell::new(0),
            req: Cell::new(std::ptr::null()),
            note: Cell::new(0),
            flags: Cell::new(0),
            number: Cell::new(0.0),
            phase_info: Cell::new(None),
            in_fast: Cell::new(false),
            out: RefCell::new(Vec::with_capacity(256)),
            host: RefCell::new(None),
            core: RefCell::new(None),
            waker: RefCell::new(None),
            hooks: RefCell::new(None),
            next_id: Cell::new(1),
            result: RefCell::default(),
            stretches: OnceCell::new(),
            meter: OnceCell::new(),
            light: Cell::new(0),
            blame: Cell::new(0),
            detached: Cell::new(false),
            bin: RefBin::default(),
        }
    }

    /// The current host context (the request), when there is one and it is a `T`.
    pub fn host<T: 'static>(&self) -> Option<Rc<T>> {
        let host: Rc<dyn Any> = self.host.try_borrow().ok()?.clone()?;
        host.downcast::<T>().ok()
    }

    /// The current host context by a trait that it shows itself as, such as `dyn Trait`.
    pub fn host_as<T: ?Sized + 'static>(&self) -> Option<Rc<T>> {
        let mut handle: Option<Rc<T>> = None;
        self.host.try_borrow().ok()?.clone()?.share(&mut handle);
        handle
    }

    /// As [`CallContext::host_as`] without a handle of its own, like [`CallContext::with_host`].
    #[inline]
    pub fn with_host_as<T: ?Sized + 'static, R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        if !self.in_fast.get() {
            return f(self.host_as::<T>().as_deref());
        }
        match self.host.try_borrow() {
            Ok(host) => f(host.as_deref().and_then(|host| host.seen_as::<T>())),
            Err(_) => f(None),
        }
    }

    /// As [`CallContext::host`] without a handle of its own: what fast rows use, in which the host cannot change.
    #[inline]
    pub fn with_host<T: 'static, R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        if !self.in_fast.get() {
            return f(self.host::<T>().as_deref());
        }
        match self.host.try_borrow() {
            Ok(host) => f(host.as_deref().and_then(|host| (host as &dyn Any).downcast_ref::<T>())),
            Err(_) => f(None),
        }
    }

    /// The current phase; none at a VM's start.
    pub fn phase(&self) -> Option<LuaPhase> {
        self.phase_info.get()
    }

    /// Gives the glue a string: it reads the bytes with `text()`, or `ffi_string(cx.p, cx.n)`.
    pub fn set_text(&self, bytes: &[u8]) {
        self.fill(|out| out.extend_from_slice(bytes));
    }

    /// Gives the glue a number, which it reads as `cx.number`, beside what the row returns.
    #[inline]
    pub fn put_number(&self, number: f64) {
        self.number.set(number);
    }

    /// Gives the glue a small number more, which it reads as `cx.flags`.
    #[inline]
    pub fn put_flags(&self, flags: u32) {
        self.flags.set(flags);
    }

    /// Gives the glue a string that lives forever, without copying it.
    pub fn put_static(&self, bytes: &'static [u8]) {
        self.out_ptr.set(bytes.as_ptr());
        self.out_len.set(bytes.len());
    }

    /// Lets `f` write the output buffer, which is empty at first and keeps its capacity from call to call.
    #[inline]
    pub fn fill(&self, f: impl FnOnce(&mut Vec<u8>)) {
        if let Ok(mut out) = self.out.try_borrow_mut() {
            out.clear();
            f(&mut out);
            self.out_ptr.set(out.as_ptr());
            self.out_len.set(out.len());
        }
    }

    /// Leaves a number for the glue, which reads it as `cx.note`; it is 0 whenever code is entered.
    pub fn set_note(&self, note: i32) {
        self.note.set(note);
    }

    /// Ends the whole job with `code` as soon as the running thread stops; the glue must then end in
    /// `return stop()`. Nothing happens where no job runs.
    pub fn finish(&self, code: i32) {
        if let Some(core) = self.core() {
            core.finish.set(Some(code));
        }
    }

    /// Takes the first result, as a string, of the job of `set_by_lua*` that has just ended; empty if there was none.
    pub fn take_result(&self) -> Vec<u8> {
        self.result.take()
    }

    pub(crate) fn set_result(&self, text: &[u8]) {
        self.result.replace(text.to_vec());
    }

    /// Says that a function of this handler will run after it (a timer's, a callback): it then keeps the handler's
    /// globals to itself, and the next handler gets fresh ones.
    pub fn detach_globals(&self) {
        self.detached.set(true);
    }

    /// Whether the running thread is the only one of its handler: nobody else could go on while it does something.
    pub fn is_alone(&self) -> bool {
        self.core().is_some_and(|core| core.threads.borrow().len() == 1)
    }

    /// Whether a suspending function may suspend now.
    pub fn can_suspend(&self) -> bool {
        self.phase_info.get().is_some_and(|p| p.yields) && self.core.borrow().is_some()
    }

    /// Whether the current phase is one of these.
    #[inline]
    pub fn is_in(&self, phases: PhaseSet) -> bool {
        phases.0 & self.phase.get() != 0
    }

    /// The error of a row called outside its phases.
    pub fn refusal(&self) -> Raise {
        match self.phase_info.get() {
            None => Raise::fixed("no request found"),
            Some(phase) => Raise::new(format!("API disabled in the context of {}", phase.name)),
        }
    }

    /// Checks the phase for a function that stands behind a Lua function of its own: the error names the line that called that.
    ///
    /// # Errors
    /// As for a row called outside its phases.
    pub fn require_phase(&self, phases: PhaseSet) -> Result<(), Raise> {
        if self.allows(phases.0) { Ok(()) } else { Err(self.refusal().at_level(2)) }
    }

    #[inline]
    pub(crate) fn allows(&self, mask: u32) -> bool {
        mask & self.phase.get() != 0 || mask == PhaseSet::EVERYWHERE.0
    }

    pub(crate) fn core(&self) -> Option<Rc<Core>> {
        self.core.try_borrow().ok()?.clone()
    }

    pub(crate) fn hooks(&self) -> Option<Rc<dyn Hooks>> {
        self.hooks.try_borrow().ok()?.clone()
    }

    pub(crate) fn set_hooks(&self, hooks: Rc<dyn Hooks>) {
        *self.hooks.borrow_mut() = Some(hooks);
    }

    pub(crate) fn unique(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        id
    }

    /// Runs a fast row's body. Compiled code may be on the stack below, which must not be re-entered.
    #[inline]
    pub(crate) fn fast<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        self.in_fast.set(true);
        self.err.set(0);
        let result = catch_unwind(AssertUnwindSafe(f));
        self.in_fast.set(false);
        match result {
            Ok(value) => Some(value),
            Err(_) => {
                self.fail(b"internal error: a native function panicked");
                None
            }
        }
    }

    /// Leaves an error for the glue.
    pub(crate) fn fail(&self, text: &[u8]) {
        self.set_text(text);
        self.err.set(1);
    }

    /// Whether Lua may be entered: not from within a fast row.
    pub(crate) fn enterable(&self) -> bool {
        !self.in_fast.get()
    }

    pub(crate) fn enter(
        &self,
        host: Option<Rc<dyn Host>>,
        phase: Option<LuaPhase>,
        core: Option<Rc<Core>>,
        waker: Option<&Waker>,
    ) -> Saved {
        self.req.set(host.as_ref().map_or(std::ptr::null(), |h| Rc::as_ptr(h).cast()));
        self.phase.set(phase.map_or(0, |p| p.bit));
        Saved {
            phase: self.phase_info.replace(phase),
            detached: self.detached.replace(false),
            note: self.note.replace(0),
            stretch: self.stretches.get().map_or(0, RunCounter::begin),
            host: self.host.replace(host),
            core: self.core.replace(core),
            waker: if waker.is_some() || self.waker.borrow().is_some() { self.waker.replace(waker.cloned()) } else { None },
        }
    }

    /// Puts back what was current and returns the host context that was.
    pub(crate) fn restore(&self, saved: Saved) -> Option<Rc<dyn Host>> {
        self.req.set(saved.host.as_ref().map_or(std::ptr::null(), |h| Rc::as_ptr(h).cast()));
        self.phase.set(saved.phase.map_or(0, |p| p.bit));
        self.phase_info.set(saved.phase);
        self.detached.set(saved.detached);
        self.note.set(saved.note);
        if let Some(stretches) = self.stretches.get() {
            stretches.end(saved.stretch);
        }
        drop(self.core.replace(saved.core));
        if saved.waker.is_some() || self.waker.borrow().is_some() {
            drop(self.waker.replace(saved.waker));
        }
        self.host.replace(saved.host)
    }

    /// Has the machine's stretches counted.
    pub(crate) fn set_stretches(&self, stretches: RunCounter) {
        // A machine is watched once; a second watchdog would change nothing.
        let _ = self.stretches.set(stretches);
    }

    /// Says whether the machine's allocations may be refused from now on, and what was said before.
    #[inline]
    pub(crate) fn refuse_memory(&self, refuse: bool) -> bool {
        self.meter.get().is_some_and(|meter| meter.refusing.replace(refuse))
    }

    /// Has the running thread wait for `work`, which is known not to be done yet; for fast rows. The glue must then leave by
    /// `return wait()`, which it may only where `can_wait()`. False where nothing can wait.
    pub fn park(&self, work: impl Future<Output = Result<crate::value::Reply, Raise>> + 'static) -> bool {
        let Some(core) = self.core().filter(|_| self.can_suspend()) else { return false };
        let mut work: LocalFuture = Box::pin(work);
        // A job that is not being polled yet will be as soon as it waits.
        if let Some(waker) = self.thread_waker(&core)
            && let Poll::Ready(reply) = work.as_mut().poll(&mut Context::from_waker(&waker))
        {
            waker.wake_by_ref();
            work = Box::pin(std::future::ready(reply));
        }
        core.park(work, false);
        true
    }

    /// What wakes the running thread: its bell, or the task where it is alone and the job is being polled.
    fn thread_waker(&self, core: &Core) -> Option<Waker> {
        core.thread_waker().or_else(|| self.waker.try_borrow().ok().and_then(|waker| waker.clone()))
    }

    /// Polls a new future once, with the job's waker when it is already being polled.
    pub(crate) fn poll_new(&self, work: &mut LocalFuture) -> Poll<Result<crate::value::Reply, Raise>> {
        let waker = self.core().and_then(|core| self.thread_waker(&core));
        let mut cx = Context::from_waker(waker.as_ref().unwrap_or_else(|| Waker::noop()));
        work.as_mut().poll(&mut cx)
    }
}
