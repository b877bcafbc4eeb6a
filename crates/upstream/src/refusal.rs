//! Log messages about failed connections to servers.

use base::errno;
use base::log::Level;
use net::address::SocketAddress;
use net::connect::ConnectFailure;
use std::io;

/// nginx's words for a limit that has passed.
pub const TIMED_OUT: &str = "upstream timed out (110: Connection timed out)";

/// Whether it took too long.
#[must_use]
pub fn is_timeout(failure: &ConnectFailure) -> bool {
    matches!(failure, ConnectFailure::Peer(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// The line and its level (`ngx_event_connect_peer`, `ngx_connection_error`).
#[must_use]
pub fn line(target: &SocketAddress, failure: &ConnectFailure) -> (Level, String) {
    match failure {
        _ if is_timeout(failure) => (Level::Error, TIMED_OUT.to_owned()),
        ConnectFailure::Local { .. } => (Level::Crit, failure.to_string()),
        ConnectFailure::Peer(error) => {
            // What the kernel refuses at once is told with the address, and is grave unless it lies with the network.
            let at_once = matches!(target, SocketAddress::Unix(_)) || errno::is_local(error);
            let what = errno::describe(error);
            let line = if at_once { format!("connect() to {target} failed {what}") } else { format!("connect() failed {what}") };
            (errno::severity(error).max(Level::Crit), line)
        }
    }
}
