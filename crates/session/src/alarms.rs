//! The expiry of pauses, sleeps and timers. Those that expire in the same millisecond do so in the order in which they were started.

use crate::Worker;
use net::kernel_timer::KernelTimer;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// When it ends, in milliseconds of the list's own clock, and its number.
type Key = (u64, u64);

/// The sleeps and timers of one worker.
pub struct Alarms {
    origin: Instant,
    waiting: RefCell<BTreeMap<Key, Waker>>,
    numbers: Cell<u64>,
    /// What wakes the task for the first of them.
    timer: OnceCell<KernelTimer>,
    tended: Cell<bool>,
}

impl Default for Alarms {
    fn default() -> Self {
        Alarms {
            origin: Instant::now(),
            waiting: RefCell::default(),
            numbers: Cell::new(0),
            timer: OnceCell::new(),
            tended: Cell::new(false),
        }
    }
}

impl Alarms {
    /// An alarm so long from now, on the worker's list.
    pub fn after(worker: &Worker, delay: Duration) -> Alarm {
        let list = worker.state::<Alarms>();
        if !list.tended.replace(true) {
            worker.spawn(Box::pin(list.clone().maintain()));
        }
        list.alarm(delay)
    }

    fn alarm(self: Rc<Self>, delay: Duration) -> Alarm {
        let due = self.origin.elapsed().saturating_add(delay).as_micros().div_ceil(1000);
        let number = self.numbers.replace(self.numbers.get() + 1);
        Alarm { key: (u64::try_from(due).unwrap_or(u64::MAX), number), entered: false, list: self }
    }

    fn time_of(&self, key: Key) -> Option<Instant> {
        self.origin.checked_add(Duration::from_millis(key.0))
    }

    fn first(&self) -> Option<Key> {
        self.waiting.borrow().first_key_value().map(|(key, _)| *key)
    }

    /// Wakes them; never ends.
    async fn maintain(self: Rc<Self>) {
        let timer = self.timer.get_or_init(KernelTimer::default);
        loop {
            if let Some(time) = self.first().and_then(|key| self.time_of(key)) {
                timer.set(time);
            }
            poll_fn(|cx| timer.poll(cx)).await;
            let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
            while self.first().is_some_and(|key| key.0 <= now) {
                let due = self.waiting.borrow_mut().pop_first();
                if let Some((_, waker)) = due {
                    waker.wake();
                }
            }
        }
    }
}

/// One sleep or timer: ready when its time has come.
pub struct Alarm {
    list: Rc<Alarms>,
    key: Key,
    entered: bool,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.list.waiting.borrow_mut();
        if self.entered {
            let Some(waker) = waiting.get_mut(&self.key) else { return Poll::Ready(()) };
            waker.clone_from(context.waker());
            return Poll::Pending;
        }
        let first = waiting.first_key_value().is_none_or(|(key, _)| self.key < *key);
        waiting.insert(self.key, context.waker().clone());
        drop(waiting);
        // A task that has not begun will look at all of them.
        if first && let (Some(timer), Some(time)) = (self.list.timer.get(), self.list.time_of(self.key)) {
            timer.ring_by(time);
        }
        self.entered = true;
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.entered {
            self.list.waiting.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_ends_together_ends_in_order() {
        let (list, ended) = (Rc::new(Alarms::default()), Rc::new(RefCell::new(Vec::new())));
        let local = tokio::task::LocalSet::new();
        local.spawn_local(list.clone().maintain());
        let names = ["a", "b", "c", "late", "early"];
        let delays = [20, 20, 20, 30, 10];
        let mut keys = Vec::new();
        for (name, delay) in names.into_iter().zip(delays) {
            // The time counts from here, whenever the task gets its turn.
            let from = Instant::now();
            let (alarm, ended) = (list.clone().alarm(Duration::from_millis(delay)), ended.clone());
            keys.push((alarm.key, name));
            local.spawn_local(async move {
                alarm.await;
                assert!(from.elapsed() >= Duration::from_millis(delay));
                ended.borrow_mut().push(name);
            });
        }
        // One that is given up leaves nothing behind.
        let mut given_up = list.clone().alarm(Duration::from_millis(5));
        assert!(Pin::new(&mut given_up).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(given_up);
        local.run_until(list.clone().alarm(Duration::from_millis(50))).await;
        // Time goes by while they are made, so that the order of ends need not be that of delays.
        keys.sort_unstable();
        assert_eq!(*ended.borrow(), keys.iter().map(|(_, name)| *name).collect::<Vec<_>>());
        assert!(list.waiting.borrow().is_empty());
    }
}
