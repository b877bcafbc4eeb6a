//! `ngx.pipe`: programs that Lua starts and talks to without holding the worker
//! (`ngx_http_lua_pipe.c`, `ngx/pipe.lua`).

pub(crate) mod inlet;
pub(crate) mod outlet;
pub mod process;
pub mod rows;
