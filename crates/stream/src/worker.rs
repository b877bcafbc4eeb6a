//! One worker process as `stream` sees it.

use crate::configuration::Configuration;
use crate::passing::PassConnection;
use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// One worker process that serves sessions.
pub struct Worker {
    /// What it has whatever it serves; also reached through the worker itself.
    pub common: Rc<session::Worker>,
    configuration: RefCell<Rc<Configuration>>,
    pub(crate) passing: OnceCell<PassConnection>,
}

impl Deref for Worker {
    type Target = session::Worker;

    fn deref(&self) -> &session::Worker {
        &self.common
    }
}

impl Worker {
    /// The worker `common`, which begins with this configuration.
    pub fn new(common: Rc<session::Worker>, configuration: Rc<Configuration>) -> Worker {
        Worker { common, configuration: RefCell::new(configuration), passing: OnceCell::new() }
    }

    /// The newest configuration. What serves a session asks the session for its own.
    pub fn configuration(&self) -> Rc<Configuration> {
        self.configuration.borrow().clone()
    }
}
