//! Waiting for the next turn of the event loop.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

thread_local! {
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    static TURN: Waker = Waker::from(Arc::new(Turn));
}

/// Waits until the event loop has looked at its sockets and timers once more. Who began to wait first goes on first;
/// tokio's own `yield_now` wakes the last one first.
pub fn next() -> NextTurn {
    NextTurn { waited: false }
}

/// What [`next`] answers.
#[derive(Debug)]
#[must_use = "nothing waits for a future that nobody awaits"]
pub struct NextTurn {
    waited: bool,
}

impl Future for NextTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waited {
            return Poll::Ready(());
        }
        self.waited = true;
        let is_first = WAITING.with_borrow_mut(|waiting| {
            waiting.push(cx.waker().clone());
            waiting.len() == 1
        });
        if is_first {
            // It answers when it is polled again, which nobody does: what counts is whom it wakes.
            let _ = TURN.with(|turn| pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(turn)));
        }
        Poll::Pending
    }
}

/// Woken by the event loop, it wakes all that wait for the next turn.
struct Turn;

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        let mut ready = WAITING.take();
        ready.drain(..).for_each(Waker::wake);
        WAITING.with_borrow_mut(|waiting| {
            if waiting.is_empty() {
                *waiting = ready;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn who_waits_first_goes_on_first() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = tokio::task::LocalSet::new();
        for id in 0..3 {
            let order = order.clone();
            tasks.spawn_local(async move {
                for turn in 0..3 {
                    next().await;
                    order.borrow_mut().push((turn, id));
                }
            });
        }
        runtime.block_on(tasks);
        let expected: Vec<_> = (0..3).flat_map(|turn| (0..3).map(move |id| (turn, id))).collect();
        assert_eq!(*order.borrow(), expected);
    }

    #[test]
    fn one_that_is_given_up_holds_nobody_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            {
                let mut given_up = pin!(next());
                std::future::poll_fn(|cx| {
                    assert!(given_up.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
            next().await;
            next().await;
        });
    }
}
