//! `balancer_by_lua*`: Lua that chooses the upstream server of each try. It may wait.

use crate::host::Requests;
use conf::row::Row;
use http::Module;
use lua_session::balancing;

/// `balancer_by_lua_block`, `balancer_by_lua_file`, `balancer_keepalive`.
pub const MODULE: Module = Module { rows, ..Module::named("lua_balancer") };

fn rows() -> Vec<Row> {
    let mut rows = balancing::rows::<Requests>();
    rows.push(balancing::keepalive_row::<Requests>());
    rows
}
