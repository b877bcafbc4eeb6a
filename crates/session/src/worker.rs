//! The state of a worker process that does not depend on the protocol.

use crate::handshake_end::HandshakeEnd;
use crate::outcome::BoxFuture;
use crate::panics::{Panics, Watched};
use base::log::ErrorLog;
use conf::scope::Scope;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The state of one worker process that is of no protocol.
pub struct Worker {
    /// `ngx.worker.id()`: 0 up to the number of workers.
    pub number: usize,
    /// Number of workers.
    pub count: usize,
    /// The worker is finishing its requests and accepts no more.
    pub exiting: Cell<bool>,
    /// The main error log.
    pub log: ErrorLog,
    /// State of modules, by type.
    state: Scope,
    leaving: RefCell<Vec<Rc<dyn Fn()>>>,
    spawner: fn(BoxFuture<()>),
    panics: Rc<Panics>,
    holds: Rc<Cell<usize>>,
    process: OnceCell<ProcessInfo>,
    own_connections: Cell<u64>,
    counter: OnceCell<Box<dyn Fn(StreamEvent)>>,
    unix_listeners: RefCell<Vec<String>>,
    left_listeners: RefCell<Vec<String>>,
    relieves: Cell<bool>,
    before_begin: RefCell<Vec<Waker>>,
}

