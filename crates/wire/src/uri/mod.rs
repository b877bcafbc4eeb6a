//! Request targets: what a raw target holds, its normalised path, escapes and arguments.
//!
//! The rules are nginx's, because locations, `alias` and every cache key depend on them;
//! the grammar behind them is RFC 3986.

pub mod args;
pub mod escape;
pub mod internal;
pub mod normal;
pub mod shape;

use std::fmt;

/// The target, or an escape in it, is not one a server may serve: answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUri;

impl fmt::Display for BadUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid URI")
    }
}

impl std::error::Error for BadUri {}

/// The value of a hexadecimal digit.
pub(crate) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
