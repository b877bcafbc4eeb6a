//! The phases of a session, in the order in which they run (nginx manual, "How nginx processes a TCP/UDP session").

/// A phase that modules can join. Content has one handler, the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// First look at the client: realip.
    PostAccept = 0,
    /// Before access: limits.
    Preaccess,
    /// Who may.
    Access,
    /// TLS.
    Ssl,
    /// A look at the first bytes; see [`crate::Attach::preread`].
    Preread,
    /// What is done for the client: proxying, or a response.
    Content,
    /// After the session.
    Log,
}

impl Phase {
    /// How many phases there are.
    pub const COUNT: usize = 7;
}
