//! `balancer_by_lua*`: Lua that chooses the upstream server of each try. It may wait.

use crate::host::Sessions;
use lua_session::balancing;
use stream::Module;

/// `balancer_by_lua_block`, `balancer_by_lua_file`.
pub const MODULE: Module = Module { rows: balancing::rows::<Sessions>, ..Module::named("lua_balancer") };
