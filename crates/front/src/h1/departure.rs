//! What the log tells of clients that go without a request.

use crate::protocol::{Front, Listener};
use base::errno;
use base::log::Level;
use http::Connection;
use std::io::{self, ErrorKind};

/// A client has closed, or reading failed. `first`: it never sent a request. Of one that goes between two requests nginx names the
/// address alone, and a reset is no failure there.
pub(crate) fn log(front: &Front, listener: &Listener, info: &Connection, first: bool, error: Option<&io::Error>) {
    let log = front.error_log(listener);
    if !log.enabled(Level::Info) {
        return;
    }
    match error {
        None if first => front.log(listener, info, Level::Info, "client closed connection while waiting for request"),
        None => log.write(Level::Info, info.id, &farewell(info)),
        Some(error) if !first && error.kind() == ErrorKind::ConnectionReset => {
            let line = [farewell(info), b" ".to_vec(), errno::describe(error).into_bytes()].concat();
            log.write(Level::Info, info.id, &line);
        }
        Some(error) if first && error.raw_os_error().is_some() => {
            let text = format!("recv() failed {} while waiting for request", errno::describe(error));
            front.log(listener, info, Level::Info, &text);
        }
        Some(_) => {}
    }
}

fn farewell(info: &Connection) -> Vec<u8> {
    let mut line = b"client ".to_vec();
    info.peer.push_host(&mut line);
    line.extend_from_slice(b" closed keepalive connection");
    line
}
