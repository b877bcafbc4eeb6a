//! The same functions by the names that they have in lua-nginx-module's C code, for code that calls them through `ffi.C`.
//!
//! They are written in Lua: nothing of what such code points to is looked into by this program, and the request that it hands
//! over is only compared with the one that runs.

use lua::Group;

/// The part's glue.
pub(super) fn group() -> Group {
    Group { name: "ngx.ssl by C names", rows: Vec::new(), glue: include_str!("abi.lua") }
}
