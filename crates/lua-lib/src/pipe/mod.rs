//! `ngx.pipe`: programs that Lua starts and talks to without holding the worker
//! (`ngx_http_lua_pipe.c`, `ngx/pipe.lua`).

pub mod inlet;
pub mod outlet;
pub mod process;
pub mod rows;
