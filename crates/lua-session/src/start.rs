//! The code that runs at the start and end of processes.

use crate::code::Code;
use crate::host::Host;
use crate::process_code::ProcessCode;
use crate::protocol::Protocol;
use base::errno;
use base::log::{ErrorLog, Level};
use conf::configs::ConfMap;
use lua::{Group, LuaError, LuaPhase, Started};
use lua_lib::{Runtime, ServerInfo, machines};
use session::paths::Paths;
use std::rc::Rc;
use sys::boxed::pinned;
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

base::message_error! {
    /// Why `init_by_lua*` cannot be run: nginx's line about a configuration that cannot be used.
    pub struct InitError;
}

/// Makes the machine of one protocol in the master and runs its `init_by_lua*`; `api` is what machines get. Does nothing where Lua is
/// not used.
///
/// # Errors
/// nginx's line about why the configuration cannot be used.
pub fn open<P: Protocol>(
    main: &ConfMap,
    paths: &Paths,
    surroundings: &ServerInfo,
    log: &ErrorLog,
    api: fn() -> Vec<Group>,
) -> Result<(), InitError> {
    let Some(runtime) = main.share::<Runtime>().filter(|r| r.used.get()) else { return Ok(()) };
    runtime.surroundings.replace(surroundings.clone());
    runtime.api.set(Some(api));
    lua::symbols::set_process(0, 0);
    lua_lib::ngx::errlog::begin(&runtime);
    runtime.prefix.replace(paths.prefix.clone());
    let codes = main.share::<ProcessCode<P::Session>>().unwrap_or_default();
    let code = codes.init.borrow().clone();
    let suffix = if code.as_ref().is_some_and(|code| code.is_file()) { "_file" } else { "" };
    let failed = |error: LuaError| format!("init_by_lua{suffix} error: {}", String::from_utf8_lossy(&error.message));
    let machine = machines::shared(&runtime).map_err(failed)?.clone();
    if let Some(code) = code {
        let host = Host::<P>::without_session(runtime.clone(), machine.clone(), None, log.clone());
        code.run_init(&machine, LuaPhase::INIT, Rc::new(host), paths).map_err(failed)?;
    }
    lua_lib::ngx::errlog::pause(&runtime, true);
    Ok(())
}

/// Lua of the worker's configuration, if it is used.
fn runtime_of<P: Protocol>(worker: &P::Worker) -> Option<Rc<Runtime>> {
    P::with_whole(worker, |whole| whole.main.share::<Runtime>()).filter(|runtime| runtime.used.get())
}

/// Picks the code of one moment.
type CodeOf<S> = fn(&ProcessCode<S>) -> Option<Rc<Code<S>>>;

fn run_in_worker<P: Protocol>(worker: &Rc<P::Worker>, phase: LuaPhase, pick: CodeOf<P::Session>) {
    let Some(runtime) = runtime_of::<P>(worker) else { return };
    let machine = match machines::shared(&runtime) {
        Ok(machine) => machine.clone(),
        Err(error) => return worker.log.write(Level::Emerg, 0, &error.log_text()),
    };
    let (codes, log, paths) =
        P::with_whole(worker, |whole| (whole.main.share::<ProcessCode<P::Session>>().unwrap_or_default(), whole.log, whole.paths.clone()));
    let Some(code) = pick(&codes) else { return };
    let waits = phase == LuaPhase::INIT_WORKER && codes.init_worker_waits.get();
    let mut host = Host::<P>::without_session(runtime, machine.clone(), Some(worker.clone()), log);
    if phase == LuaPhase::INIT_WORKER {
        host.number = P::common_worker(worker).next_connection();
    }
    let host: Rc<dyn lua::Host> = Rc::new(host);
    let report = {
        let (log, is_file) = (worker.log.clone(), code.is_file());
        move |error: &LuaError| report(&log, phase, is_file, error)
    };
    if !waits {
        if let Err(error) = code.run_init(&machine, phase, host, &paths) {
            report(&error);
        }
        return;
    }
    let end = move |ended: lua::Completion| {
        if let lua::Completion::Failed(error) = ended {
            report(&error);
        }
    };
    match code.start_init(&machine, phase.waiting(), host, &paths) {
        Err(error) => end(lua::Completion::Failed(Box::new(error))),
        Ok(Started::Done(ended)) => end(ended),
        Ok(Started::Waiting(job)) => worker.spawn(pinned(|| async move { end(job.await) })),
    }
}

fn report(log: &ErrorLog, phase: LuaPhase, is_file: bool, error: &LuaError) {
    let mut line = phase.name.trim_end_matches('*').as_bytes().to_vec();
    line.extend_from_slice(if is_file { b"_file error: ".as_slice() } else { b" error: " });
    line.extend_from_slice(&error.message);
    if !error.traceback.is_empty() {
        line.push(b'\n');
        line.extend_from_slice(&error.traceback);
    }
    log.write(Level::Error, 0, &line);
}

/// Says to C code what this process is.
fn name_process(worker: &session::Worker, master: bool) {
    let (alone, worker_of_many, other) = (0, 3, 4);
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
pub fn start_worker<P: Protocol>(worker: &Rc<P::Worker>) {
    let runtime = P::with_whole(worker, |whole| whole.main.share::<Runtime>());
    name_process(worker, runtime.as_ref().is_some_and(|runtime| runtime.surroundings.borrow().master));
    let restart = runtime.and_then(|runtime| runtime.sa_restart.get());
    if restart == Some(false)
        && let Err(error) = sys::signal::interrupt_calls(&SIGNALS)
    {
        base::log!(worker.log, Level::Crit, 0, "sigaction() failed {}", errno::describe(&error));
    }
    let Some(runtime) = runtime_of::<P>(worker) else { return };
    if let Ok(machine) = machines::shared(&runtime) {
        lua_lib::ngx::errlog::pause(&runtime, false);
        machines::watch(&runtime, machine, &worker.log);
    }
    run_in_worker::<P>(worker, LuaPhase::INIT_WORKER, |codes| codes.init_worker.borrow().clone());
    let this = Rc::downgrade(worker);
    worker.on_exiting(move || {
        if let Some(worker) = this.upgrade() {
            runtime.timers.begin_exit(&worker, P::PREFIX);
            P::hub_of(&worker).pools.close_idle();
        }
    });
}

/// Runs `exit_worker_by_lua*`; to be called when a worker has nothing left to do.
pub fn exit_worker<P: Protocol>(worker: &Rc<P::Worker>) {
    run_in_worker::<P>(worker, LuaPhase::EXIT_WORKER, |codes| codes.exit_worker.borrow().clone());
}
