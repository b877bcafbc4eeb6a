//! `ngx.pipe`: programs that Lua starts and talks to without holding the worker
//! (`ngx_http_lua_pipe.c`, `ngx/pipe.lua`).

pub mod process;
pub(crate) mod reader;
pub mod rows;
pub(crate) mod writer;
