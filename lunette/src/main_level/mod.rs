//! The main level of the configuration: processes and events.

mod affinity;
mod events;
mod processes;

use base::errno::describe;
use base::log::Level;
use conf::row::{Cx, Row};
use conf::tree::Error;
use daemon::{Affinity, EnvEntry, LoadError, Settings};
use events::Events;
use http::root::{Paths, os_path};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;
use sys::identity::Account;

/// The account of workers where none is named and the master is root.
const NOBODY: &str = "nobody";

/// nginx's `worker_connections` where none is said.
const CONNECTIONS: u64 = 512;

/// What the main level says; kept in the global scope while it is read.
#[derive(Default)]
pub(crate) struct MainLevel {
    daemon: Option<bool>,
    master_process: Option<bool>,
    worker_processes: Option<usize>,
    pid: Option<Vec<u8>>,
    lock_file: Option<Vec<u8>>,
    user: Option<Option<Account>>,
    priority: Option<i32>,
    affinity: Option<Affinity>,
    open_files: Option<u64>,
    core_size: Option<u64>,
    shutdown_timeout: Option<u64>,
    timer_resolution: Option<u64>,
    debug_points: Option<()>,
    pcre_jit: Option<bool>,
    quic_bpf: Option<bool>,
    working_directory: Option<Vec<u8>>,
    env: Vec<EnvEntry>,
    /// `events { }`.
    pub(crate) events: Option<Events>,
}

/// Rows of the main level, those for `events { }` included.
pub(crate) fn rows() -> Vec<Row> {
    processes::rows().into_iter().chain(events::rows()).collect()
}

impl MainLevel {
    /// Puts everything into the settings; answers `worker_connections`.
    ///
    /// # Errors
    /// The default account does not exist.
    pub(crate) fn apply(self, settings: &mut Settings, paths: &Paths) -> Result<usize, LoadError> {
        settings.daemon = self.daemon.unwrap_or(settings.daemon);
        settings.master_process = self.master_process.unwrap_or(settings.master_process);
        settings.worker_processes = self.worker_processes.unwrap_or(settings.worker_processes);
        if let Some(pid) = self.pid.filter(|pid| !pid.is_empty()) {
            settings.pid = paths.resolve(&pid);
        }
        settings.user = match self.user {
            Some(user) => user,
            None if sys::identity::is_root() => Some(nobody_account()?),
            None => None,
        };
        settings.worker_priority = self.priority.unwrap_or_default();
        settings.worker_cpu_affinity = self.affinity.unwrap_or_default();
        settings.worker_rlimit_nofile = self.open_files;
        settings.worker_rlimit_core = self.core_size;
        settings.worker_shutdown_timeout = self.shutdown_timeout.filter(|ms| *ms > 0).map(Duration::from_millis);
        settings.working_directory = self.working_directory.map(|path| os_path(&path));
        settings.env = self.env;
        let connections = self.events.and_then(|events| events.connections).unwrap_or(CONNECTIONS);
        Ok(usize::try_from(connections).unwrap_or(usize::MAX))
    }
}

fn nobody_account() -> Result<Account, LoadError> {
    match sys::identity::user(NOBODY) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(LoadError::new(format!("getpwnam(\"{NOBODY}\") failed"))),
        Err(error) => Err(LoadError::new(format!("getpwnam(\"{NOBODY}\") failed {}", describe(&error)))),
    }
}

/// What the settings as a whole get wrong; `connections` is `worker_connections`.
pub(crate) fn warnings(settings: &Settings, connections: usize) -> Vec<String> {
    let mut found = Vec::new();
    let affinity = &settings.worker_cpu_affinity;
    let masks = affinity.masks.len();
    if !affinity.auto && masks > 1 && masks != settings.worker_processes {
        let text = "the number of \"worker_processes\" is not equal to the number of \"worker_cpu_affinity\" masks, \
                    using last mask for remaining worker processes";
        found.push(text.to_owned());
    }
    let own = settings.worker_rlimit_nofile;
    // nginx leaves this one to the configuration's log.
    if settings.error_log.enabled(Level::Warn)
        && let Ok(inherited) = sys::limits::open_files()
        && [Some(inherited), own].into_iter().flatten().all(|limit| connections as u64 > limit)
    {
        let limit = own.unwrap_or(inherited);
        found.push(format!("{connections} worker_connections exceed open file resource limit: {limit}"));
    }
    found
}

/// Stores into a field of the main level that may be given once.
fn once<T>(cx: &Cx<'_>, field: fn(&mut MainLevel) -> &mut Option<T>, value: T) -> Result<(), Error> {
    cx.once(field(&mut cx.global::<MainLevel>()), value)
}

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
