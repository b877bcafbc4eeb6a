//! The life cycle of a worker around the application: privileges, limits and environment before, log lines after.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use base::errno::describe;
use base::log::Level;
use sys::signal::SignalPipe;
use sys::title::Title;

use crate::application::Application;
use crate::commands::{CommandSource, ProcessKind, SIGNALS};
use crate::console::Console;
use crate::settings::Settings;
use crate::worker_setup::{Role, WorkerSetup};
use crate::worker_table::WorkerTable;

/// Exit code of a worker that must not be started again.
pub(crate) const FATAL: i32 = 2;

/// What a new process inherits from the master's start.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) title: Option<Rc<Title>>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) daemon: bool,
}

/// What a worker starts with, beside its configuration.
pub(crate) struct WorkerStart {
    pub(crate) role: Role,
    pub(crate) board: WorkerTable,
    /// Its listening sockets.
    pub(crate) sockets: Vec<(usize, OwnedFd)>,
    /// Leads to the master; without one this is the only process.
    pub(crate) channel: Option<UnixStream>,
    /// Workers of the configuration before still take connections.
    pub(crate) relieves: bool,
}

/// Runs the application in this process until its work is done. Returns the exit code.
pub(crate) fn live<A: Application>(
    app: &mut A,
    generation: A::Generation,
    start: WorkerStart,
    inherited: &Inherited,
    console: &Console,
) -> i32 {
    let WorkerStart { role, board, sockets, channel, relieves } = start;
    let single = channel.is_none();
    let settings = app.settings(&generation);
    let prepared = if single { set_environment(settings, inherited, console) } else { prepare(settings, role, inherited, console) };
    if prepared.is_err() {
        return FATAL;
    }
    let shutdown_timeout = settings.worker_shutdown_timeout;
    let place = match role {
        _ if single => ProcessKind::Single,
        Role::Worker(_) => ProcessKind::Worker { daemon: inherited.daemon },
        Role::Agent => ProcessKind::Agent,
    };
    let master = if single { sys::process::id() } else { sys::process::parent_id() };
    if let (Some(title), false) = (&inherited.title, single) {
        title.set(format!("nginx: {}", role.name()).as_bytes());
    }
    let signals = match SignalPipe::new(&SIGNALS).and_then(|signals| sys::signal::unblock_all().map(|()| signals)) {
        Ok(signals) => signals,
        Err(error) => {
            console.report(Level::Alert, &format!("sigaction() failed {}", describe(&error)));
            return FATAL;
        }
    };
    let quitting = Rc::new(Cell::new(false));
    let title = inherited.title.clone().filter(|_| !single);
    let commands = CommandSource { signals, channel, title, kind: place, shutdown_timeout, quitting: quitting.clone() };
    let code = app.run_worker(generation, WorkerSetup { role, single, master, board, listeners: sockets, relieves, commands });
    base::clock::stale();
    if quitting.get() && code == 0 {
        console.report(Level::Notice, "exiting");
    }
    if !single {
        console.report(Level::Notice, "exit");
    }
    code
}

/// The process is beyond use; the reason has been logged.
#[derive(Debug)]
struct Fatal;

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process cannot go on")
    }
}

impl std::error::Error for Fatal {}

fn set_environment(settings: &Settings, inherited: &Inherited, console: &Console) -> Result<(), Fatal> {
    sys::environment::replace(&settings.environment(&inherited.environment)).map_err(|error| {
        console.report(Level::Alert, &format!("setting the environment failed {}", describe(&error)));
        Fatal
    })
}

/// Everything between fork and the event loop, in nginx's order (`ngx_worker_process_init`).
fn prepare(settings: &Settings, role: Role, inherited: &Inherited, console: &Console) -> Result<(), Fatal> {
    let attempt = |what: &dyn Fn() -> String, level: Level, result: io::Result<()>| -> bool {
        if let Err(error) = &result {
            console.report(level, &format!("{} failed {}", what(), describe(error)));
        }
        result.is_ok()
    };
    set_environment(settings, inherited, console)?;
    if settings.worker_priority != 0 {
        let nice = settings.worker_priority;
        attempt(&|| format!("setpriority({nice})"), Level::Alert, sys::limits::set_priority(nice));
    }
    if let Some(count) = settings.worker_rlimit_nofile {
        attempt(&|| format!("setrlimit(RLIMIT_NOFILE, {count})"), Level::Alert, sys::limits::set_open_files(count));
    }
    if let Some(size) = settings.worker_rlimit_core {
        attempt(&|| format!("setrlimit(RLIMIT_CORE, {size})"), Level::Alert, sys::limits::set_core_size(size));
    }
    if let (true, Some(user)) = (role != Role::Agent && sys::identity::is_root(), &settings.user) {
        if !attempt(&|| format!("setgid({})", user.gid), Level::Emerg, sys::identity::set_group(user.gid)) {
            return Err(Fatal);
        }
        let groups = sys::identity::set_supplementary_groups(&user.name, user.gid);
        attempt(&|| format!("initgroups({}, {})", user.name, user.gid), Level::Emerg, groups);
        let keeps = settings.transparent && user.uid != 0;
        if keeps && !attempt(&|| "prctl(PR_SET_KEEPCAPS, 1)".to_owned(), Level::Emerg, sys::identity::keep_capabilities()) {
            return Err(Fatal);
        }
        if !attempt(&|| format!("setuid({})", user.uid), Level::Emerg, sys::identity::set_user(user.uid)) {
            return Err(Fatal);
        }
        if keeps && !attempt(&|| "capset()".to_owned(), Level::Emerg, sys::identity::keep_only_raw_sockets()) {
            return Err(Fatal);
        }
    }
    let bound = match role {
        Role::Worker(number) => settings.worker_cpu_affinity.of(number),
        Role::Agent => None,
    };
    if let Some(processors) = bound {
        attempt(&|| "sched_setaffinity()".to_owned(), Level::Alert, sys::limits::set_affinity(&processors));
    }
    attempt(&|| "prctl(PR_SET_DUMPABLE)".to_owned(), Level::Alert, sys::identity::set_dumpable());
    if let Some(directory) = &settings.working_directory {
        let changed = std::env::set_current_dir(directory);
        if !attempt(&|| format!("chdir(\"{}\")", directory.display()), Level::Alert, changed) {
            return Err(Fatal);
        }
    }
    Ok(())
}
