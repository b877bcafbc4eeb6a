//! A time at which a task goes on, by a timer that the kernel keeps.
//!
//! Lists whose times come often have one each: what sleeps otherwise shares one (`time`).

use crate::time::{Sleep, sleep_until};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use sys::ticks::Ticks;
use tokio::io::unix::AsyncFd;

/// One timer, for one task.
#[derive(Debug)]
pub struct KernelTimer {
    by: Keeper,
    /// When it rings.
    at: Cell<Option<Instant>>,
}

#[derive(Debug)]
enum Keeper {
    Kernel(AsyncFd<Ticks>),
    /// Without a descriptor left the timer that all share serves.
    Shared(RefCell<Sleep>),
}

/// Longer than anything waits.
const FOREVER: Duration = Duration::from_secs(1 << 30);

impl Keeper {
    fn shared() -> Keeper {
        Keeper::Shared(RefCell::new(sleep_until(Instant::now() + FOREVER)))
    }
}

impl Default for KernelTimer {
    fn default() -> Self {
        let ticks = Ticks::new().and_then(sys::watch::readable);
        KernelTimer { by: ticks.map_or_else(|_| Keeper::shared(), Keeper::Kernel), at: Cell::new(None) }
    }
}

impl KernelTimer {
    /// Rings at this time, and not when it was to ring before.
    pub fn set(&self, time: Instant) {
        if self.at.replace(Some(time)) == Some(time) {
            return;
        }
        match &self.by {
            // It can only refuse what no clock can show.
            Keeper::Kernel(ticks) => drop(ticks.get_ref().ring_after(time.saturating_duration_since(Instant::now()))),
            Keeper::Shared(sleep) => sleep.borrow_mut().reset(time),
        }
    }

    /// Rings at this time at the latest. A ring that comes before it anyway is left as it is, which saves the call: who is woken looks
    /// what is due, and sets the timer for the rest.
    pub fn ring_by(&self, time: Instant) {
        if self.at.get().is_none_or(|at| time < at) {
            self.set(time);
        }
    }

    /// Ready when it has rung since; now and then without a reason.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.by {
            Keeper::Kernel(ticks) => {
                // What is to be read from it is of no interest: each ring is an event of its own.
                if let Ok(mut rung) = ready!(ticks.poll_read_ready(cx)) {
                    rung.clear_ready();
                }
            }
            Keeper::Shared(sleep) => {
                let mut sleep = sleep.borrow_mut();
                ready!(Pin::new(&mut *sleep).poll(cx));
                sleep.reset(Instant::now() + FOREVER);
            }
        }
        self.at.set(None);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn an_earlier_ring_serves_a_later_one() {
        let at = |timer: &KernelTimer| timer.at.get();
        for timer in [KernelTimer::default(), KernelTimer { by: Keeper::shared(), at: Cell::new(None) }] {
            let (early, late) = (Instant::now() + Duration::from_millis(5), Instant::now() + FOREVER);
            timer.ring_by(late);
            assert_eq!(at(&timer), Some(late));
            timer.ring_by(early);
            timer.ring_by(late);
            assert_eq!(at(&timer), Some(early));
            poll_fn(|cx| timer.poll(cx)).await;
            timer.ring_by(late);
            assert_eq!(at(&timer), Some(late));
        }
    }

    #[tokio::test]
    async fn it_rings_when_it_was_last_set_to() {
        for timer in [KernelTimer::default(), KernelTimer { by: Keeper::shared(), at: Cell::new(None) }] {
            for (first, second) in [(60_000, 5), (1, 10), (5, 5), (0, 0)] {
                let begun = Instant::now();
                let due = begun + Duration::from_millis(second);
                timer.set(begun + Duration::from_millis(first));
                loop {
                    timer.set(due);
                    poll_fn(|cx| timer.poll(cx)).await;
                    if Instant::now() >= due {
                        break;
                    }
                }
            }
            // Nobody is woken once it has rung.
            timer.set(Instant::now() + FOREVER);
            let is_silent = poll_fn(|cx| {
                // The first look may find an earlier ring.
                let _ = timer.poll(cx);
                Poll::Ready(timer.poll(cx).is_pending())
            });
            assert!(is_silent.await);
        }
    }
}
