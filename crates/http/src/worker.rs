//! Everything a worker needs hangs off one value.

use crate::observers::{Counter, Observers};
use crate::request::{Request, Subrequest};
use crate::root::Http;
use crate::spare::Spare;
use base::log::ErrorLog;
use conf::scope::Scope;
use session::BoxFuture;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// Runs requests; implemented by the engine, reached by modules through the worker.
pub trait Engine {
    /// Runs a request whose head is complete. `None`: it is finished, log phase included. Otherwise drive the future.
    fn run(&self, request: &Rc<Request>) -> Option<BoxFuture<()>>;

    /// Answers a request that was refused before it could run (bad head, timeout) with a special response and logs it.
    fn refuse(&self, request: &Rc<Request>, status: u16) -> Option<BoxFuture<()>>;

    /// Logs a request whose client has gone or is given up before its head was complete.
    fn abandon(&self, request: &Rc<Request>, status: u16);

    /// Makes a subrequest of `parent`; [`Engine::run`] then runs it.
    ///
    /// # Errors
    /// nginx's log line: too many subrequests, or nested too deeply.
    fn subrequest(&self, parent: &Rc<Request>, what: Subrequest<'_>) -> Result<Rc<Request>, String>;
}

/// The state of one worker process.
pub struct Worker {
    /// `ngx.worker.id()`: 0 up to the number of workers.
    pub number: usize,
    /// Number of workers.
    pub count: usize,
    /// The worker is finishing its requests and accepts no more.
    pub exiting: Cell<bool>,
    /// What is counted.
    pub observers: Observers,
    /// The main error log.
    pub log: ErrorLog,
    http: RefCell<Rc<Http>>,
    /// Requests to be used again.
    pub spare: Spare,
    /// State of modules, by type.
    state: Scope,
    engine: OnceCell<Rc<dyn Engine>>,
    leaving: RefCell<Vec<Rc<dyn Fn()>>>,
    spawner: fn(BoxFuture<()>),
    panicked: Cell<bool>,
    gauges: OnceCell<Box<dyn Fn(&Observers)>>,
    holds: Rc<Cell<usize>>,
    process: OnceCell<ProcessInfo>,
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
}

/// Keeps a worker that exits gracefully alive: work apart from any connection, such as a running timer.
pub struct Hold(Rc<Cell<usize>>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Worker {
    /// A worker that has no engine yet.
    pub fn new(number: usize, count: usize, log: ErrorLog, http: Rc<Http>, observers: Observers, spawner: fn(BoxFuture<()>)) -> Worker {
        Worker {
            number,
            count,
            exiting: Cell::new(false),
            observers,
            log,
            http: RefCell::new(http),
            spare: Spare::default(),
            state: Scope::default(),
            engine: OnceCell::new(),
            leaving: RefCell::default(),
            spawner,
            panicked: Cell::new(false),
            gauges: OnceCell::new(),
            holds: Rc::default(),
            process: OnceCell::new(),
        }
    }

    /// The newest configuration. What serves a request asks the request for its own.
    pub fn http(&self) -> Rc<Http> {
        self.http.borrow().clone()
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

    /// Says how the gauges (connections that are active, reading, writing) are read; the front does, once.
    pub fn set_gauges(&self, read: impl Fn(&Observers) + 'static) {
        // A second front would be a mistake in main; the first one stays.
        let _ = self.gauges.set(Box::new(read));
    }

    /// Brings this worker's gauges up to date.
    pub fn read_gauges(&self) {
        if let Some(read) = self.gauges.get() {
            read(&self.observers);
        }
    }

    /// The sum of a counter over all workers, this one's gauges up to date.
    pub fn sum(&self, counter: Counter) -> u64 {
        if counter.is_gauge() {
            self.read_gauges();
        }
        self.observers.sum(counter)
    }

    /// Drives a future on this worker's event loop, apart from any connection.
    pub fn spawn(&self, future: BoxFuture<()>) {
        (self.spawner)(future);
    }

    /// Gives the worker its engine; the first one counts.
    pub fn set_engine(&self, engine: Rc<dyn Engine>) {
        // A second engine would be a mistake in main; the first one stays.
        let _ = self.engine.set(engine);
    }

    /// The engine, once the worker has started.
    pub fn engine(&self) -> Option<&Rc<dyn Engine>> {
        self.engine.get()
    }

    /// Keeps the worker from exiting gracefully while the result lives.
    pub fn hold(&self) -> Hold {
        self.holds.set(self.holds.get() + 1);
        Hold(self.holds.clone())
    }

    /// Whether somebody keeps the worker from exiting.
    pub fn is_held(&self) -> bool {
        self.holds.get() > 0
    }

    /// A handler panicked: its state may be broken, so the worker should make room for a fresh one.
    pub fn note_panic(&self) {
        self.panicked.set(true);
    }

    /// Whether a handler has panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked.get()
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
        self.spare.forget();
        let all = self.leaving.borrow().clone();
        for f in all {
            f();
        }
    }
}
