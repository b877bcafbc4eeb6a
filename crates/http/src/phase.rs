//! The phases of a request, in the order in which they run (nginx development guide, "HTTP phases").

/// A phase of an HTTP request that modules can join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// First look at the request: realip.
    PostRead = 0,
    /// Rewriting at server level, before a location is chosen.
    ServerRewrite,
    /// Rewriting at location level.
    Rewrite,
    /// Before access: limits.
    Preaccess,
    /// Who may; subject to `satisfy`.
    Access,
    /// After access, before content: try_files, mirror.
    Precontent,
    /// Makes the response.
    Content,
    /// After the response.
    Log,
}

impl Phase {
    /// Number of phases.
    pub const COUNT: usize = 8;

    /// The bit of this phase in a set of phases.
    #[inline]
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }
}
