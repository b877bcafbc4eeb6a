//! `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*`: Lua at the start and end of processes.

use crate::directive;
use crate::process_code::ProcessCode;
use conf::row::Row;
use session::{Configured, Levels};

/// The configuration types.
pub fn levels<S: Configured>(levels: &mut Levels) {
    levels.main::<ProcessCode<S>>();
}

/// The rows.
#[must_use]
pub fn rows<S: Configured>() -> Vec<Row> {
    let mut rows = directive::rows("init_by_lua", S::OUTERMOST, "Runs Lua when the configuration is loaded.", |cx, code| {
        cx.once(&mut cx.main::<ProcessCode<S>>().init.borrow_mut(), code)
    });
    rows.extend(directive::rows("init_worker_by_lua", S::OUTERMOST, "Runs Lua when a worker starts.", |cx, code| {
        cx.once(&mut cx.main::<ProcessCode<S>>().init_worker.borrow_mut(), code)
    }));
    rows.extend(directive::rows("exit_worker_by_lua", S::OUTERMOST, "Runs Lua when a worker ends.", |cx, code| {
        cx.once(&mut cx.main::<ProcessCode<S>>().exit_worker.borrow_mut(), code)
    }));
    rows
}