/// What ends in sessions of `stream` and is counted.
#[derive(Clone, Copy, Debug)]
pub enum StreamEvent {
    /// A client's handshake.
    Handshake(HandshakeEnd),
    /// A try of an upstream server.
    Try {
        /// The server is to blame for something.
        failed: bool,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
}

/// Where a worker stands among the processes.
pub struct ProcessInfo {
    /// The privileged agent, which takes no connections.
    pub agent: bool,
    /// The only process there is.
    pub single: bool,
    /// The master's process id.
    pub master: i32,
    /// Asks for the process ids of all workers.
    pub pids: Box<dyn Fn() -> Vec<i32>>,
    /// Asks how many workers have died and got successors.
    pub respawned: Box<dyn Fn() -> u64>,
    /// How many generations of workers there were, its own included.
    pub generation: u64,
    /// Takes a number for a connection, unique among all processes; none where there is only this one.
    pub next_connection: Box<dyn Fn() -> Option<u64>>,
}

/// Keeps a worker that exits gracefully alive: work apart from any connection, such as a running timer.
pub struct Hold(Rc<Cell<usize>>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Worker {
    /// A worker whose futures `spawner` drives.
    pub fn new(number: usize, count: usize, log: ErrorLog, spawner: fn(BoxFuture<()>)) -> Worker {
        Worker {
            number,
            count,
            exiting: Cell::new(false),
            log,
            state: Scope::default(),
            leaving: RefCell::default(),
            spawner,
            panics: Rc::default(),
            holds: Rc::default(),
            process: OnceCell::new(),
            own_connections: Cell::new(0),
            counter: OnceCell::new(),
            unix_listeners: RefCell::default(),
            left_listeners: RefCell::default(),
            relieves: Cell::new(false),
            before_begin: RefCell::default(),
        }
    }

    /// Says the names of the listening sockets in the unix domain, which code may leave to other workers until this one listens: then
    /// there are none any more.
    pub fn offer_unix_listeners(&self, names: Vec<String>) {
        self.unix_listeners.replace(names);
    }

    /// Leaves the connections of the first of these whose name begins with `name` to the other workers. False: there is none.
    pub fn leave_unix_listener(&self, name: &str) -> bool {
        let found = self.unix_listeners.borrow().iter().find(|own| own.starts_with(name)).cloned();
        let any = found.is_some();
        self.left_listeners.borrow_mut().extend(found);
        any
    }

    /// Whether the socket of this name was left to the other workers.
    pub fn has_left(&self, name: &str) -> bool {
        self.left_listeners.borrow().iter().any(|left| left == name)
    }

    /// Says where the worker stands; the first word counts.
    pub fn set_process(&self, place: ProcessInfo) {
        // A second word would be a mistake in main; the first one stays.
        let _ = self.process.set(place);
    }

    /// Where the worker stands, once that has been said.
    pub fn process(&self) -> Option<&ProcessInfo> {
        self.process.get()
    }

    /// A number for the next connection, or for what stands for one in the log: unique among the processes of the server.
    pub fn next_connection(&self) -> u64 {
        self.process().and_then(|place| (place.next_connection)()).unwrap_or_else(|| {
            self.own_connections.set(self.own_connections.get() + 1);
            self.own_connections.get()
        })
    }

    /// Says who counts what ends in sessions; the first word counts.
    pub fn set_counter(&self, count: impl Fn(StreamEvent) + 'static) {
        // A second front would be a mistake in main; the first one stays.
        let _ = self.counter.set(Box::new(count));
    }

    /// Something has ended that is counted.
    pub fn count(&self, ended: StreamEvent) {
        if let Some(count) = self.counter.get() {
            count(ended);
        }
    }

    /// Drives a future on this worker's event loop, apart from any connection. Its panic is one of the worker: see [`Worker::note_panic`].
    pub fn spawn(&self, future: BoxFuture<()>) {
        (self.spawner)(Box::pin(Watched { task: future, panics: self.panics.clone(), log: self.log.clone() }));
    }

    /// What this worker does of itself, apart from any connection, waits until [`Worker::begin`]: connections to the server would
    /// still reach workers that are about to leave.
    pub fn wait_for_predecessors(&self) {
        self.relieves.set(true);
    }

    /// Nothing waits any more.
    pub fn begin(&self) {
        self.relieves.set(false);
        self.before_begin.take().into_iter().for_each(Waker::wake);
    }

    /// When what the worker does of itself may begin.
    pub async fn begun(&self) {
        poll_fn(|cx| {
            if !self.relieves.get() {
                return Poll::Ready(());
            }
            self.before_begin.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Keeps the worker from exiting gracefully while the result lives.
    pub fn hold(&self) -> Hold {
        self.holds.set(self.holds.get() + 1);
        Hold(self.holds.clone())
    }

    /// Whether the worker is kept from exiting.
    pub fn is_busy(&self) -> bool {
        self.holds.get() > 0
    }

    /// A handler panicked: its state may be broken, so the worker should make room for a fresh one.
    pub fn note_panic(&self) {
        self.panics.note();
    }

    /// Ready once a handler or a task has panicked. One task asks.
    pub fn poll_panicked(&self, cx: &Context<'_>) -> Poll<()> {
        self.panics.poll(cx)
    }

    /// A module's state of type `T`, made from `Default` on first use.
    pub fn state<T: Default + 'static>(&self) -> Rc<T> {
        self.state.get::<Rc<T>>().clone()
    }

    /// Registers what must happen when the worker begins to exit gracefully.
    pub fn on_exiting(&self, f: impl Fn() + 'static) {
        self.leaving.borrow_mut().push(Rc::new(f));
    }

    /// Marks the worker as exiting and runs what was registered for that.
    pub fn begin_exit(&self) {
        self.exiting.set(true);
        self.begin();
        let all = self.leaving.borrow().clone();
        for f in all {
            f();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    fn worker() -> Worker {
        Worker::new(1, 4, ErrorLog::new(Vec::new()), |_| {})
    }

    #[test]
    fn it_is_held_as_long_as_anybody_holds_it() {
        let worker = worker();
        assert!(!worker.is_busy());
        let (first, second) = (worker.hold(), worker.hold());
        drop(first);
        assert!(worker.is_busy());
        drop(second);
        assert!(!worker.is_busy());
    }

    #[test]
    fn who_is_told_of_its_end_may_register_more() {
        let worker = Rc::new(worker());
        let received = Rc::new(Cell::new(0));
        let (own, seen) = (Rc::downgrade(&worker), received.clone());
        worker.on_exiting(move || {
            let worker = own.upgrade().unwrap();
            assert!(worker.exiting.get(), "it is known to exit before anybody is told");
            seen.set(seen.get() + 1);
            worker.on_exiting(|| {});
        });
        let seen = received.clone();
        worker.on_exiting(move || seen.set(seen.get() + 10));
        worker.begin_exit();
        assert_eq!(received.get(), 11);
    }

    #[test]
    fn a_panic_wakes_who_waits_for_one() {
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let worker = worker();
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        assert!(worker.poll_panicked(&cx).is_pending());
        worker.note_panic();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        // The second has nobody to wake.
        worker.note_panic();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(worker.poll_panicked(&cx).is_ready());
    }

    #[test]
    fn a_task_that_panics_is_one_of_the_worker() {
        let now = |mut task: BoxFuture<()>| {
            assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        };
        let worker = Worker::new(1, 4, ErrorLog::new(Vec::new()), now);
        let cx = Context::from_waker(Waker::noop());
        worker.spawn(Box::pin(async {}));
        assert!(worker.poll_panicked(&cx).is_pending());
        worker.spawn(Box::pin(async { panic!("on purpose") }));
        assert!(worker.poll_panicked(&cx).is_ready());
    }

    #[test]
    fn sockets_in_the_unix_domain_are_left_by_how_their_names_begin() {
        let worker = worker();
        assert!(!worker.leave_unix_listener("unix:/run/a"), "none were offered");
        worker.offer_unix_listeners(vec!["unix:/run/a.sock".to_owned(), "unix:/run/b.sock".to_owned()]);
        assert!(!worker.leave_unix_listener("unix:/run/c"));
        assert!(worker.leave_unix_listener("unix:/run/a"));
        for (name, left) in [("unix:/run/a.sock", true), ("unix:/run/b.sock", false), ("unix:/run/a", false)] {
            assert_eq!(worker.has_left(name), left, "{name}");
        }
        worker.offer_unix_listeners(Vec::new());
        assert!(!worker.leave_unix_listener("unix:/run/b"), "it listens already");
    }

    #[test]
    fn the_first_word_on_where_it_stands_and_who_counts_is_the_one_that_counts() {
        let worker = worker();
        assert!(worker.process().is_none());
        assert_eq!((worker.next_connection(), worker.next_connection()), (1, 2), "its own are all there are");
        // Nobody counts yet.
        worker.count(StreamEvent::Handshake(HandshakeEnd::Failed(None)));
        let place = |generation| ProcessInfo {
            agent: false,
            single: true,
            master: 7,
            pids: Box::new(Vec::new),
            respawned: Box::new(|| 0),
            generation,
            next_connection: Box::new(move || (generation == 1).then_some(40)),
        };
        worker.set_process(place(1));
        worker.set_process(place(2));
        assert_eq!((worker.process().unwrap().generation, worker.next_connection()), (1, 40));
        let counted = Rc::new(Cell::new((0, 0)));
        let first = counted.clone();
        worker.set_counter(move |ended| {
            let (handshakes, failed) = first.get();
            first.set(match ended {
                StreamEvent::Handshake(_) => (handshakes + 1, failed),
                StreamEvent::Try { failed: bad, .. } => (handshakes, failed + u32::from(bad)),
            });
        });
        worker.set_counter(|_| panic!("a second one counts"));
        worker.count(StreamEvent::Handshake(HandshakeEnd::Failed(None)));
        worker.count(StreamEvent::Try { failed: true, took_ms: 3 });
        worker.count(StreamEvent::Try { failed: false, took_ms: 3 });
        assert_eq!(counted.get(), (1, 1));
    }

    #[tokio::test]
    async fn what_waits_for_predecessors_goes_on_when_they_have_gone_or_it_must_leave_itself() {
        for begin in [Worker::begin, Worker::begin_exit] {
            let worker = worker();
            worker.begun().await;
            worker.wait_for_predecessors();
            let (mut first, mut second) = (pin!(worker.begun()), pin!(worker.begun()));
            let pending = |polled: Poll<()>| Poll::Ready(polled.is_pending());
            assert!(poll_fn(|cx| pending(first.as_mut().poll(cx))).await && poll_fn(|cx| pending(second.as_mut().poll(cx))).await);
            begin(&worker);
            first.await;
            second.await;
            worker.begun().await;
        }
    }

    #[test]
    fn each_type_of_state_is_there_once() {
        let worker = worker();
        worker.state::<Cell<u32>>().set(7);
        assert_eq!(worker.state::<Cell<u32>>().get(), 7);
        assert_eq!(worker.state::<Cell<u64>>().get(), 0);
    }
}
