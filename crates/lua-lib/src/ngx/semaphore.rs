//! `ngx.semaphore`: light threads of all requests of a worker wait for each other
//! (`ngx_http_lua_semaphore.c`, `ngx/semaphore.lua`).

use crate::ANYWHERE;
use crate::host::{expect_worker, host};
use base::saturated::Saturated;
use foldhash::HashMap;
use lua::{CallContext, Group, PhaseSet, Raise, Reply, Row, Stack, Suspension, Value};
use session::alarms::Alarms;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.semaphore",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("semaphore_new", new),
            Row::fast::<ANYWHERE, _, _>("semaphore_post", post),
            Row::fast::<ANYWHERE, _, _>("semaphore_count", count),
            Row::fast::<ANYWHERE, _, _>("semaphore_free", free),
            Row::suspends("semaphore_wait", PhaseSet::EVERYWHERE, wait),
        ],
        glue: include_str!("semaphore.lua"),
    }
}

/// The semaphores of a process, by the numbers that their Lua objects hold.
#[derive(Default)]
pub(crate) struct Semaphores {
    all: RefCell<HashMap<u64, Rc<Semaphore>>>,
    next: Cell<u64>,
}

/// One semaphore.
#[derive(Default)]
struct Semaphore {
    /// What may be taken.
    resources: Cell<i64>,
    /// How many have been given a resource and have not run since.
    waking: Cell<usize>,
    /// Who waits, longest first.
    queue: RefCell<VecDeque<Rc<Waiter>>>,
}

