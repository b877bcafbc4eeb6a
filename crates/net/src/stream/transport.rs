//! Kinds of sockets.

/// What [`super::Stream::from_fd`] is to make of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// Unix-domain.
    Unix,
}
