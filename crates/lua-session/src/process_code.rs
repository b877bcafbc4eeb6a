//! The code that runs at the start and end of processes.

use crate::code::Code;
use conf::scope::Config;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The directives of the outermost block.
pub(crate) struct ProcessCode<S> {
    /// `init_by_lua*`
    pub init: RefCell<Option<Rc<Code<S>>>>,
    /// `init_worker_by_lua*`
    pub init_worker: RefCell<Option<Rc<Code<S>>>>,
    /// `exit_worker_by_lua*`
    pub exit_worker: RefCell<Option<Rc<Code<S>>>>,
    /// `lua_yield_in_all_phases` of the outermost block.
    pub init_worker_waits: Cell<bool>,
}

impl<S> Default for ProcessCode<S> {
    fn default() -> Self {
        ProcessCode {
            init: RefCell::default(),
            init_worker: RefCell::default(),
            exit_worker: RefCell::default(),
            init_worker_waits: Cell::default(),
        }
    }
}

impl<S: 'static> Config for ProcessCode<S> {
    fn inherit(&mut self, _: &Self) {}
}
