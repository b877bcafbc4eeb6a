//! The count of a worker's timers, and the bell that ends their waiting.

use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Notify;

/// The timers of one worker.
#[derive(Default)]
pub struct Timers {
    /// How many wait.
    pub(crate) pending: Cell<u64>,
    /// How many run.
    pub(crate) running: Cell<u64>,
    /// The worker is exiting.
    pub(crate) exiting: Cell<bool>,
    /// Wakes those that wait when the worker begins to exit.
    pub(crate) wake: Rc<Notify>,
}

impl Timers {
    /// The worker is exiting: what waits fires now, as premature.
    pub fn begin_exit(&self) {
        self.exiting.set(true);
        self.wake.notify_waiters();
    }

    /// Whether none waits or runs.
    pub fn are_done(&self) -> bool {
        self.pending.get() == 0 && self.running.get() == 0
    }
}
