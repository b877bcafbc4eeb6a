//! The state of a worker that serves HTTP, in addition to what every protocol's worker has.

use crate::metrics::{Counter, WorkerCounters};
use crate::request::{Request, Subrequest};
use crate::root::Http;
use crate::spare::RequestPool;
use base::log::ErrorLog;
use session::BoxFuture;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::ops::Deref;
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
    /// The parent is nested too deeply; the text is nginx's log line.
    fn subrequest(&self, parent: &Rc<Request>, what: Subrequest<'_>) -> Result<Rc<Request>, SubrequestError>;
}

/// A subrequest was refused because it is nested too deeply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubrequestError {
    /// The URI that was asked for.
    pub uri: String,
}

impl fmt::Display for SubrequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subrequests cycle while processing \"{}\"", self.uri)
    }
}

impl std::error::Error for SubrequestError {}

/// One worker process that serves HTTP.
pub struct Worker {
    /// What it has whatever it serves; also reached through the worker itself.
    pub common: Rc<session::Worker>,
    /// What is counted.
    pub observers: WorkerCounters,
    http: RefCell<Rc<Http>>,
    /// Requests to be used again.
    pub spare: RequestPool,
    engine: OnceCell<Rc<dyn Engine>>,
    gauges: OnceCell<Box<dyn Fn(&WorkerCounters)>>,
}

impl Deref for Worker {
    type Target = session::Worker;

    fn deref(&self) -> &session::Worker {
        &self.common
    }
}

impl Worker {
    /// A worker that has no engine yet.
    pub fn new(
        number: usize,
        count: usize,
        log: ErrorLog,
        http: Rc<Http>,
        observers: WorkerCounters,
        spawner: fn(BoxFuture<()>),
    ) -> Worker {
        Worker {
            common: Rc::new(session::Worker::new(number, count, log, spawner)),
            observers,
            http: RefCell::new(http),
            spare: RequestPool::default(),
            engine: OnceCell::new(),
            gauges: OnceCell::new(),
        }
    }

    /// The newest configuration. What serves a request asks the request for its own.
    pub fn http(&self) -> Rc<Http> {
        self.http.borrow().clone()
    }

    /// Says how the gauges (connections that are active, reading, writing) are read; the front does, once.
    pub fn set_gauges(&self, read: impl Fn(&WorkerCounters) + 'static) {
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

    /// Gives the worker its engine; the first one counts.
    pub fn set_engine(&self, engine: Rc<dyn Engine>) {
        // A second engine would be a mistake in main; the first one stays.
        let _ = self.engine.set(engine);
    }

    /// The engine, once the worker has started.
    pub fn engine(&self) -> Option<&Rc<dyn Engine>> {
        self.engine.get()
    }

    /// Marks the worker as exiting and runs what was registered for that.
    pub fn begin_exit(&self) {
        self.exiting.set(true);
        self.spare.clear();
        self.common.begin_exit();
    }
}
