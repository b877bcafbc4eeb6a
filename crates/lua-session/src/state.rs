//! Lua's state of a session, as far as all protocols have it in common.

use crate::slots::CtxTable;
use lua_lib::{Machine, Resources};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use upstream::balancer::BalancerContext;

/// What Lua remembers of a session from phase to phase.
#[derive(Default)]
pub struct SessionState {
    /// `ngx.ctx`
    pub ctx: CtxTable,
    /// What libraries opened for it.
    pub resources: Rc<Resources>,
    /// The machine of this session alone, under `lua_code_cache off`.
    pub machine: OnceCell<Rc<Machine>>,
    /// `ngx.exit` in a balancer.
    pub balancer_exit: Cell<Option<i32>>,
    /// The try whose server `balancer_by_lua*` is choosing.
    pub balancing: RefCell<Option<Balancing>>,
}

/// A try whose server is being chosen.
#[derive(Clone)]
pub struct Balancing {
    /// What is said to the proxy.
    pub balancer: Rc<BalancerContext>,
    /// `balancer_keepalive`, connections
    pub pool_size: usize,
}

impl SessionState {
    /// Makes it what `Default` would make.
    pub fn reset(&mut self) {
        let SessionState { ctx, resources, machine, balancer_exit, balancing } = self;
        ctx.release();
        balancer_exit.set(None);
        drop(balancing.take());
        drop(machine.take());
        resources.close();
        if Rc::get_mut(resources).is_none() {
            // Something of this session still asks whose it is.
            *resources = Rc::default();
        }
    }
}
