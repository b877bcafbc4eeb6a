//! The processor time that one stretch of Lua code may use (`lua_max_cpu_time`).
//!
//! A thread beside the worker looks every few milliseconds at what the worker's machines run. Code that has kept its
//! machine for too long gets LuaJIT's instruction hook, which raises an error at the next instruction, inside compiled
//! loops too (LuaJIT is built with `LUAJIT_ENABLE_CHECKHOOK`). Code in a C function cannot be interrupted: when it has
//! not returned a while later, the owner of the watchdog is told, on the watching thread. While nothing is limited this
//! costs one branch per handler.

use ::sys::time::ThreadClock;
use mlua_sys as sys;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Processor time that code gets beyond its limit to come out of a C function.
const GRACE: Duration = Duration::from_millis(750);

/// What to do about code that the hook does not reach. Gets the limit; called on the watching thread, again and again until
/// the code has ended.
pub type StuckHandler = fn(Duration);

/// Where the registry keeps what the hook needs.
static KEY: u8 = 0;

/// One machine as the watching thread sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Number of the stretch that runs; 0 while none does.
    running: AtomicU64,
    /// Number of the stretch that must end.
    condemned: AtomicU64,
    /// None once the machine is gone.
    lua: Mutex<Option<State>>,
    limit_ms: u64,
}

#[derive(Debug)]
struct State(*mut sys::lua_State);

// SAFETY: the watching thread only passes the pointer to lua_sethook, which LuaJIT allows from another native thread, and
// only under the lock that the machine's owner takes before the machine goes.
unsafe impl Send for State {}

/// The owner's side: counts stretches.
#[derive(Debug)]
pub(crate) struct RunCounter {
    watched: Arc<Watched>,
    last: Cell<u64>,
}

impl RunCounter {
    /// A stretch begins; the number of the one around it must be given to [`RunCounter::end`].
    pub(crate) fn begin(&self) -> u64 {
        let outer = self.watched.running.load(Ordering::Relaxed);
        self.go_on();
        outer
    }

    /// The stretch has ended; the one around it, if any, goes on with a new allowance.
    pub(crate) fn end(&self, outer: u64) {
        if outer == 0 { self.watched.running.store(0, Ordering::Release) } else { self.go_on() }
    }

    fn go_on(&self) {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.watched.running.store(number, Ordering::Release);
    }
}

impl RunCounter {
    /// The machine is about to be closed.
    pub(crate) fn forget_machine(&self) {
        *self.watched.lua.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The watching thread of a worker.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    limit: Duration,
    stuck: StuckHandler,
    clock: ThreadClock,
    over: AtomicBool,
    machines: Mutex<Vec<Arc<Watched>>>,
}

impl Watchdog {
    /// Starts watching the machines of the calling thread, once they are given to [`crate::Vm::watch`].
    ///
    /// # Errors
    /// No thread can be started, or the system has no clock of the thread's processor time.
    pub fn start(limit: Duration, stuck: StuckHandler) -> std::io::Result<Rc<Watchdog>> {
        let clock = ThreadClock::of_this_thread()?;
        let shared = Arc::new(Shared { limit, stuck, clock, over: AtomicBool::new(false), machines: Mutex::default() });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("lua cpu limit".into()).stack_size(64 * 1024).spawn(move || theirs.watch())?;
        Ok(Rc::new(Watchdog { shared, thread: Some(thread) }))
    }

    /// # Safety
    /// `lua` is a live main state of this thread that outlives the result.
    pub(crate) unsafe fn add(&self, lua: *mut sys::lua_State) -> RunCounter {
        let limit_ms = u64::try_from(self.shared.limit.as_millis()).unwrap_or(u64::MAX);
        let lua_state = Mutex::new(Some(State(lua)));
        let watched = Arc::new(Watched { running: AtomicU64::new(0), condemned: AtomicU64::new(0), lua: lua_state, limit_ms });
        // SAFETY: the caller's contract; the address is only a key, and the value lives as long as the result.
        unsafe {
            sys::lua_pushlightuserdata(lua, std::ptr::from_ref(&KEY).cast_mut().cast());
            sys::lua_pushlightuserdata(lua, Arc::as_ptr(&watched).cast_mut().cast());
            sys::lua_rawset(lua, sys::LUA_REGISTRYINDEX);
        }
        let mut machines = self.shared.machines.lock().unwrap_or_else(PoisonError::into_inner);
        machines.retain(|machine| Arc::strong_count(machine) > 1);
        machines.push(watched.clone());
        RunCounter { watched, last: Cell::new(0) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within one look; that it panicked is nothing to act on.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self) {
        let pause = (self.limit / 4).clamp(Duration::from_millis(2), Duration::from_millis(50));
        // The machine, its stretch when it was last looked at, and the processor time when that began to run.
        let mut seen: Vec<(Arc<Watched>, u64, Duration)> = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(pause);
            let now = self.clock.now();
            let machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner).clone();
            seen.retain(|(old, ..)| machines.iter().any(|machine| Arc::ptr_eq(old, machine)));
            for machine in machines {
                let running = machine.running.load(Ordering::Acquire);
                match seen.iter_mut().find(|(old, ..)| Arc::ptr_eq(old, &machine)) {
                    None => seen.push((machine, running, now)),
                    Some((_, last, since)) if *last != running || running == 0 => (*last, *since) = (running, now),
                    Some((_, _, since)) => match now.saturating_sub(*since) {
                        used if used >= self.limit + GRACE => (self.stuck)(self.limit),
                        used if used >= self.limit => machine.mark_expired(running),
                        _ => {}
                    },
                }
            }
        }
    }
}

impl Watched {
    fn mark_expired(&self, stretch: u64) {
        if self.condemned.swap(stretch, Ordering::AcqRel) == stretch {
            return;
        }
        if let Some(State(lua)) = &*self.lua.lock().unwrap_or_else(PoisonError::into_inner) {
            // SAFETY: the state is live while the lock is held; lua_sethook may be called from another native thread.
            unsafe { sys::lua_sethook(*lua, Some(interrupt), sys::LUA_MASKCOUNT, 1) };
        }
    }
}

/// The error's words before and behind the limit.
const BEFORE: &[u8] = b"lua_max_cpu_time exceeded: more than ";
const BEHIND: &[u8] = b" ms without a pause";

/// The hook: raises in the stretch that was condemned, and takes itself away in any other.
unsafe extern "C-unwind" fn interrupt(l: *mut sys::lua_State, _: *mut sys::lua_Debug) {
    // SAFETY: a hook has the minimum of 20 stack slots; the registry's value is the machine's own and lives as long as
    // the machine. No value with a destructor is alive when lua_error leaves this frame.
    unsafe {
        sys::lua_pushlightuserdata(l, std::ptr::from_ref(&KEY).cast_mut().cast());
        sys::lua_rawget(l, sys::LUA_REGISTRYINDEX);
        let watched = sys::lua_touserdata(l, -1).cast::<Watched>();
        sys::lua_settop(l, -2);
        let Some(watched) = watched.as_ref() else { return };
        let running = watched.running.load(Ordering::Relaxed);
        if running == 0 || running != watched.condemned.load(Ordering::Acquire) {
            sys::lua_sethook(l, None, 0, 0);
            return;
        }
        sys::luaL_where(l, 0);
        sys::lua_pushlstring(l, BEFORE.as_ptr().cast(), BEFORE.len());
        sys::lua_pushnumber(l, watched.limit_ms as f64);
        sys::lua_pushlstring(l, BEHIND.as_ptr().cast(), BEHIND.len());
        sys::lua_concat(l, 4);
        sys::lua_error(l);
    }
}
