//! What the process model hands to a worker.

use std::os::fd::OwnedFd;

use crate::commands::CommandSource;

/// What a worker gets to work with.
#[derive(Debug)]
pub struct Seat {
    /// The worker's number, from 0 to `worker_processes` - 1; a worker that replaces another has its number.
    pub number: usize,
    /// Whether this is the only process (`master_process off`).
    pub single: bool,
    /// The listening sockets of this worker, non-blocking, each with the index of its specification in
    /// [`Settings::listeners`](crate::Settings::listeners). A socket whose specification has `reuseport` is this worker's own.
    pub listeners: Vec<(usize, OwnedFd)>,
    /// What the worker is told. Start it as soon as the event loop runs.
    pub commands: CommandSource,
}
