//! The connections that are not parked: their deadlines, and who must go when slots run out.
//!
//! A timer per wait would cost more than the wait. A connection writes its deadline into a cell instead, and one
//! sweeper looks at all of them ten times a second while there is any. Time limits are therefore kept to a tenth of a
//! second, never early.

mod watch;

use base::clock;
use net::ticker::Ticker;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

pub use watch::{Activity, NEVER, Watch};

/// Granularity of deadlines.
const TICK: Duration = Duration::from_millis(100);

/// So many connections that their going is worth giving memory back.
const WAVE: usize = 512;

/// With more connections than these the idle ones are parked early: each has a task, and a wave of them would leave memory full of
/// holes.
const CROWD: usize = 768;

/// All connections of a worker that are not parked.
#[derive(Default)]
pub struct Active {
    all: RefCell<Vec<Weak<Watch>>>,
    live: Cell<usize>,
    filled: Notify,
    streams: RefCell<Vec<Weak<Watch>>>,
}

impl Active {
    /// Watches one more connection for as long as the result lives.
    pub fn enter(self: &Rc<Active>) -> Entry {
        let watch = Rc::new(Watch::default());
        let mut all = self.all.borrow_mut();
        // Those that have left are forgotten here, so that the list stays in proportion without a sweep.
        if all.len() > 64 && all.len() > 2 * self.live.get() {
            all.retain(|w| w.strong_count() > 0);
        }
        all.push(Rc::downgrade(&watch));
        self.live.set(self.live.get() + 1);
        if self.live.get() == 1 {
            self.filled.notify_one();
        }
        Entry { watch, active: self.clone() }
    }

    /// A watch for one of many streams of a connection: its deadlines are kept, but it is no connection.
    pub(crate) fn watch_stream(&self) -> Rc<Watch> {
        let watch = Rc::new(Watch::default());
        self.streams.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    /// How many connections wait for or send a head, and how many are being answered.
    pub(crate) fn reading_and_writing(&self) -> (usize, usize) {
        let all = self.all.borrow();
        let live = || all.iter().filter_map(Weak::upgrade).map(|w| w.activity());
        (live().filter(|a| *a == Activity::Head).count(), live().filter(|a| matches!(a, Activity::Body | Activity::Answering)).count())
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.live.get()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs for the worker's life. Sleeps while there is no connection.
    /// `forget` lets go of what is kept for reuse: after a wave of connections it lies scattered among what was freed.
    /// `tick` runs at each sweep, and once more when all have gone.
    pub async fn sweep(&self, tick: impl Fn(), forget: impl Fn()) {
        let mut peak = 0;
        let ticker = Ticker::new(TICK);
        loop {
            while self.is_empty() {
                ticker.stop();
                self.filled.notified().await;
            }
            ticker.next().await;
            clock::stale();
            let now = clock::monotonic_ms();
            self.forget_departed();
            tick();
            peak = peak.max(self.len());
            // Once when most have gone, and once more when all have.
            if (peak >= WAVE && self.len() < peak / 8) || (peak >= WAVE / 8 && self.is_empty()) {
                forget();
                sys::memory::release();
                peak = self.len();
            }
            // A woken task does not run before this returns to the loop.
            let crowd = self.len() > CROWD;
            self.streams.borrow_mut().retain(|watch| {
                watch.upgrade().is_some_and(|watch| {
                    watch.sweep(now);
                    true
                })
            });
            for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
                if crowd {
                    watch.end_wait(now);
                }
                watch.sweep(now);
            }
        }
    }

    fn forget_departed(&self) {
        let mut all = self.all.borrow_mut();
        all.retain(|w| w.strong_count() > 0);
        let used = all.len();
        if all.capacity() > 4 * used.max(64) {
            // After a wave of connections the memory goes back.
            all.shrink_to(2 * used);
        }
    }

    /// Ends every connection, whatever it does.
    pub(crate) fn evict_all(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.evict();
        }
    }

