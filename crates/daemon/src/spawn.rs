//! Starting workers and waiting until they are up.

use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use base::errno::describe;
use base::log::Level;
use sys::epoll::{EPOLLIN, EPOLLONESHOT, Epoll};
use sys::process::Fork;

use crate::application::Application;
use crate::child::{Child, Respawn};
use crate::master::Master;
use crate::settings::Settings;
use crate::worker;
use crate::worker_setup::Role;

/// Longest wait of a reload for its new workers; then the old ones leave in any case.
const PATIENCE: Duration = Duration::from_secs(1);

impl<A: Application> Master<'_, A> {
    /// Starts all workers of the present generation.
    pub(crate) fn start_workers(&mut self) {
        self.console.report(Level::Notice, "start worker processes");
        self.respawns.clear();
        let count = self.settings().map_or(0, Settings::worker_count);
        self.board = self.board.successor(count);
        for number in 0..count {
            self.board.close(number);
            self.start_child(Role::Worker(number), 0);
        }
        if self.settings().is_some_and(|settings| settings.privileged_agent) {
            self.start_child(Role::Agent, 0);
        }
    }

    /// Starts the workers whose time has come.
    pub(crate) fn respawn_due(&mut self) {
        let now = Instant::now();
        let (due, later): (Vec<Respawn>, Vec<Respawn>) = self.respawns.drain(..).partition(|one| one.at <= now);
        self.respawns = later;
        for one in due {
            self.board.note_respawn();
            if !self.start_child(one.role, one.failed_starts) {
                // The system may have processes to spare later.
                self.respawns.push(Respawn { at: now + PATIENCE, ..one });
            }
        }
    }

    fn start_child(&mut self, role: Role, failed_starts: u32) -> bool {
        let made = channel().and_then(|ends| sys::process::fork().map(|side| (ends, side)));
        let ((ours, theirs), side) = match made {
            Ok(made) => made,
            Err(error) => {
                self.console.report(Level::Alert, &format!("fork() failed while spawning \"{}\" {}", role.name(), describe(&error)));
                return false;
            }
        };
        match side {
            Fork::Parent(pid) => {
                self.console.report(Level::Notice, &format!("start {} {pid}", role.name()));
                if let Role::Worker(number) = role {
                    self.board.set(number, pid);
                }
                let age = self.age;
                self.children.push(Child { pid, role, channel: ours, age, exiting: false, failed_starts });
                true
            }
            Fork::Child => {
                drop(ours);
                self.become_worker(role, theirs)
            }
        }
    }

    /// The child's side: nothing of the master is left, and there is no way back into its loop.
    fn become_worker(&mut self, role: Role, channel: UnixStream) -> ! {
        self.children.clear();
        base::clock::stale();
        let listeners = std::mem::take(&mut self.listeners);
        let Some(generation) = self.generation.take() else { std::process::exit(worker::FATAL) };
        let board = std::mem::take(&mut self.board);
        let sockets = match role {
            Role::Worker(number) => {
                // The master may come to it only later.
                board.set(number, sys::process::id());
                listeners.into_worker(&self.app.settings(&generation).listeners, number)
            }
            Role::Agent => {
                drop(listeners);
                Vec::new()
            }
        };
        let code = catch_unwind(AssertUnwindSafe(|| {
            worker::live(self.app, generation, (role, board, sockets), Some(channel), &self.inherited, &self.console)
        }));
        // The panic's own message has gone to standard error, which is the log.
        std::process::exit(code.unwrap_or(1))
    }

    /// Waits until every worker of the present generation has said that it is up, or died, or [`PATIENCE`] is over.
    pub(crate) fn wait_until_ready(&self) {
        let Ok(set) = Epoll::new() else { return };
        let young = self.children.iter().filter(|child| child.age == self.age);
        let mut missing = 0;
        for child in young {
            if set.add(&child.channel, EPOLLIN | EPOLLONESHOT, 0).is_ok() {
                missing += 1;
            }
        }
        let end = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        while missing > 0 {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(timeout) = i32::try_from(left.as_millis()) else { return };
            match set.poll(timeout, &mut events) {
                Ok(count) if timeout > 0 => missing -= count.min(missing),
                _ => return,
            }
        }
    }
}

fn channel() -> std::io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs))
}
