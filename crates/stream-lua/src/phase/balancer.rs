//! `balancer_by_lua*`: Lua that chooses the upstream server of each try. It may wait.

use crate::host::Host;
use lua_session::balancing;
use stream::Module;

/// `balancer_by_lua_block`, `balancer_by_lua_file`.
pub const MODULE: Module = Module { rows: balancing::rows::<Host>, ..Module::named("lua_balancer") };
