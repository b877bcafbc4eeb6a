//! The lunette binary: an nginx-compatible server that runs LuaJIT in every phase.
#![forbid(unsafe_code)]

mod application;
mod diagnostics;
mod generation;
mod identity;
#[cfg(test)]
mod inherited;
mod main_level;
mod opening;
mod places;
mod registry;
mod resty;
mod worker;

use std::process::ExitCode;

// Requests allocate and free much of the same sizes: half the cost of the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Where it is refused, only Lua code that recurses without end is worse off.
    let _ = sys::limits::allow_stack(lua::STACK as u64);
    let program = identity::program();
    let arguments = std::env::args_os().collect();
    let code = daemon::run(&mut application::Server::default(), &program, arguments);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
