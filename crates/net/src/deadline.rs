//! Timeouts of waits that usually end earlier.
//!
//! A timer per wait costs more than most waits. A wait enters its limit into a list instead, and one task sleeps until
//! the earliest limit that was in the list when it last looked: it is only disturbed when an earlier one comes, and finds
//! most of what it slept for gone. Limits are exact to the event loop's millisecond, never early.

use crate::kernel_timer::KernelTimer;
use crate::time::Elapsed;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Longer than any wait.
const FOREVER: Duration = Duration::from_secs(1 << 32);

#[derive(Debug)]
enum SlabEntry {
    Free,
    Waiting(Instant, Waker),
    Due,
}

#[derive(Debug, Default)]
struct Slab {
    all: Vec<SlabEntry>,
    free: Vec<usize>,
}

/// The limits of one worker's waits.
#[derive(Debug, Default)]
pub struct Deadlines {
    places: RefCell<Slab>,
    /// The earliest when it was last looked for.
    next: Cell<Option<Instant>>,
    /// What wakes the task then.
    timer: OnceCell<KernelTimer>,
    tended: Cell<bool>,
}

/// The limit of one wait.
#[derive(Debug)]
pub struct Limit {
    list: Rc<Deadlines>,
    at: Instant,
    slot: Option<usize>,
}

impl Deadlines {
    /// A limit that begins now.
    pub fn limit(self: &Rc<Self>, after: Duration) -> Limit {
        let now = Instant::now();
        let due = now.checked_add(after).unwrap_or_else(|| now + FOREVER);
        Limit { list: self.clone(), at: due, slot: None }
    }

    /// The task that keeps the limits, the first time; it never ends.
    pub fn maintain(self: &Rc<Self>) -> Option<impl Future<Output = ()> + use<>> {
        if self.tended.replace(true) {
            return None;
        }
        let list = self.clone();
        Some(async move {
            let timer = list.timer.get_or_init(KernelTimer::default);
            loop {
                if let Some(next) = list.next.get() {
                    timer.set(next);
                }
                poll_fn(|cx| timer.poll(cx)).await;
                list.expire(Instant::now());
            }
        })
    }

    /// Wakes those whose time is over.
    fn expire(&self, now: Instant) {
        let mut next = None;
        for place in &mut self.places.borrow_mut().all {
            match place {
                SlabEntry::Waiting(due, _) if *due <= now => {
                    if let SlabEntry::Waiting(_, waker) = std::mem::replace(place, SlabEntry::Due) {
                        waker.wake();
                    }
                }
                SlabEntry::Waiting(due, _) => next = Some(next.map_or(*due, |next: Instant| next.min(*due))),
                SlabEntry::Free | SlabEntry::Due => {}
            }
        }
        self.next.set(next);
    }

    fn enter(&self, due: Instant, waker: Waker) -> usize {
        let mut places = self.places.borrow_mut();
        let entry = SlabEntry::Waiting(due, waker);
        let at = places.free.pop().unwrap_or(places.all.len());
        match places.all.get_mut(at) {
            Some(place) => *place = entry,
            None => places.all.push(entry),
        }
        if self.next.get().is_none_or(|next| due < next) {
            self.next.set(Some(due));
            // A task that has not begun will look at all of them.
            if let Some(timer) = self.timer.get() {
                timer.set(due);
            }
        }
        at
    }
}

impl Limit {
    /// Ready when the time is over; wakes the task then.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(at) = self.slot else {
            self.slot = Some(self.list.enter(self.at, cx.waker().clone()));
            return Poll::Pending;
        };
        match self.list.places.borrow_mut().all.get_mut(at) {
            Some(SlabEntry::Waiting(_, waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Limit {
    /// Waits for `work`, at most until the time is over.
    ///
    /// # Errors
    /// The time is over.
    pub async fn bound<T>(mut self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let Some(at) = self.slot else { return };
        let mut places = self.list.places.borrow_mut();
        if let Some(place) = places.all.get_mut(at) {
            *place = SlabEntry::Free;
            places.free.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait(list: &Rc<Deadlines>, milliseconds: u64) -> Duration {
        let begun = Instant::now();
        let mut limit = list.limit(Duration::from_millis(milliseconds));
        poll_fn(|cx| limit.poll(cx)).await;
        begun.elapsed()
    }

    #[tokio::test]
    async fn limits_are_kept_in_any_order_and_never_early() {
        let list = Rc::new(Deadlines::default());
        let task = list.maintain().unwrap();
        assert!(list.maintain().is_none());
        let waits = async {
            let all = tokio::join!(wait(&list, 70), wait(&list, 5), wait(&list, 30));
            for (took, asked) in [(all.0, 70), (all.1, 5), (all.2, 30)] {
                // How late a busy machine is says nothing.
                assert!(took.as_millis() >= asked, "{took:?} instead of {asked}");
            }
            // One that was given up leaves its place.
            let mut limit = list.limit(Duration::from_millis(1));
            assert!(poll_fn(|cx| Poll::Ready(limit.poll(cx).is_pending())).await);
            drop(limit);
            assert!(wait(&list, 40).await >= Duration::from_millis(40));
            assert_eq!(list.places.borrow().all.len(), 3);
            let soon = || list.limit(Duration::from_millis(20));
            assert_eq!(soon().bound(wait(&list, 1)).await.map(|_| ()), Ok(()));
            assert_eq!(soon().bound(std::future::pending::<()>()).await, Err(Elapsed));
        };
        tokio::select! { () = waits => {}, () = task => panic!("the list is still known") }
    }
}
