//! `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*`: Lua at the start and end of processes.

use crate::directive;
use crate::process_code::ProcessCode;
use conf::context::Context;
use conf::row::Row;
use http::{Levels, Module};

/// `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*`.
pub const MODULE: Module = Module { rows, levels, start: crate::start::start_worker, ..Module::named("lua_start") };

fn levels(levels: &mut Levels) {
    levels.main::<ProcessCode>();
}

fn rows() -> Vec<Row> {
    let mut rows = directive::rows("init_by_lua", Context::HTTP, "Runs Lua when the configuration is loaded.", |cx, code| {
        cx.once(&mut cx.main::<ProcessCode>().init.borrow_mut(), code)
    });
    rows.extend(directive::rows("init_worker_by_lua", Context::HTTP, "Runs Lua when a worker starts.", |cx, code| {
        cx.once(&mut cx.main::<ProcessCode>().init_worker.borrow_mut(), code)
    }));
    rows.extend(directive::rows("exit_worker_by_lua", Context::HTTP, "Runs Lua when a worker ends.", |cx, code| {
        cx.once(&mut cx.main::<ProcessCode>().exit_worker.borrow_mut(), code)
    }));
    rows
}
