//! Lua of one configuration: its settings, its machine, and the pools that its handlers share.
//!
//! The machine hangs off the `http` level because the master makes it, runs `init_by_lua*` in it, and workers get it
//! by fork. In a worker only that worker's thread uses it.

use crate::code::Code;
use crate::host::Host;
use crate::machine::Machine;
use crate::state::{Slots, State};
use crate::timers::Timers;
use crate::watcher::Watcher;
use base::log::{ErrorLog, Level};
use conf::scope::Config;
use http::{Http, Request, Worker};
use lua::{LuaError, Phase};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// Most hosts that are kept for the next request.
const IDLE_HOSTS: usize = 256;

/// Settings of `http { }` and what handlers share.
#[derive(Default)]
pub struct Runtime {
    /// Some directive of Lua is used.
    pub used: Cell<bool>,
    /// `lua_package_path`
    pub path: RefCell<Option<String>>,
    /// `lua_package_cpath`
    pub cpath: RefCell<Option<String>>,
    /// `lua_max_pending_timers`, 1024 by default.
    pub max_pending_timers: Cell<Option<u64>>,
    /// `lua_max_running_timers`, 256 by default.
    pub max_running_timers: Cell<Option<u64>>,
    /// `init_by_lua*`
    pub init: RefCell<Option<Rc<Code>>>,
    /// `init_worker_by_lua*`
    pub init_worker: RefCell<Option<Rc<Code>>>,
    /// `exit_worker_by_lua*`
    pub exit_worker: RefCell<Option<Rc<Code>>>,
    /// Places where `lua_code_cache off` stands, as ` in FILE:LINE`.
    pub uncached: RefCell<Vec<String>>,
    /// Timers of this worker.
    pub timers: Timers,
    /// `ngx.ctx` tables.
    pub slots: Rc<Slots>,
    machine: OnceCell<Rc<Machine>>,
    hosts: RefCell<Vec<Rc<Host>>>,
}

impl Config for Runtime {
    fn inherit(&mut self, _: &Self) {}
}

impl Runtime {
    /// A machine with the configured paths and the whole API.
    ///
    /// # Errors
    /// Those of [`Machine::new`].
    pub fn fresh_machine(&self) -> Result<Rc<Machine>, LuaError> {
        let machine = Machine::new(self.path.borrow().as_deref(), self.cpath.borrow().as_deref())?;
        machine.vm.set_hooks(Rc::new(Watcher));
        for group in crate::groups() {
            machine.vm.bind(&group)?;
        }
        for (name, source) in crate::preloads() {
            machine.vm.preload(name, source)?;
        }
        Ok(Rc::new(machine))
    }

    /// The machine of this process.
    ///
    /// # Errors
    /// It has yet to be made, and that fails.
    pub fn machine(&self) -> Result<&Rc<Machine>, LuaError> {
        if let Some(machine) = self.machine.get() {
            return Ok(machine);
        }
        let machine = self.fresh_machine()?;
        Ok(self.machine.get_or_init(|| machine))
    }

    /// The machine for a request: the process's, or one of its own that has run `init_by_lua*`.
    ///
    /// # Errors
    /// Making one fails, or `init_by_lua*` does.
    pub fn machine_for(self: &Rc<Self>, request: &Rc<Request>, state: &State, cached: bool) -> Result<Rc<Machine>, LuaError> {
        if cached {
            return self.machine().cloned();
        }
        if let Some(machine) = state.machine.get() {
            return Ok(machine.clone());
        }
        let machine = self.fresh_machine()?;
        if let Some(code) = self.init.borrow().clone() {
            let host = Host::without_request(self.clone(), machine.clone(), None, request.error_log());
            code.run_init(&machine, Phase::INIT, Rc::new(host), &request.worker.http.paths)?;
        }
        Ok(state.machine.get_or_init(|| machine).clone())
    }

    /// A host for a run of `request`.
    pub fn lend(self: &Rc<Self>, request: &Rc<Request>, machine: Rc<Machine>, state: Rc<State>) -> Rc<Host> {
        let idle = self.hosts.borrow_mut().pop();
        let mut host = idle.unwrap_or_else(|| {
            let log = request.worker.log.clone();
            Rc::new(Host::without_request(self.clone(), machine.clone(), Some(request.worker.clone()), log))
        });
        if let Some(host) = Rc::get_mut(&mut host) {
            host.request = Some(request.clone());
            host.machine = machine;
            host.state = state;
        }
        host
    }

    /// Takes a host back.
    pub fn give_back(&self, mut host: Rc<Host>) {
        let Some(inner) = Rc::get_mut(&mut host) else { return };
        inner.request = None;
        let mut hosts = self.hosts.borrow_mut();
        if hosts.len() < IDLE_HOSTS {
            hosts.push(host);
        }
    }
}

/// Makes the machine in the master and runs `init_by_lua*`; to be called when a configuration that will serve is
/// opened. Does nothing where Lua is not used.
///
/// # Errors
/// nginx's line about why the configuration cannot be used.
pub fn open(http: &Http, log: &ErrorLog) -> Result<(), String> {
    let Some(runtime) = http.main.share::<Runtime>().filter(|r| r.used.get()) else { return Ok(()) };
    for place in runtime.uncached.borrow().iter() {
        log.write(Level::Alert, 0, format!("lua_code_cache is off; this will hurt performance{place}").as_bytes());
    }
    let code = runtime.init.borrow().clone();
    let suffix = if code.as_ref().is_some_and(|code| code.is_file()) { "_file" } else { "" };
    let failed = |error: LuaError| format!("init_by_lua{suffix} error: {}", String::from_utf8_lossy(&error.message));
    let machine = runtime.machine().map_err(failed)?.clone();
    if let Some(code) = code {
        let host = Host::without_request(runtime.clone(), machine.clone(), None, log.clone());
        code.run_init(&machine, Phase::INIT, Rc::new(host), &http.paths).map_err(failed)?;
    }
    Ok(())
}

fn run_in_worker(worker: &Rc<Worker>, phase: Phase, pick: fn(&Runtime) -> Option<Rc<Code>>) {
    let Some(runtime) = worker.http.main.share::<Runtime>().filter(|r| r.used.get()) else { return };
    let machine = match runtime.machine() {
        Ok(machine) => machine.clone(),
        Err(error) => return worker.log.write(Level::Emerg, 0, &error.log_text()),
    };
    let Some(code) = pick(&runtime) else { return };
    let host: Rc<dyn Any> = Rc::new(Host::without_request(runtime, machine.clone(), Some(worker.clone()), worker.log.clone()));
    if let Err(error) = code.run_init(&machine, phase, host, &worker.http.paths) {
        let mut line = phase.name.trim_end_matches('*').as_bytes().to_vec();
        line.extend_from_slice(if code.is_file() { b"_file error: ".as_slice() } else { b" error: " });
        line.extend_from_slice(&error.message);
        worker.log.write(Level::Error, 0, &line);
    }
}

/// Runs `init_worker_by_lua*`.
pub(crate) fn start_worker(worker: &Rc<Worker>) {
    run_in_worker(worker, Phase::INIT_WORKER, |runtime| runtime.init_worker.borrow().clone());
    if let Some(runtime) = worker.http.main.share::<Runtime>().filter(|r| r.used.get()) {
        worker.on_exiting(move || runtime.timers.begin_exit());
    }
}

/// Runs `exit_worker_by_lua*`; to be called when a worker has nothing left to do.
pub fn exit_worker(worker: &Rc<Worker>) {
    run_in_worker(worker, Phase::EXIT_WORKER, |runtime| runtime.exit_worker.borrow().clone());
}
