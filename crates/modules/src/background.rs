//! A future in a task of its own, which is cancelled when its handle is dropped.

use http::{BoxFuture, Worker};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A future that goes on by itself.
pub(crate) struct BackgroundTask {
    /// `None`: it has ended, or nobody wants it.
    future: RefCell<Option<BoxFuture<()>>>,
    cancelled: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl BackgroundTask {
    /// Starts it; `ended` is called once, when it has ended.
    pub(crate) fn spawn(worker: &Worker, future: BoxFuture<()>, ended: impl FnOnce() + 'static) -> Rc<BackgroundTask> {
        let apart = Rc::new(BackgroundTask { future: RefCell::new(Some(future)), cancelled: Cell::new(false), task: RefCell::default() });
        worker.spawn(Box::pin(Task { apart: apart.clone(), ended: Some(Box::new(ended)) }));
        apart
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.future.try_borrow().is_ok_and(|future| future.is_none())
    }

    /// Drops it; at once, unless it is what calls this.
    pub(crate) fn cancel(&self) {
        self.cancelled.set(true);
        let future = self.future.try_borrow_mut().ok().and_then(|mut future| future.take());
        drop(future);
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

struct Task {
    apart: Rc<BackgroundTask>,
    ended: Option<Box<dyn FnOnce()>>,
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let apart = &self.apart;
        let pending = match &mut *apart.future.borrow_mut() {
            Some(future) if !apart.cancelled.get() => future.as_mut().poll(cx).is_pending() && !apart.cancelled.get(),
            _ => false,
        };
        if !pending {
            return Poll::Ready(());
        }
        apart.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// After a panic too, so that nobody waits for what will not come.
impl Drop for Task {
    fn drop(&mut self) {
        let future = self.apart.future.try_borrow_mut().ok().and_then(|mut future| future.take());
        drop(future);
        if let Some(ended) = self.ended.take() {
            ended();
        }
    }
}
