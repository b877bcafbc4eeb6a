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
        /// `acme_issuer { }` in `http`
        const ACME_ISSUER = 1 << 12;
    }
}

impl Context {
    /// `http`, `server` and `location`, the most common set.
    pub const HTTP_ALL: Context = Context::HTTP.union(Context::SERVER).union(Context::LOCATION);
    /// As [`Context::HTTP_ALL`], and `if` in a location.
    pub const HTTP_IF: Context = Context::HTTP_ALL.union(Context::LOCATION_IF);
    /// Everything of the `http` family, `if` in a server included.
    pub const HTTP_EVERYWHERE: Context = Context::HTTP_IF.union(Context::SERVER_IF);

    /// The blocks in the manual's words, `http, server, location`.
    #[must_use]
    pub fn names(self) -> String {
        const NAMES: [(Context, &str); 13] = [
            (Context::MAIN, "main"),
            (Context::EVENTS, "events"),
            (Context::HTTP, "http"),
            (Context::SERVER, "server"),
            (Context::LOCATION, "location"),
            (Context::SERVER_IF, "if in server"),
            (Context::LOCATION_IF, "if in location"),
            (Context::LIMIT_EXCEPT, "limit_except"),
            (Context::UPSTREAM, "upstream"),
            (Context::STREAM, "stream"),
            (Context::STREAM_SERVER, "server in stream"),
            (Context::STREAM_UPSTREAM, "upstream in stream"),
            (Context::ACME_ISSUER, "acme_issuer"),
        ];
        NAMES.iter().filter(|(one, _)| self.contains(*one)).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
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

    /// In words, `1 to 4 arguments`.
    #[must_use]
    pub fn text(self) -> String {
        let arguments = |n: usize| format!("{n} argument{}", if n == 1 { "" } else { "s" });
        match self {
            Arity::Between(0, 0) => "no arguments".to_owned(),
            Arity::Between(low, high) if low == high => arguments(low),
            Arity::Between(low, high) => format!("{low} to {}", arguments(high)),
            Arity::AtLeast(low) => format!("{low} or more arguments"),
            Arity::Flag => "1 argument, \"on\" or \"off\"".to_owned(),
        }
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
