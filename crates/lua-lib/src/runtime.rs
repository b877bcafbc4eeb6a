//! Lua of one configuration: its settings, its machine, and what its handlers share.
//!
//! It hangs off the main level because the master makes the machine, runs `init_by_lua*` in it, and workers get it
//! by fork. In a worker only that worker's thread uses it.

use crate::machine::{Machine, Search};
use crate::timers::Timers;
use conf::scope::{Config, Scope};
use std::cell::{Cell, OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

/// What Lua code can ask about the server as a whole.
#[derive(Debug, Clone, Default)]
pub struct ServerInfo {
    /// How many workers there are.
    pub workers: usize,
    /// Whether they have a master.
    pub master: bool,
    /// The main level's log is written from `debug` on.
    pub debug: bool,
    /// The build information that `-V` shows.
    pub configure: String,
    /// Variables that `env` gives values.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Names and numbers of threads of the thread pools.
    pub pools: Vec<(Vec<u8>, u64)>,
}

/// What `ngx.config.subsystem` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Subsystem {
    /// `http`
    #[default]
    Http,
    /// `stream`
    Stream,
}

/// Settings of Lua and what its code shares.
#[derive(Default)]
pub struct Runtime {
    /// Some directive of Lua is used.
    pub used: Cell<bool>,
    /// The prefix of the configuration in force, once it is opened.
    pub prefix: RefCell<PathBuf>,
    /// `lua_package_path`
    pub path: RefCell<Option<String>>,
    /// `lua_package_cpath`
    pub cpath: RefCell<Option<String>>,
    /// Where machines look for modules, once the first is made.
    pub(crate) search: OnceCell<Search>,
    /// `lua_max_pending_timers`, 1024 by default.
    pub max_pending_timers: Cell<Option<u64>>,
    /// `lua_max_running_timers`, 256 by default.
    pub max_running_timers: Cell<Option<u64>>,
    /// `lua_regex_cache_max_entries`, 1024 by default.
    pub regex_cache_entries: Cell<Option<u64>>,
    /// `lua_regex_match_limit`; 0, PCRE2's own limit, by default.
    pub regex_match_limit: Cell<Option<u64>>,
    /// `lua_max_cpu_time`, milliseconds.
    pub max_cpu_time: Cell<Option<u64>>,
    /// `lua_max_memory`, bytes.
    pub max_memory: Cell<Option<u64>>,
    /// Watches this worker's machines under `lua_max_cpu_time`.
    pub watchdog: OnceCell<Rc<lua::Watchdog>>,
    /// Timers of this worker.
    pub timers: Timers,
    /// State of parts of the API, by type.
    state: Scope,
    /// What the configuration says beside `http`, once it is opened.
    pub surroundings: RefCell<ServerInfo>,
    /// `enable_privileged_agent` was called: how many connections that process may have.
    pub agent: Cell<Option<usize>>,
    /// `lua_worker_thread_vm_pool_size`, 10 by default.
    pub thread_machines: Cell<Option<u64>>,
    /// `lua_sa_restart`, on by default.
    pub sa_restart: Cell<Option<bool>>,
    /// `lua_thread_cache_max_entries`, 1024 by default.
    pub idle_slots: Cell<Option<u64>>,
    /// Zones of `lua_shared_dict`, by their numbers in `ngx.shared`.
    pub dicts: RefCell<Vec<Rc<shm::Zone>>>,
    /// Where this thread's functions find them.
    pub(crate) shared_slots: crate::shelf::SharedSlots,
    /// The groups of machines; of libraries alone where nobody says more.
    pub api: Cell<Option<fn() -> Vec<lua::Group>>>,
    /// The machine of this process, once it is made.
    pub machine: OnceCell<Rc<Machine>>,
}

impl Runtime {
    /// A part's state of type `T`, made from `Default` on first use.
    pub fn state<T: Default + 'static>(&self) -> Rc<T> {
        self.state.get::<Rc<T>>().clone()
    }
}

impl Config for Runtime {
    fn inherit(&mut self, _: &Self) {}
}
