//! Which threads of a job were woken by an event, so that only these are polled.
//!
//! A job that has one thread needs none of this: what it waits for wakes the job's task itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The bells of one job.
#[derive(Default)]
pub(crate) struct Wakers(Arc<WakeBoard>);

/// What bells write on; any process thread may ring one.
#[derive(Default)]
struct WakeBoard(Mutex<Written>);

#[derive(Default)]
struct Written {
    /// Bells that rang, in order.
    rung: VecDeque<Arc<ThreadWaker>>,
    /// The job's task.
    task: Option<Waker>,
    /// The job has ended: nobody is woken any more.
    closed: bool,
}

/// A thread's bell.
struct ThreadWaker {
    id: u64,
    rung: AtomicBool,
    board: Arc<WakeBoard>,
}

impl WakeBoard {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakers {
    /// A bell for this thread.
    pub(crate) fn make(&self, id: u64) -> Waker {
        Waker::from(Arc::new(ThreadWaker { id, rung: AtomicBool::new(false), board: self.0.clone() }))
    }

    /// Has this task woken from now on; returns how many bells have rung.
    pub(crate) fn listen(&self, task: &Waker) -> usize {
        let mut written = self.0.lock();
        match &mut written.task {
            Some(known) => known.clone_from(task),
            None => written.task = Some(task.clone()),
        }
        written.rung.len()
    }

    /// The thread whose bell rang first; it may ring again from now on.
    pub(crate) fn next(&self) -> Option<u64> {
        let bell = self.0.lock().rung.pop_front()?;
        bell.rung.store(false, Ordering::Relaxed);
        Some(bell.id)
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        // A bell on the board would keep the board, and the board the bell.
        *self.0.lock() = Written { closed: true, ..Written::default() };
    }
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut written = self.board.lock();
        if written.closed {
            return;
        }
        written.rung.push_back(self.clone());
        let task = written.task.clone();
        drop(written);
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_ring_once_and_in_order() {
        let bells = Wakers::default();
        let (a, b) = (bells.make(1), bells.make(2));
        b.wake_by_ref();
        a.wake_by_ref();
        b.wake_by_ref();
        assert_eq!(bells.listen(Waker::noop()), 2);
        assert_eq!((bells.next(), bells.next(), bells.next()), (Some(2), Some(1), None));
        b.wake();
        assert_eq!(bells.next(), Some(2));
        // What rings at the end, or later, keeps nothing.
        let board = Arc::downgrade(&bells.0);
        a.wake_by_ref();
        let late = bells.make(3);
        drop(bells);
        late.wake();
        drop(a);
        assert!(board.upgrade().is_none());
    }
}
