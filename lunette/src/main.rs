//! The lunette binary: an nginx-compatible server that runs LuaJIT in every phase.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod advice;
mod application;
mod banner;
mod caches;
mod command_error;
mod diagnostics;
#[cfg(test)]
mod echo;
mod generation;
mod identity;
#[cfg(test)]
mod inherited;
mod layout;
mod lua_check;
mod main_level;
mod manual;
mod opening;
mod parsed;
mod program;
mod protocols;
mod registry;
mod resty;
#[cfg(test)]
mod tests;
mod top;
mod worker;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: sys::memory::Allocator = sys::memory::Allocator;

fn main() -> ExitCode {
    sys::memory::enable_pool();
    // Where it is refused, only Lua code that recurses without end is worse off.
    let _ = sys::limits::allow_stack(lua::STACK as u64);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    let code = if name == "resty" {
        resty::run(arguments.get(1..).unwrap_or_default())
    } else {
        daemon::run(&mut application::Server::default(), &program::program(name), arguments)
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
