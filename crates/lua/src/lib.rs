//! The Lua virtual machine made safe: code, isolated globals, light threads, and the binder of native functions.
//!
//! # How Lua and Rust meet
//! Rust never raises a Lua error and never yields: a native function returns a marker, and the thin Lua shim beside it
//! raises or yields. A panic stops in the native function's entry and becomes a Lua error. So no `longjmp` crosses a
//! Rust frame and no unwinding crosses a Lua frame.
//!
//! A handler runs in a slot: a coroutine that is used again and again, with its own globals. [`Job::start`] runs
//! it until it ends or waits. [`Row`]s describe native functions; [`Vm::bind`] makes them callable.
//!
//! # Linking
//! C modules (`cjson.so`, `lpeg.so`) find Lua's functions in the program itself. A package that makes a program of this
//! crate exports them from its build script, since link arguments do not pass to dependents:
//! `cargo::rustc-link-arg=-Wl,--export-dynamic-symbol=lua_*`, and likewise `luaL_*`, `luaopen_*`, `luaJIT_*`, `ngx_*`.
//! The unwinder must stay: with `panic = "abort"` a caught error could end the worker.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod boot;
mod build;
mod chunk;
mod constants;
mod cpu;
mod cx;
mod evaluate;
mod fast;
mod fingerprint;
mod heap;
mod host;
mod job;
mod light;
mod list;
mod memory;
mod phase;
mod raise;
mod raw;
mod reference;
mod row;
mod scheduler;
mod slot;
mod stack;
mod standby;
pub mod symbols;
mod threads;
mod traceback;
mod value;
mod vm;
mod wakers;
mod walk;

pub use build::{Builder, MOST_KEYS};
pub use chunk::ChunkId;
pub use cpu::{StuckHandler, Watchdog};
pub use cx::{CallContext, Hooks};
pub use evaluate::evaluate;
pub use fast::{Bytes, FastFn, FastReturn, Scalar};
pub use host::{Host, HostView};
pub use job::{Completion, Job, Started};
pub use light::{YIELDABLE, light_threads};
pub use list::Piece;
pub use phase::{LuaPhase, PhaseSet};
pub use raise::{ErrorKind, LuaError, Raise};
pub use reference::Ref;
pub use row::{Group, Row, Suspension};
pub use stack::{Stack, Type};
pub use standby::stand_by;

pub use threads::LocalFuture;
pub use value::{Pusher, Reply, Value};
pub use vm::{Options, Vm};
pub use walk::{ValueView, Walker};

/// Bytes of machine stack that a thread which runs Lua needs. Functions of LuaJIT that call back, such as `string.gsub`, take 9 KB
/// each time; so much of them fits beneath LuaJIT's own limit of 65,500 values, which ends with an error and not with a crash.
pub const STACK: usize = 96 << 20;

#[cfg(test)]
mod tests;
