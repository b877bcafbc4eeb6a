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

/// Libraries in Lua alone that belong to this server's compiler: name and source.
pub(crate) const SOURCES: &[(&str, &str)] = &[("jit.bcsave", include_str!("bcsave.lua")), ("jit.v", include_str!("traces.lua"))];

/// Libraries in Lua alone that are no more than what everybody can bring along: a file of the same name that the
/// configuration leads to is preferred, since it may be of another version, or changed.
pub(crate) const SUPPLIES: &[(&str, &str)] = &[
    ("resty.lock", include_str!("lock.lua")),
    ("resty.lrucache", include_str!("lrucache.lua")),
    // The same file: it asks by which name it is loaded.
    ("resty.lrucache.pureffi", include_str!("lrucache.lua")),
    ("resty.shell", include_str!("shell.lua")),
    ("resty.upload", include_str!("upload.lua")),
    ("tablepool", include_str!("../library/tablepool.lua")),
];
