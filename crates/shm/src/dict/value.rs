//! Values stored in a dictionary and results of operations.

use std::fmt;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// Bytes.
    Text(&'a [u8]),
}

/// What a look-up found; text is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// Bytes, appended to the buffer.
    Text,
}

/// A look-up's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// The value.
    pub value: Found,
    /// The user's flags.
    pub flags: u32,
    /// The entry has expired.
    pub stale: bool,
}

/// Why an operation did nothing. Shown as OpenResty's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `not found`
    NotFound,
    /// `exists`
    Exists,
    /// `no memory`
    NoMemory,
    /// `not a number`
    NotNumber,
    /// `value not a list`
    NotList,
    /// `value is a list`
    IsList,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// The text that Lua code sees.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::NotFound => "not found",
            Refusal::Exists => "exists",
            Refusal::NoMemory => "no memory",
            Refusal::NotNumber => "not a number",
            Refusal::NotList => "value not a list",
            Refusal::IsList => "value is a list",
        }
    }
}

/// How [`super::Dict::store`] treats an entry that is there, and one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// Stores in any case.
    Always,
    /// Only where no live entry is.
    Absent,
    /// Only where a live entry is.
    Present,
}

/// How to store.
#[derive(Clone, Copy, Debug)]
pub struct Store {
    /// On which condition.
    pub when: StoreMode,
    /// Never makes room by dropping live entries.
    pub safe: bool,
    /// Milliseconds to live; 0 for ever.
    pub lifetime: u64,
    /// The user's flags.
    pub flags: u32,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `lpush`, `lpop`
    Left,
    /// `rpush`, `rpop`
    Right,
}

/// The moment that an entry with a lifetime in milliseconds expires, for an operation at `now`; 0 for never, which is what a moment that
/// no signed number holds comes to.
pub(super) fn expiry(now: u64, lifetime: u64) -> u64 {
    match now.checked_add(lifetime) {
        Some(moment) if lifetime > 0 && i64::try_from(moment).is_ok() => moment,
        _ => 0,
    }
}
