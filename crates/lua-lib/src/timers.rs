//! The number of a worker's timers, and the signal that ends their waiting.

use base::log::Level;
use session::Worker;
use session::worker::Hold;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

/// The timers of one worker.
#[derive(Default)]
pub struct Timers {
    /// How many wait.
    pending: Cell<u64>,
    /// How many run.
    running: Cell<u64>,
    /// The worker is exiting.
    exiting: Cell<bool>,
    /// Wakes those that wait when the worker begins to exit.
    pub(crate) wake: Rc<Notify>,
    /// Keeps an exiting worker until the last timer has run.
    hold: RefCell<Option<Hold>>,
}

impl Timers {
    /// The worker is exiting: what waits fires now, as premature. `prefix` stands before the line of the log.
    pub fn begin_exit(&self, worker: &Worker, prefix: &str) {
        self.exiting.set(true);
        if self.pending.get() > 0 {
            worker.log.write(Level::Debug, 0, b"lua abort pending timers");
            base::log!(worker.log, Level::Debug, 0, "{prefix}lua found {} pending timers to be aborted prematurely", self.pending.get());
        }
        self.hold_worker(worker);
        self.wake.notify_waiters();
    }

    /// Whether the worker is exiting.
    pub(crate) fn is_exiting(&self) -> bool {
        self.exiting.get()
    }

    /// How many wait.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.get()
    }

    /// How many run.
    pub(crate) fn running(&self) -> u64 {
        self.running.get()
    }

    /// One more waits.
    pub(crate) fn add(&self, worker: &Worker) {
        self.pending.set(self.pending.get() + 1);
        self.hold_worker(worker);
    }

    /// One that waited is about to run, or has nothing to wait for any more.
    pub(crate) fn remove(&self) {
        self.pending.set(self.pending.get().saturating_sub(1));
    }

    /// A run begins; false when there are `max` already.
    pub(crate) fn begin(&self, max: u64) -> bool {
        let room = self.running.get() < max;
        if room {
            self.running.set(self.running.get() + 1);
        }
        room
    }

    /// A run has ended.
    pub(crate) fn end(&self) {
        self.running.set(self.running.get().saturating_sub(1));
    }

    fn hold_worker(&self, worker: &Worker) {
        if self.exiting.get() && self.pending.get() + self.running.get() > 0 && self.hold.borrow().is_none() {
            self.hold.replace(Some(worker.hold()));
        }
    }

    /// Lets an exiting worker go if this was the last timer.
    pub(crate) fn release(&self) {
        if self.pending.get() + self.running.get() == 0 {
            self.hold.take();
        }
    }
}
