//! The code that runs at the start and end of processes.

use crate::code::Code;
use conf::scope::Config;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What `http { }` says of it.
#[derive(Default)]
pub struct ProcessCode {
    /// `init_by_lua*`
    pub init: RefCell<Option<Rc<Code>>>,
    /// `init_worker_by_lua*`
    pub init_worker: RefCell<Option<Rc<Code>>>,
    /// `exit_worker_by_lua*`
    pub exit_worker: RefCell<Option<Rc<Code>>>,
    /// `lua_yield_in_all_phases` of `http`.
    pub init_worker_waits: Cell<bool>,
    /// Where `lua_code_cache off` stands, as ` in FILE:LINE`.
    pub uncached: RefCell<Vec<String>>,
}

impl Config for ProcessCode {
    fn inherit(&mut self, _: &Self) {}
}
