//! `master_process off`: master and worker in one process.

use base::log::Level;
use net::listener::Listeners;

use crate::application::Application;
use crate::console::Console;
use crate::pidfile;
use crate::worker::{self, Inherited, WorkerStart};
use crate::worker_setup::Role;
use crate::worker_table::WorkerTable;

/// Works until told to stop, then cleans up as a master would. Returns the exit code.
pub(crate) fn cycle<A: Application>(
    app: &mut A,
    generation: A::Generation,
    listeners: Listeners,
    inherited: &Inherited,
    console: &Console,
) -> i32 {
    let settings = app.settings(&generation).clone();
    let sockets = listeners.into_worker(&settings.listeners, 0);
    let start = WorkerStart { role: Role::Worker(0), board: WorkerTable::default(), sockets, channel: None, relieves: false };
    let code = worker::live(app, generation, start, inherited, console);
    pidfile::remove(&settings.pid, console);
    for spec in &settings.listeners {
        if let net::address::SocketAddress::Unix(path) = &spec.address {
            // The socket itself was closed by the work.
            let _ = std::fs::remove_file(path);
        }
    }
    console.report(Level::Notice, "exit");
    code
}
