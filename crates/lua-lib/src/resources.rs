//! Resources that code has opened, which are closed when the request or run ends.

use crate::{pipe, socket};

/// What is closed when a request or a run ends.
#[derive(Default)]
pub struct Resources {
    /// Programs that it started.
    pub processes: pipe::process::Owned,
    /// Sockets that it connected.
    pub sockets: socket::owned::Owned,
}

impl Resources {
    /// Closes all of it.
    pub fn close(&self) {
        self.processes.close();
        self.sockets.close();
    }
}
