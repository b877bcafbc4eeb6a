//! How workers share connections.
//!
//! They take turns on a listener (`net::accept`). How many each has taken stands on the board that they share, so that
//! one that is ahead can leave the next ones to others.
//!
//! When slots run out, a full worker leaves connections to those that have room.
//! Each worker's number of open connections stands on the board too. A worker that has reached its limit
//! takes its listeners out of the event loop, so that the kernel wakes another one. It takes part again when it has room, when
//! nobody has (then it closes the connection that can be spared most), and when connections are waiting all the same: the
//! others may be busy, or a wake-up was meant for this worker.

use daemon::{Role, WorkerTable};
use net::accept::Acceptor;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often a full worker looks again.
const LOOK: Duration = Duration::from_millis(100);

/// After so many checks in a row that find connections waiting and none accepted, the other workers are assumed not to come.
const WAITING: u32 = 3;

/// How many looks a worker then does without the others.
const ALONE: u32 = 10;

/// A worker is ahead of another that has taken so many fewer: two turns.
const AHEAD: u64 = 32;

/// For each time that it is so far ahead it stays away for a millisecond, up to so many.
const LONGEST_PAUSE: u64 = 4;

/// A worker's part in sharing.
pub struct Share {
    board: WorkerTable,
    number: usize,
    limit: usize,
    acceptors: RefCell<Vec<Rc<Acceptor>>>,
    full: Notify,
    paused: Cell<bool>,
    accepted: Cell<u64>,
    alone: Cell<bool>,
}

impl Share {
    /// For the worker with this role and `limit` connections.
    pub fn new(board: WorkerTable, role: Role, limit: usize) -> Share {
        let number = match role {
            Role::Worker(number) => number,
            // It has no place on the board, and no listeners.
            Role::Agent => usize::MAX / 16,
        };
        let (acceptors, full) = (RefCell::default(), Notify::new());
        Share { board, number, limit, acceptors, full, paused: Cell::new(false), accepted: Cell::new(0), alone: Cell::new(false) }
    }

    /// These take part from now on.
    pub fn enter(&self, acceptors: Vec<Rc<Acceptor>>) {
        self.acceptors.replace(acceptors);
        // Who replaces another has nothing to catch up on: all new connections at once would be too much.
        self.accepted.set(self.board.least_taken_beside(self.number).unwrap_or(0));
        self.board.report_taken(self.number, self.accepted.get());
        self.board.report_open(self.number, 0);
    }

    /// The worker takes no more connections.
    pub fn stop_accepting(&self) {
        self.acceptors.borrow().iter().for_each(|acceptor| acceptor.retire());
        self.acceptors.take();
        self.board.close(self.number);
    }

    /// Says how many connections are open, and leaves the next to others if there is no room.
    pub(crate) fn note_open(&self, open: usize) {
        if self.acceptors.borrow().is_empty() {
            return;
        }
        self.board.report_open(self.number, open);
        if open >= self.limit && !self.paused.get() && self.others_have_room() {
            self.hold(true);
            self.full.notify_one();
        }
    }

    /// Counts a connection that `acceptor` took.
    pub(crate) fn note_taken(&self, acceptor: &Acceptor) -> std::io::Result<()> {
        let taken = self.accepted.get() + 1;
        self.accepted.set(taken);
        self.board.report_taken(self.number, taken);
        if !acceptor.has_had_turn() {
            return Ok(());
        }
        let ahead = self.board.least_taken_beside(self.number).map_or(0, |least| taken.saturating_sub(least));
        let pause = (ahead / AHEAD).min(LONGEST_PAUSE);
        acceptor.step_back((pause > 0).then(|| Duration::from_millis(pause)))
    }

    fn others_have_room(&self) -> bool {
        !self.alone.get() && self.board.has_room_beside(self.number, self.limit)
    }

    /// Whether all listeners are as they should be. What cannot be taken out of the set stays in it: the worker then closes what can be spared.
    fn hold(&self, held: bool) -> bool {
        self.paused.set(held);
        let mut all = true;
        for acceptor in self.acceptors.borrow().iter() {
            all &= acceptor.hold(held).is_ok();
        }
        all
    }

    fn has_waiting(&self) -> bool {
        self.acceptors.borrow().iter().any(|acceptor| acceptor.has_waiting().unwrap_or(true))
    }

    /// Takes part again when it is time; runs for the worker's life. `open` counts its connections.
    pub async fn maintain(&self, open: impl Fn() -> usize) {
        loop {
            self.full.notified().await;
            let (mut waiting, mut taken) = (0, self.board.taken_beside(self.number));
            while waiting < WAITING && open() >= self.limit && self.others_have_room() {
                net::time::sleep(LOOK).await;
                let before = std::mem::replace(&mut taken, self.board.taken_beside(self.number));
                waiting = if before == taken && self.has_waiting() { waiting + 1 } else { 0 };
            }
            self.alone.set(waiting >= WAITING);
            while !self.hold(false) {
                net::time::sleep(LOOK).await;
            }
            if self.alone.get() {
                net::time::sleep(LOOK * ALONE).await;
                self.alone.set(false);
            }
        }
    }
}
