//! A client's connection after it stopped being HTTP (RFC 9110 section 7.8, `Upgrade`).

use std::io;
use std::task::{Context, Poll};

/// Bytes both ways, without framing. The response head has been given to the wire before; it leaves first.
pub trait Tunnel {
    /// Appends what the client sent, bytes that came together with its request first; 0 is the end.
    ///
    /// # Errors
    /// Those of the connection.
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// Whether nothing has happened since [`Tunnel::poll_read`] had to wait, so that the same task need not ask again; `false` if only a
    /// read can tell.
    fn still_waits(&self) -> bool {
        false
    }

    /// Sends; returns how many bytes were taken.
    ///
    /// # Errors
    /// Those of the connection.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends our direction after all bytes have left.
    ///
    /// # Errors
    /// Those of the connection.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
