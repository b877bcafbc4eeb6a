//! Panics of a worker's tasks: one that nobody reads about would leave a worker behind in which nothing sleeps, say, ever wakes.

use crate::outcome::BoxFuture;
use base::log::{ErrorLog, Level};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Whether there was one, and who waits for it.
#[derive(Default)]
pub(crate) struct Panics {
    noted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Panics {
    pub(crate) fn note(&self) {
        self.noted.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.noted.get() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// A task that ends with a panic, which is noted.
pub(crate) struct Watched {
    pub(crate) task: BoxFuture<()>,
    pub(crate) panics: Rc<Panics>,
    pub(crate) log: ErrorLog,
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        catch_unwind(AssertUnwindSafe(|| this.task.as_mut().poll(cx))).unwrap_or_else(|_| {
            base::log!(this.log, Level::Alert, 0, "a task of the worker panicked");
            this.panics.note();
            Poll::Ready(())
        })
    }
}
