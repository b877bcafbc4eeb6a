//! What `ffi.C` offers: the declarations of nginx's and OpenResty's functions, and the libraries that a process of nginx
//! is linked with.

use lua::Group;

/// The part's glue.
#[must_use]
pub fn group() -> Group {
    Group { name: "ffi", rows: Vec::new(), glue: include_str!("symbols.lua") }
}