/// One waiting thread.
#[derive(Default)]
struct Waiter {
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Waiter {
    fn grant(&self) {
        self.granted.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll_granted(&self, cx: &Context<'_>) -> Poll<()> {
        if self.granted.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Semaphores {
    fn add(&self, semaphore: Semaphore) -> u64 {
        let id = self.next.get() + 1;
        self.next.set(id);
        self.all.borrow_mut().insert(id, Rc::new(semaphore));
        id
    }

    fn find(&self, id: f64) -> Option<Rc<Semaphore>> {
        self.all.borrow().get(&(u64::saturated(id))).cloned()
    }
}

impl Semaphore {
    /// Takes one resource, unless none is left or others wait for it already.
    fn take(&self) -> bool {
        let free = self.resources.get() > 0 && self.queue.borrow().is_empty() && self.waking.get() == 0;
        if free {
            self.resources.set(self.resources.get() - 1);
        }
        free
    }

    fn post(&self, n: i64) {
        self.resources.set(self.resources.get().saturating_add(n));
        while self.resources.get() > 0 {
            let Some(next) = self.queue.borrow_mut().pop_front() else { return };
            self.resources.set(self.resources.get() - 1);
            self.waking.set(self.waking.get() + 1);
            next.grant();
        }
    }

    /// Whether a waiter was given a resource, which it takes or gives back now. Those who came while it had not run are next.
    fn granted(&self, waiter: &Waiter) -> bool {
        let granted = waiter.granted.replace(false);
        if granted {
            self.waking.set(self.waking.get().saturating_sub(1));
            self.post(0);
        }
        granted
    }

    /// Resources less those who wait for one.
    fn count(&self) -> i64 {
        self.resources.get().saturating_sub(i64::try_from(self.queue.borrow().len()).unwrap_or(i64::MAX))
    }
}

/// A place in the queue. What its thread was given and did not take goes to the next.
struct QueuePosition {
    semaphore: Rc<Semaphore>,
    waiter: Rc<Waiter>,
}

impl Drop for QueuePosition {
    fn drop(&mut self) {
        if self.semaphore.granted(&self.waiter) {
            self.semaphore.post(1);
        } else {
            self.semaphore.queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
        }
    }
}

fn with<R>(cx: &CallContext, failed: R, f: impl FnOnce(&Semaphores) -> R) -> R {
    host(cx).map_or(failed, |host| f(&host.runtime().state::<Semaphores>()))
}

fn new(cx: &CallContext, n: f64) -> f64 {
    let semaphore = Semaphore { resources: Cell::new(i64::saturated(n)), ..Semaphore::default() };
    with(cx, 0.0, |all| all.add(semaphore) as f64)
}

fn post(cx: &CallContext, id: f64, n: f64) {
    if let Some(semaphore) = with(cx, None, |all| all.find(id)) {
        semaphore.post(i64::saturated(n));
    }
}

fn count(cx: &CallContext, id: f64) -> f64 {
    with(cx, None, |all| all.find(id)).map_or(0.0, |semaphore| semaphore.count() as f64)
}

fn free(cx: &CallContext, id: f64) {
    let gone = with(cx, None, |all| all.all.borrow_mut().remove(&(u64::saturated(id))));
    drop(gone);
}

/// `semaphore_wait(id, milliseconds)`
fn wait(cx: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    if !cx.can_suspend() {
        stack.push_nil();
        stack.push_bytes(cx.refusal().message());
        return Ok(Suspension::Now(2));
    }
    let (id, delay) = (stack.check_number(1, "wait")?, stack.check_number(2, "wait")?);
    let semaphore = with(cx, None, |all| all.find(id)).ok_or("not a semaphore instance")?;
    if semaphore.take() {
        stack.push_bool(true);
        return Ok(Suspension::Now(1));
    }
    let delay = u64::saturated(delay);
    if delay == 0 {
        stack.push_nil();
        stack.push_bytes(b"timeout");
        return Ok(Suspension::Now(2));
    }
    let alarm = Alarms::after(&*expect_worker(cx)?, Duration::from_millis(delay));
    let waiter = Rc::new(Waiter::default());
    semaphore.queue.borrow_mut().push_back(waiter.clone());
    let place = QueuePosition { semaphore, waiter };
    Ok(Suspension::wait(|| async move {
        let mut alarm = pin!(alarm);
        poll_fn(|cx| if place.waiter.poll_granted(cx).is_ready() { Poll::Ready(()) } else { alarm.as_mut().poll(cx) }).await;
        if place.semaphore.granted(&place.waiter) {
            return Ok(Reply::One(Value::Bool(true)));
        }
        Ok(Reply::Two(Value::Bool(false), "timeout".into()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngx::tests::evaluate;

    #[test]
    fn resources_go_to_who_waits_longest() {
        let semaphore = Semaphore { resources: Cell::new(1), ..Semaphore::default() };
        assert!(semaphore.take() && !semaphore.take());
        let waiters: Vec<Rc<Waiter>> = (0..2).map(|_| Rc::new(Waiter::default())).collect();
        semaphore.queue.borrow_mut().extend(waiters.iter().cloned());
        assert_eq!(semaphore.count(), -2);
        semaphore.post(1);
        assert_eq!(waiters.iter().map(|w| w.granted.get()).collect::<Vec<_>>(), [true, false]);
        semaphore.post(2);
        assert_eq!((semaphore.count(), waiters[1].granted.get()), (1, true));
    }

    #[test]
    fn what_a_dead_thread_was_given_goes_to_the_next() {
        let semaphore = Rc::new(Semaphore::default());
        let places: Vec<QueuePosition> = (0..2)
            .map(|_| {
                let waiter = Rc::new(Waiter::default());
                semaphore.queue.borrow_mut().push_back(waiter.clone());
                QueuePosition { semaphore: semaphore.clone(), waiter }
            })
            .collect();
        semaphore.post(1);
        let [first, second] = <[QueuePosition; 2]>::try_from(places).ok().expect("two places");
        drop(first);
        assert!(second.waiter.granted.get());
        drop(second);
        assert_eq!(semaphore.count(), 1);
    }

    #[test]
    fn arguments() {
        assert_eq!(evaluate("select(2, pcall(require 'ngx.semaphore'.new, -1))"), "no negative number");
        assert_eq!(evaluate("select(2, pcall(require 'ngx.semaphore'.post, {}))"), "not a semaphore instance");
    }
}
