//! `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*` of `stream`: Lua at the start and end of processes.

use crate::host::Sessions;
use lua_session::{process_rows, start};
use stream::{Module, Session};

/// `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*`.
pub const MODULE: Module = Module {
    rows: process_rows::rows::<Session>,
    levels: process_rows::levels::<Session>,
    start: start::start_worker::<Sessions>,
    ..Module::named("lua_start")
};
