//! One worker process as `stream` sees it.

use crate::configuration::Configuration;
use crate::pass::{PassConnection, PassedConnection};
use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// One worker process that serves sessions.
pub struct Worker<S> {
    /// What it has whatever it serves; also reached through the worker itself.
    pub common: Rc<session::Worker>,
    configuration: RefCell<Rc<Configuration<S>>>,
    passing: OnceCell<PassConnection>,
}

impl<S> Deref for Worker<S> {
    type Target = session::Worker;

    fn deref(&self) -> &session::Worker {
        &self.common
    }
}

impl<S> Worker<S> {
    /// The worker `common`, which begins with this configuration.
    pub fn new(common: Rc<session::Worker>, configuration: Rc<Configuration<S>>) -> Self {
        Worker { common, configuration: RefCell::new(configuration), passing: OnceCell::new() }
    }

    /// The newest configuration. What serves a session asks the session for its own.
    pub fn configuration(&self) -> Rc<Configuration<S>> {
        self.configuration.borrow().clone()
    }

    /// Says how connections reach the worker's listeners; the front does, once.
    pub fn set_passing(&self, pass: impl Fn(Box<PassedConnection>) -> Result<(), Box<PassedConnection>> + 'static) {
        // A second front would be a mistake in main; the first one stays.
        let _ = self.passing.set(Box::new(pass));
    }

    /// Gives a connection to the listener on its address, of whichever protocol.
    ///
    /// # Errors
    /// There is no listener; the connection is returned.
    pub fn pass(&self, passed: Box<PassedConnection>) -> Result<(), Box<PassedConnection>> {
        match self.passing.get() {
            Some(pass) => pass(passed),
            None => Err(passed),
        }
    }
}
