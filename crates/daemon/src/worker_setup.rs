//! What the process model passes to a worker.

use std::os::fd::OwnedFd;

use crate::commands::CommandSource;
use crate::worker_table::WorkerTable;

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes connections. Its number is from 0 to `worker_processes` - 1; who replaces another has its number.
    Worker(usize),
    /// It keeps the master's user and takes no connections: it runs what the application has to do for all workers.
    Agent,
}

impl Role {
    /// Its name in messages and titles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Worker(_) => "worker process",
            Role::Agent => "privileged agent process",
        }
    }
}

/// What a worker gets to work with.
#[derive(Debug)]
pub struct WorkerSetup {
    /// What it is there for.
    pub role: Role,
    /// Whether this is the only process (`master_process off`).
    pub single: bool,
    /// The master; this process if it is the only one.
    pub master: i32,
    /// The workers of this configuration.
    pub board: WorkerTable,
    /// The listening sockets of this worker, non-blocking, each with the index of its specification in
    /// [`Settings::listeners`](crate::Settings::listeners). A socket whose specification has `reuseport` is this worker's own.
    pub listeners: Vec<(usize, OwnedFd)>,
    /// Workers of the configuration before take connections beside this one. [`Command::Begin`](crate::Command::Begin) comes when they
    /// have stopped, and nothing of this worker's own shall talk to the server before: it would reach who is about to leave.
    pub relieves: bool,
    /// The commands to the worker. Start it as soon as the event loop runs.
    pub commands: CommandSource,
}
