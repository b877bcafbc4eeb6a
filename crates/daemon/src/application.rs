//! What the process model requires of the server that it runs.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use base::log::{ErrorLog, Level};

use crate::cli::Options;
use crate::diagnostics::{Diagnostic, SourcePosition};
use crate::settings::Settings;
use crate::worker_setup::WorkerSetup;

/// What a configuration is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadMode {
    /// `-t`: nothing of the application's own code runs.
    Test,
    /// `-T`: as `Test`, and the text will be printed.
    Dump,
    /// `-s`: only to learn the pid file.
    Signal,
    /// To serve with it: the first start or a reload.
    Run,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Level of the message, nearly always `Emerg`.
    pub level: Level,
    /// nginx's message, with ` in FILE:LINE` where there is one.
    pub message: String,
    /// Lines that only a person at the terminal sees, such as the source line with a caret.
    pub excerpt: Option<Box<str>>,
    /// Where it is, to the column.
    pub position: Option<SourcePosition>,
    /// What is wrong besides.
    pub others: Vec<LoadError>,
    /// What was warned of before.
    pub warnings: Box<[(Level, String)]>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// An error of level `emerg` without an excerpt.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { level: Level::Emerg, message: message.into(), excerpt: None, position: None, others: Vec::new(), warnings: Box::default() }
    }

    /// All that is wrong, one by one.
    pub(crate) fn problems(&self) -> Vec<Diagnostic> {
        let own = Diagnostic { level: self.level, message: self.message.clone(), position: self.position.clone() };
        let warnings = self.warnings.iter().map(Diagnostic::warning);
        warnings.chain([own]).chain(self.others.iter().flat_map(LoadError::problems)).collect()
    }
}

/// The most that an old binary tells a new one.
pub(crate) const TOLD: usize = 4096;

/// What an old binary leaves to a new one that takes over from it (USR2).
#[derive(Debug, Clone, Default)]
pub struct Handover {
    /// At most 4,096 bytes.
    pub message: Vec<u8>,
    /// Files with memory that both use from then on.
    pub memory: Vec<Arc<OwnedFd>>,
}

/// The server. One value lives in the master and, by fork, in each worker.
///
/// The order at start and at each reload is nginx's: [`load`](Application::load), [`open`](Application::open), then the
/// listening sockets are opened, then workers are forked. A failure anywhere drops the new generation and nothing else.
pub trait Application {
    /// One loaded configuration with all that belongs to it.
    type Generation;

    /// The file that `-c` or the default names, for messages.
    fn conf_file(&self, options: &Options) -> String;

    /// The log for messages before a configuration names one (`-e` or the default).
    fn early_log(&self, options: &Options) -> ErrorLog;

    /// Parses and checks the configuration; opens nothing.
    ///
    /// # Errors
    /// Whatever makes it unusable.
    fn load(&mut self, options: &Options, previous: Option<&Self::Generation>, mode: LoadMode) -> Result<Self::Generation, LoadError>;

    /// Opens log files, makes directories and shared zones and, when the mode is `Run`, runs start-up code such as
    /// `init_by_lua`. Runs in the master, before the listening sockets are opened.
    ///
    /// # Errors
    /// Whatever makes it unusable.
    fn open(&mut self, generation: &mut Self::Generation, previous: Option<&Self::Generation>, mode: LoadMode) -> Result<(), LoadError>;

    /// Warnings of an accepted configuration that were not shown yet, in order.
    fn warnings(&mut self, generation: &mut Self::Generation) -> Vec<(Level, String)> {
        let _ = generation;
        Vec::new()
    }

    /// What is dangerous in a configuration that was accepted, if the options ask for that.
    fn advice(&self, options: &Options) -> Vec<Diagnostic> {
        let _ = options;
        Vec::new()
    }

    /// The settings of a generation; the error log in them must be the opened one once [`open`](Application::open) is
    /// done.
    fn settings<'a>(&self, generation: &'a Self::Generation) -> &'a Settings;

    /// Prints the whole configuration for `-T`.
    ///
    /// # Errors
    /// When standard output cannot be written.
    fn dump(&self, generation: &Self::Generation, out: &mut dyn Write) -> io::Result<()>;

    /// What a new binary gets.
    fn legacy(&self, generation: &Self::Generation) -> Handover {
        let _ = generation;
        Handover::default()
    }

    /// What the old binary has left; comes before anything is loaded.
    fn inherit(&mut self, legacy: Handover) {
        let _ = legacy;
    }

    /// Opens the log files of the master again (USR1). Workers get [`Command::Reopen`](crate::Command::Reopen).
    fn reopen(&mut self, generation: &Self::Generation);

    /// A worker has died; locks that it held in shared zones must be released.
    fn child_died(&mut self, generation: &Self::Generation, pid: i32);

    /// The whole life of a worker (or of the one process without a master): makes the event loop, serves, and returns
    /// when a command says so and the work is done. Returns the exit code; 2 means "do not start me again".
    /// Must not fork.
    fn run_worker(&mut self, generation: Self::Generation, setup: WorkerSetup) -> i32;
}
