//! One connection as the sweeper sees it: its deadlines, what it does, and how dispensable it is.

use base::clock;
use std::cell::{Cell, RefCell};
use std::task::Waker;

/// How long one of a crowd may be idle before it is parked, milliseconds.
pub(super) const CROWD_IDLE: u64 = 200;

/// The time of a deadline that is not set, monotonic milliseconds.
pub const NEVER: u64 = u64::MAX;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Keep-alive, no byte of the next request.
    Idle,
    /// It has just come and said nothing.
    Fresh,
    /// In the middle of a head.
    Head,
    /// In the middle of a request body.
    Body,
    /// Being answered: chosen only if it does not take what is there for it.
    Answering,
    /// A session of `stream`: never chosen.
    Session,
}

/// One connection as the sweeper sees it.
#[derive(Debug)]
pub struct Watch {
    read_deadline: Cell<u64>,
    write_deadline: Cell<u64>,
    read_expired: Cell<bool>,
    write_expired: Cell<bool>,
    rest: Cell<u64>,
    /// Until then it is not closed early while it is idle.
    kept_until: Cell<u64>,
    evicted: Cell<bool>,
    activity: Cell<Activity>,
    pub(super) progress: Cell<u64>,
    /// How far a body has come: when its bytes should have been there at [`BODY_PACE`]; 0 before its first wait.
    pub(super) body_progress: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// A connection without progress for so long is slow, milliseconds: those are closed before new ones.
pub(super) const SLOW: u64 = 1000;

/// Bytes of a body expected per millisecond: a slower sender falls behind.
const BODY_PACE: u64 = 16;

impl Default for Watch {
    fn default() -> Self {
        Watch {
            read_deadline: Cell::new(NEVER),
            write_deadline: Cell::new(NEVER),
            read_expired: Cell::new(false),
            write_expired: Cell::new(false),
            rest: Cell::new(NEVER),
            kept_until: Cell::new(0),
            evicted: Cell::new(false),
            activity: Cell::new(Activity::Head),
            progress: Cell::new(0),
            body_progress: Cell::new(0),
            waker: RefCell::default(),
        }
    }
}

impl Watch {
    /// Sets when waiting for the client's bytes ends, on the monotonic clock in milliseconds.
    pub(crate) fn read_by(&self, deadline: u64) {
        self.read_deadline.set(deadline);
        self.read_expired.set(false);
    }

    /// Sets when waiting for the client to take bytes ends.
    pub(crate) fn write_by(&self, deadline: u64) {
        self.write_deadline.set(deadline);
        self.write_expired.set(false);
        if deadline != NEVER {
            self.progress.set(clock::monotonic_ms());
        }
    }

    /// Sending rests until this time, on the monotonic clock in milliseconds; then the task is woken.
    pub(crate) fn pause_until(&self, time: u64) {
        self.rest.set(time);
    }

    /// Until this time, on the monotonic clock in milliseconds, it is not closed early while it is idle (`keepalive_min_timeout`).
    pub(crate) fn keep_until(&self, time: u64) {
        self.kept_until.set(time);
    }

    /// Until when that is so.
    pub(crate) fn kept_until(&self) -> u64 {
        self.kept_until.get()
    }

    /// Whether sending rests.
    pub fn is_paused(&self) -> bool {
        self.rest.get() != NEVER
    }

    /// Whether a read deadline is running.
    pub(crate) fn is_reading(&self) -> bool {
        self.read_deadline.get() != NEVER
    }

    /// Whether a write deadline is running.
    pub(crate) fn is_writing(&self) -> bool {
        self.write_deadline.get() != NEVER
    }

    /// Whether the read deadline has passed.
    pub(crate) fn read_expired(&self) -> bool {
        self.read_expired.get()
    }

    /// Whether the write deadline has passed.
    pub(crate) fn write_expired(&self) -> bool {
        self.write_expired.get()
    }

    /// Whether the connection must make room for others.
    pub fn evicted(&self) -> bool {
        self.evicted.get()
    }

    /// The connection must make room for others: its task learns of it.
    pub(super) fn evict(&self) {
        self.evicted.set(true);
        self.wake();
    }

    /// Says what the connection does from now on; counts as progress.
    pub fn set_activity(&self, activity: Activity) {
        self.activity.set(activity);
        self.progress.set(clock::monotonic_ms());
        self.body_progress.set(0);
    }

    /// Waits for more of a request's body.
    pub(crate) fn wait_for_body(&self) {
        if self.body_progress.get() == 0 {
            self.body_progress.set(clock::monotonic_ms());
        }
        self.activity.set(Activity::Body);
        self.progress.set(self.body_progress.get());
    }

    /// So many bytes of the body have come.
    pub(crate) fn note_body(&self, bytes: u64) {
        let now = clock::monotonic_ms();
        let due = self.body_progress.get();
        if due != 0 {
            self.body_progress.set(due.saturating_add(bytes / BODY_PACE).min(now));
        }
        self.activity.set(Activity::Answering);
        self.progress.set(now);
    }

    /// What the connection does.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.get()
    }

    /// Woken when a deadline passes: the polling task.
    pub fn wake_on_expiry(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Wakes the connection's task, if it ever waited.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Notices what has expired, and wakes the task then.
    pub(super) fn sweep(&self, now: u64) {
        let mut due = false;
        if self.read_deadline.get() <= now {
            self.read_deadline.set(NEVER);
            self.read_expired.set(true);
            due = true;
        }
        if self.write_deadline.get() <= now {
            self.write_deadline.set(NEVER);
            self.write_expired.set(true);
            due = true;
        }
        if self.rest.get() <= now {
            self.rest.set(NEVER);
            due = true;
        }
        if due {
            self.wake();
        }
    }

    /// The order in which connections must go when slots run out; `None`: it is being answered.
    pub(super) fn rank(&self, now: u64) -> Option<(u8, u64)> {
        let progress = self.progress.get();
        let slow = now.saturating_sub(progress) >= SLOW;
        let class = match self.activity.get() {
            Activity::Idle if now < self.kept_until.get() => return None,
            Activity::Idle => 0,
            Activity::Session => return None,
            Activity::Answering if !self.is_writing() => return None,
            // Who has just come is about to send a head.
            _ if !slow => 4,
            Activity::Fresh | Activity::Head => 1,
            Activity::Body => 2,
            Activity::Answering => 3,
        };
        Some((class, progress))
    }

    /// Ends the wait for the next request if that has lasted for a moment.
    pub(super) fn end_wait(&self, now: u64) {
        let is_idle = self.activity.get() == Activity::Idle && now >= self.kept_until.get();
        let waits = is_idle && self.read_deadline.get() != NEVER;
        if waits && now.saturating_sub(self.progress.get()) >= CROWD_IDLE {
            self.read_deadline.set(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_kept_does_not_go_while_idle() {
        let watch = Watch::default();
        watch.set_activity(Activity::Idle);
        watch.keep_until(500);
        assert_eq!(watch.rank(499), None);
        assert!(watch.rank(500).is_some());
        watch.set_activity(Activity::Head);
        assert!(watch.rank(499).is_some());
    }
}
