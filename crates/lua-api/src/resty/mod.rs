//! The libraries that OpenResty brings along: `resty.*`.
//!
//! What needs no native code is a Lua file of its own, which `require` compiles when it is first asked for.

pub mod aes;
pub mod modes;
pub mod signal;
pub mod sums;

/// Parts with native code.
#[must_use]
pub fn groups() -> Vec<lua::Group> {
    vec![sums::group(), aes::group(), signal::group()]
}

/// Libraries in Lua alone: name and source.
pub const SOURCES: &[(&str, &str)] = &[
    ("jit.bcsave", include_str!("bcsave.lua")),
    ("jit.v", include_str!("traces.lua")),
    ("resty.lock", include_str!("lock.lua")),
    ("resty.lrucache", include_str!("lrucache.lua")),
    ("resty.lrucache.pureffi", "require 'resty.lrucache' return package.loaded['resty.lrucache.pureffi']"),
    ("resty.shell", include_str!("shell.lua")),
    ("resty.upload", include_str!("upload.lua")),
];
