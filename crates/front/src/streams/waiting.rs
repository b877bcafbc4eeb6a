//! Wakers of a stream: the request's task, and parts of it (a handler's threads) that are woken individually.

use crate::active::Watch;
use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// Whom bytes, room and the stream's end wake.
#[derive(Debug, Default)]
pub struct Wakers {
    list: RefCell<Vec<Waker>>,
    /// Which of the watch's signals the parts know of.
    polled: Cell<(bool, bool, bool)>,
}

impl Wakers {
    /// One more waits.
    pub fn enter(&self, cx: &Context<'_>) {
        let mut list = self.list.borrow_mut();
        if !list.iter().any(|waker| waker.will_wake(cx.waker())) {
            list.push(cx.waker().clone());
        }
    }

    /// The task polls. Its parts learn what only the task was told of: that a deadline has passed, or a rest is over.
    pub fn poll(&self, watch: &Watch, cx: &Context<'_>) {
        let state = (watch.read_expired(), watch.write_expired(), watch.is_resting());
        if self.polled.replace(state) != state {
            self.wake();
        }
        self.enter(cx);
    }

    /// Wakes all; who still waits enters again.
    pub fn wake(&self) {
        let mut list = std::mem::take(&mut *self.list.borrow_mut());
        list.drain(..).for_each(Waker::wake);
        // The list is used again, unless somebody has entered meanwhile.
        let mut now = self.list.borrow_mut();
        if now.is_empty() {
            *now = list;
        }
    }

    /// There are no waiters any more.
    pub fn clear(&self) {
        self.list.take();
    }
}
