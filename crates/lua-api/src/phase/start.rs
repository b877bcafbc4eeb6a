//! `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*`: Lua at the start and end of processes.

use crate::host::Requests;
use http::{Module, Request};
use lua_session::{process_rows, start};

/// `init_by_lua*`, `init_worker_by_lua*`, `exit_worker_by_lua*`.
pub const MODULE: Module = Module {
    rows: process_rows::rows::<Request>,
    levels: process_rows::levels::<Request>,
    start: start::start_worker::<Requests>,
    ..Module::named("lua_start")
};
