//! Why a name could not be resolved.

use std::fmt;

/// A failed look-up. `Display` gives nginx's words, such as `3: Host not found`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A server's response code, not 0.
    Code(u8),
    /// No server answered in time.
    TimedOut,
}

impl Failure {
    /// There is no such name, or it has no address.
    pub const NOT_FOUND: Failure = Failure::Code(3);
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Code(code) => {
                let text = match code {
                    1 => "Format error",
                    2 => "Server failure",
                    3 => "Host not found",
                    4 => "Unimplemented",
                    5 => "Operation refused",
                    _ => "Unknown error",
                };
                write!(f, "{code}: {text}")
            }
            Failure::TimedOut => f.write_str("110: Operation timed out"),
        }
    }
}

impl std::error::Error for Failure {}
