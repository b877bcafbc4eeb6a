//! Making machines, and the code that runs at the start and end of processes.

use crate::code::Code;
use crate::host::Host;
use crate::process_code::ProcessCode;
use crate::socket::hub::Hub;
use crate::state::State;
use base::errno;
use base::log::{ErrorLog, Level};
use http::core::Core;
use http::root::Defaults;
use http::{Http, Request, Worker};
use lua::{LuaError, LuaPhase, Started};
use lua_lib::machine::Search;
use lua_lib::watcher::Watcher;
use lua_lib::{Machine, Runtime, Surroundings};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use sys::signal;

/// Signals that nginx's processes catch.
const SIGNALS: [i32; 10] = [
    signal::SIGHUP,
    signal::SIGUSR1,
    signal::SIGUSR2,
    signal::SIGWINCH,
    signal::SIGTERM,
    signal::SIGQUIT,
    signal::SIGINT,
    signal::SIGALRM,
    signal::SIGIO,
    signal::SIGCHLD,
];

/// A machine with the configured paths and the whole API.
///
/// # Errors
/// Memory is exhausted, or a part of the API does not load.
fn fresh_machine(runtime: &Runtime) -> Result<Rc<Machine>, LuaError> {
    let search = runtime.search.get_or_init(|| Search::new(runtime.path.borrow().as_deref(), runtime.cpath.borrow().as_deref()));
    let machine = Machine::new(search.clone())?;
    if let Some(count) = runtime.idle_slots.get() {
        machine.vm.keep_idle(usize::try_from(count).unwrap_or(usize::MAX));
    }
    machine.vm.set_hooks(Rc::new(Watcher));
    if let Some(bytes) = limit(&runtime.max_memory) {
        machine.vm.limit_memory(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    for group in crate::groups() {
        machine.vm.bind(&group)?;
    }
    lua_lib::furnish(&machine.vm, runtime.surroundings.borrow().debug)?;
    lua_lib::ngx::shared::publish(&machine.vm, runtime)?;
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
fn watch(runtime: &Runtime, machine: &Machine, log: &ErrorLog) {
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

/// The machine of this process.
///
/// # Errors
/// It has yet to be made, and that fails.
pub fn machine(runtime: &Runtime) -> Result<&Rc<Machine>, LuaError> {
    if let Some(machine) = runtime.machine.get() {
        return Ok(machine);
    }
    let machine = fresh_machine(runtime)?;
    Ok(runtime.machine.get_or_init(|| machine))
}

/// The machine for a request: the process's, or one of its own that has run `init_by_lua*`.
///
/// # Errors
/// Making one fails, or `init_by_lua*` does.
pub fn machine_for(runtime: &Rc<Runtime>, request: &Rc<Request>, state: &State, cached: bool) -> Result<Rc<Machine>, LuaError> {
    if cached {
        return machine(runtime).cloned();
    }
    if let Some(machine) = state.machine.get() {
        return Ok(machine.clone());
    }
    let machine = fresh_machine(runtime)?;
    // A new machine has none yet.
    let _ = machine.log.set(request.error_log());
    watch(runtime, &machine, &request.worker.log);
    let code = request.http.main.share::<ProcessCode>().and_then(|codes| codes.init.borrow().clone());
    if let Some(code) = code {
        let host = Host::without_request(runtime.clone(), machine.clone(), None, request.error_log());
        code.run_init(&machine, LuaPhase::INIT, Rc::new(host), &request.http.paths)?;
    }
    Ok(state.machine.get_or_init(|| machine).clone())
}

/// Makes the machine in the master and runs `init_by_lua*`; to be called when a configuration that will serve is
/// opened. Does nothing where Lua is not used.
///
/// # Errors
/// nginx's line about why the configuration cannot be used.
pub fn open(http: &Http, surroundings: Surroundings, log: &ErrorLog) -> Result<(), String> {
    // Lines are no longer kept for an earlier configuration.
    base::log::set_witness(None);
    let Some(runtime) = http.main.share::<Runtime>().filter(|r| r.used.get()) else { return Ok(()) };
    runtime.surroundings.replace(surroundings);
    lua::symbols::set_process(0, 0);
    lua_lib::ngx::errlog::begin(&runtime);
    runtime.prefix.replace(http.paths.prefix.clone());
    let codes = http.main.share::<ProcessCode>().unwrap_or_default();
    for place in codes.uncached.borrow().iter() {
        log.write(Level::Alert, 0, format!("lua_code_cache is off; this will hurt performance{place}").as_bytes());
    }
    let code = codes.init.borrow().clone();
    let suffix = if code.as_ref().is_some_and(|code| code.is_file()) { "_file" } else { "" };
    let failed = |error: LuaError| format!("init_by_lua{suffix} error: {}", String::from_utf8_lossy(&error.message));
    let machine = machine(&runtime).map_err(failed)?.clone();
    if let Some(code) = code {
        let host = Host::without_request(runtime.clone(), machine.clone(), None, log.clone());
        code.run_init(&machine, LuaPhase::INIT, Rc::new(host), &http.paths).map_err(failed)?;
    }
    lua_lib::ngx::errlog::pause(&runtime, true);
    Ok(())
}

/// How many connections the privileged agent may have, where `init_by_lua*` wants one.
#[must_use]
pub fn agent_connections(http: &Http) -> Option<usize> {
    http.main.share::<Runtime>().and_then(|runtime| runtime.agent.get())
}

/// The error log of `http { }`.
fn http_log(worker: &Worker) -> ErrorLog {
    let defaults = worker.http().main.share::<Defaults>();
    let core = defaults.and_then(|defaults| defaults.0.share::<Core>());
    core.and_then(|core| core.error_log.clone()).unwrap_or_else(|| worker.log.clone())
}

fn run_in_worker(worker: &Rc<Worker>, phase: LuaPhase, pick: fn(&ProcessCode) -> Option<Rc<Code>>) {
    let Some(runtime) = worker.http().main.share::<Runtime>().filter(|r| r.used.get()) else { return };
    let machine = match machine(&runtime) {
        Ok(machine) => machine.clone(),
        Err(error) => return worker.log.write(Level::Emerg, 0, &error.log_text()),
    };
    let codes = worker.http().main.share::<ProcessCode>().unwrap_or_default();
    let Some(code) = pick(&codes) else { return };
    let waits = phase == LuaPhase::INIT_WORKER && codes.init_worker_waits.get();
    let log = http_log(worker);
    let host: Rc<dyn lua::Host> = Rc::new(Host::without_request(runtime, machine.clone(), Some(worker.clone()), log));
    if !waits {
        if let Err(error) = code.run_init(&machine, phase, host, &worker.http().paths) {
            report(worker, phase, &code, &error);
        }
        return;
    }
    match code.start_init(&machine, phase.waiting(), host, &worker.http().paths) {
        Err(error) => report(worker, phase, &code, &error),
        Ok(Started::Done(ended)) => report_end(worker, phase, &code, ended),
        Ok(Started::Waiting(job)) => {
            let owned = worker.clone();
            worker.spawn(Box::pin(async move { report_end(&owned, phase, &code, job.await) }));
        }
    }
}

fn report_end(worker: &Worker, phase: LuaPhase, code: &Code, ended: lua::Completion) {
    if let lua::Completion::Failed(error) = ended {
        report(worker, phase, code, &error);
    }
}

fn report(worker: &Worker, phase: LuaPhase, code: &Code, error: &LuaError) {
    let mut line = phase.name.trim_end_matches('*').as_bytes().to_vec();
    line.extend_from_slice(if code.is_file() { b"_file error: ".as_slice() } else { b" error: " });
    line.extend_from_slice(&error.message);
    if !error.traceback.is_empty() {
        line.push(b'\n');
        line.extend_from_slice(&error.traceback);
    }
    worker.log.write(Level::Error, 0, &line);
}

/// Says to C code what this process is.
fn name_process(worker: &Worker) {
    let (alone, worker_of_many, other) = (0, 3, 4);
    let master = worker.http().main.share::<Runtime>().is_some_and(|runtime| runtime.surroundings.borrow().master);
    let agent = worker.process().is_some_and(|place| place.agent);
    lua::symbols::set_process(
        if agent {
            other
        } else if master {
            worker_of_many
        } else {
            alone
        },
        worker.number,
    );
}

/// Runs `init_worker_by_lua*`.
pub(crate) fn start_worker(worker: &Rc<Worker>) {
    name_process(worker);
    let restart = worker.http().main.share::<Runtime>().and_then(|runtime| runtime.sa_restart.get());
    if restart == Some(false)
        && let Err(error) = sys::signal::interrupt_calls(&SIGNALS)
    {
        base::log!(worker.log, Level::Crit, 0, "sigaction() failed {}", errno::describe(&error));
    }
    if let Some(runtime) = worker.http().main.share::<Runtime>().filter(|r| r.used.get())
        && let Ok(machine) = machine(&runtime)
    {
        lua_lib::ngx::errlog::pause(&runtime, false);
        watch(&runtime, machine, &worker.log);
    }
    run_in_worker(worker, LuaPhase::INIT_WORKER, |codes| codes.init_worker.borrow().clone());
    if let Some(runtime) = worker.http().main.share::<Runtime>().filter(|r| r.used.get()) {
        let this = Rc::downgrade(worker);
        worker.on_exiting(move || {
            if let Some(worker) = this.upgrade() {
                runtime.timers.begin_exit(&worker);
                worker.state::<Hub>().pools.close_idle();
            }
        });
    }
}

/// Runs `exit_worker_by_lua*`; to be called when a worker has nothing left to do.
pub fn exit_worker(worker: &Rc<Worker>) {
    run_in_worker(worker, LuaPhase::EXIT_WORKER, |codes| codes.exit_worker.borrow().clone());
}
