//! `ngx.run_worker_thread`: Lua in threads of its own (`ngx_http_lua_worker_thread.c`).
//!
//! A virtual machine never leaves the thread that made it, so each has its own ("vm_thread"). Values cross as
//! [`plain_value::PlainValue`]s. What a machine may do there needs no request: encodings, digests, dictionaries.

pub(crate) mod plain_value;
pub mod rows;
pub(crate) mod thread_host;
pub(crate) mod vm_thread;
