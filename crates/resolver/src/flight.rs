//! One lookup shared by several callers. Whoever is polled drives it; when that caller gives up, another takes over.

use crate::Failure;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How a look-up ends.
pub(crate) type LookupResult = Result<Rc<[IpAddr]>, Failure>;

/// A look-up under way.
pub(crate) struct Flight {
    work: RefCell<Option<Pin<Box<dyn Future<Output = LookupResult>>>>>,
    ending: OnceCell<LookupResult>,
    waiting: RefCell<Vec<(u64, Waker)>>,
    tickets: Cell<u64>,
}

impl Flight {
    pub(crate) fn new(work: Pin<Box<dyn Future<Output = LookupResult>>>) -> Flight {
        Flight { work: RefCell::new(Some(work)), ending: OnceCell::new(), waiting: RefCell::default(), tickets: Cell::new(0) }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<LookupResult> {
        if self.ending.get().is_none() {
            // Taken out while it runs: it may drop what waits for it.
            let Some(mut work) = self.work.borrow_mut().take() else { return Poll::Pending };
            match work.as_mut().poll(cx) {
                Poll::Pending => *self.work.borrow_mut() = Some(work),
                Poll::Ready(ending) => {
                    // It ends once.
                    let _ = self.ending.set(ending);
                    let all = self.waiting.take();
                    all.into_iter().for_each(|(_, waker)| waker.wake());
                }
            }
        }
        self.ending.get().cloned().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One caller's wait.
pub(crate) struct Wait {
    flight: Rc<Flight>,
    ticket: u64,
}

impl Wait {
    pub(crate) fn new(flight: Rc<Flight>) -> Wait {
        let ticket = flight.tickets.get();
        flight.tickets.set(ticket + 1);
        Wait { flight, ticket }
    }
}

impl Future for Wait {
    type Output = LookupResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LookupResult> {
        {
            let mut waiting = self.flight.waiting.borrow_mut();
            waiting.retain(|(ticket, _)| *ticket != self.ticket);
            waiting.push((self.ticket, cx.waker().clone()));
        }
        self.flight.poll(cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.flight.waiting.borrow_mut();
        waiting.retain(|(ticket, _)| *ticket != self.ticket);
        // The sockets may have been told to wake this caller; the next one tells them anew.
        if let Some((_, waker)) = waiting.first() {
            waker.wake_by_ref();
        }
    }
}