    /// Wakes every connection, for instance because the worker is leaving.
    pub(crate) fn wake_all(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.wake();
        }
    }

    /// Chooses the connection that can be spared most and tells it to close: idle ones first, then slow heads, slow bodies and
    /// those who do not take their response, then any of these, each by the oldest progress. False: all are being answered.
    pub fn evict(&self) -> bool {
        self.evict_at(clock::monotonic_ms())
    }

    fn evict_at(&self, now: u64) -> bool {
        let all = self.all.borrow();
        let candidates = all.iter().filter_map(Weak::upgrade).filter(|w| !w.evicted());
        let ranked = candidates.filter_map(|w| w.rank(now).map(|rank| (rank, w)));
        let Some((_, victim)) = ranked.min_by_key(|(rank, _)| *rank) else { return false };
        victim.evict();
        true
    }
}

/// A connection's place among the active.
pub struct Entry {
    watch: Rc<Watch>,
    active: Rc<Active>,
}

impl std::ops::Deref for Entry {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.watch
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.active.live.set(self.active.live.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::watch::{CROWD_IDLE, SLOW};
    use super::*;

    #[test]
    fn the_least_useful_goes_first() {
        let active = Rc::new(Active::default());
        let (answering, head, idle) = (active.enter(), active.enter(), active.enter());
        answering.set_activity(Activity::Answering);
        head.set_activity(Activity::Head);
        idle.set_activity(Activity::Idle);
        assert!(active.evict());
        assert!(idle.evicted() && !head.evicted());
        assert!(active.evict());
        assert!(head.evicted());
        assert!(!active.evict());
        drop((answering, head, idle));
        assert!(active.is_empty());
    }

    #[test]
    fn who_has_just_come_stays_longer_than_a_slow_head() {
        let active = Rc::new(Active::default());
        let (slow, fresh) = (active.enter(), active.enter());
        slow.set_activity(Activity::Head);
        fresh.set_activity(Activity::Fresh);
        fresh.progress.set(slow.progress.get() + 1);
        assert!(active.evict());
        assert!(slow.evicted() && !fresh.evicted());
    }

    #[test]
    fn slow_bodies_and_readers_go_before_one_that_has_just_come() {
        let active = Rc::new(Active::default());
        let (body, reader, fast, fresh) = (active.enter(), active.enter(), active.enter(), active.enter());
        let long_ago = clock::monotonic_ms().max(1);
        let now = long_ago + 2 * SLOW;
        for entry in [&body, &fast] {
            entry.body_progress.set(long_ago);
            entry.wait_for_body();
        }
        body.note_body(10);
        body.wait_for_body();
        fast.body_progress.set(now);
        fast.wait_for_body();
        reader.set_activity(Activity::Answering);
        reader.write_by(now + 60_000);
        reader.progress.set(long_ago);
        fresh.set_activity(Activity::Fresh);
        fresh.progress.set(now);
        assert!(active.evict_at(now) && body.evicted());
        assert!(active.evict_at(now) && reader.evicted());
        assert!(!fast.evicted() && !fresh.evicted());
    }

    #[test]
    fn a_deadline_expires_once() {
        let active = Rc::new(Active::default());
        let entry = active.enter();
        entry.read_by(10);
        entry.sweep(9);
        assert!(!entry.read_expired());
        entry.sweep(10);
        assert!(entry.read_expired());
        entry.read_by(NEVER);
        entry.sweep(u64::MAX - 1);
        assert!(!entry.read_expired());
    }

    #[test]
    fn in_a_crowd_only_the_idle_leave_early() {
        let active = Rc::new(Active::default());
        let (idle, head) = (active.enter(), active.enter());
        idle.set_activity(Activity::Idle);
        head.set_activity(Activity::Head);
        for entry in [&idle, &head] {
            let now = entry.progress.get();
            entry.read_by(now + 5000);
            entry.end_wait(now + CROWD_IDLE - 1);
            entry.sweep(now + CROWD_IDLE - 1);
            assert!(!entry.read_expired());
            entry.end_wait(now + CROWD_IDLE);
            entry.sweep(now + CROWD_IDLE);
        }
        assert!(idle.read_expired() && !head.read_expired());
    }
}
