//! The code that runs at the start and end of processes.

use crate::code::Code;
use crate::host::Host;
use crate::process_code::ProcessCode;
use base::errno;
use base::log::{ErrorLog, Level};
use http::core::Core;
use http::root::Defaults;
use http::{Http, Worker};
use lua::{Group, LuaError, LuaPhase, Started};
use lua_lib::socket::hub::Hub;
use lua_lib::{Runtime, Surroundings, machines};
use std::rc::Rc;
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

/// As [`crate::open`], with the parts that machines get.
///
/// # Errors
/// As there.
pub fn open(http: &Http, surroundings: Surroundings, log: &ErrorLog, api: fn() -> Vec<Group>) -> Result<(), String> {
    // Lines are no longer kept for an earlier configuration.
    base::log::set_witness(None);
    let Some(runtime) = http.main.share::<Runtime>().filter(|r| r.used.get()) else { return Ok(()) };
    runtime.surroundings.replace(surroundings);
    runtime.api.set(Some(api));
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
    let machine = machines::common(&runtime).map_err(failed)?.clone();
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
    let machine = match machines::common(&runtime) {
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
        && let Ok(machine) = machines::common(&runtime)
    {
        lua_lib::ngx::errlog::pause(&runtime, false);
        machines::watch(&runtime, machine, &worker.log);
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
