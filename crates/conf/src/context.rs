//! Where a directive may stand and how many arguments it takes.

use bitflags::bitflags;

bitflags! {
    /// The blocks of a configuration, as the "Context" line of a directive's manual page lists them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Context: u32 {
        /// Outside of any block.
        const MAIN = 1;
        /// `events { }`
        const EVENTS = 1 << 1;
        /// `http { }`
        const HTTP = 1 << 2;
        /// `server { }` in `http`
        const SERVER = 1 << 3;
        /// `location { }`
        const LOCATION = 1 << 4;
        /// `if { }` in `server`
        const SERVER_IF = 1 << 5;
        /// `if { }` in `location`
        const LOCATION_IF = 1 << 6;
        /// `limit_except { }`
        const LIMIT_EXCEPT = 1 << 7;
        /// `upstream { }` in `http`
        const UPSTREAM = 1 << 8;
        /// `stream { }`
        const STREAM = 1 << 9;
        /// `server { }` in `stream`
        const STREAM_SERVER = 1 << 10;
        /// `upstream { }` in `stream`
        const STREAM_UPSTREAM = 1 << 11;
    }
}

impl Context {
    /// `http`, `server` and `location`, the most common set.
    pub const HTTP_ALL: Context = Context::HTTP.union(Context::SERVER).union(Context::LOCATION);
    /// As [`Context::HTTP_ALL`], and `if` in a location.
    pub const HTTP_IF: Context = Context::HTTP_ALL.union(Context::LOCATION_IF);
    /// Everything of the `http` family, `if` in a server included.
    pub const HTTP_EVERYWHERE: Context = Context::HTTP_IF.union(Context::SERVER_IF);
}

/// How many arguments a directive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// From the first to the second number, both included.
    Between(usize, usize),
    /// This many or more.
    AtLeast(usize),
    /// One, `on` or `off`.
    Flag,
}

impl Arity {
    /// Exactly `n` arguments.
    pub const fn exactly(n: usize) -> Self {
        Arity::Between(n, n)
    }

    /// Whether `n` arguments are right.
    pub fn admits(self, n: usize) -> bool {
        match self {
            Arity::Between(low, high) => (low..=high).contains(&n),
            Arity::AtLeast(low) => n >= low,
            Arity::Flag => n == 1,
        }
    }
}
