//! Creates the virtual machines of a process.

use crate::machine::{Machine, Search};
use crate::runtime::{Runtime, Subsystem};
use crate::watcher::Watcher;
use base::errno;
use base::log::{ErrorLog, Level};
use lua::LuaError;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A machine with the configured paths and the whole API of its protocol.
///
/// # Errors
/// Memory is exhausted, or a part of the API does not load.
pub fn create(runtime: &Runtime) -> Result<Rc<Machine>, LuaError> {
    let search = runtime.search.get_or_init(|| Search::new(runtime.path.borrow().as_deref(), runtime.cpath.borrow().as_deref()));
    let machine = Machine::new(search.clone())?;
    if let Some(count) = runtime.idle_slots.get() {
        machine.vm.keep_idle(usize::try_from(count).unwrap_or(usize::MAX));
    }
    machine.vm.set_hooks(Rc::new(Watcher));
    if let Some(bytes) = limit(&runtime.max_memory) {
        machine.vm.limit_memory(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    for group in runtime.api.get().map_or_else(|| crate::groups(Subsystem::Http), |api| api()) {
        machine.vm.bind(&group)?;
    }
    crate::preload(&machine.vm, runtime.surroundings.borrow().debug)?;
    crate::ngx::shared::publish(&machine.vm, runtime)?;
    Ok(Rc::new(machine))
}

fn limit(setting: &Cell<Option<u64>>) -> Option<u64> {
    setting.get().filter(|limit| *limit > 0)
}

/// Code sits in a C function that nothing can end, and everybody on this worker waits for it: the master makes a new worker.
fn give_up(limit: Duration) {
    base::clock::update();
    let ms = limit.as_millis();
    let text = format!("lua_max_cpu_time exceeded: more than {ms} ms in a C function that cannot be interrupted, the worker aborts");
    // The worker's own log belongs to its own thread; standard error leads to the same file.
    ErrorLog::stderr(Level::Alert).write(Level::Alert, 0, text.as_bytes());
    std::process::abort();
}

/// Has a machine of this worker watched, if code may not run for long.
pub fn watch(runtime: &Runtime, machine: &Machine, log: &ErrorLog) {
    let Some(ms) = limit(&runtime.max_cpu_time) else { return };
    if runtime.watchdog.get().is_none() {
        match lua::Watchdog::start(Duration::from_millis(ms), give_up) {
            Ok(watchdog) => drop(runtime.watchdog.set(watchdog)),
            Err(error) => {
                return log.write(Level::Alert, 0, format!("lua_max_cpu_time is not in force {}", errno::describe(&error)).as_bytes());
            }
        }
    }
    if let Some(watchdog) = runtime.watchdog.get() {
        machine.vm.watch(watchdog);
    }
}

/// The machine of this process, made at the first call.
///
/// # Errors
/// It has yet to be made, and that fails.
pub fn common(runtime: &Runtime) -> Result<&Rc<Machine>, LuaError> {
    if let Some(machine) = runtime.machine.get() {
        return Ok(machine);
    }
    let machine = create(runtime)?;
    Ok(runtime.machine.get_or_init(|| machine))
}
