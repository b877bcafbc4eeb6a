//! Starting workers and waiting until they are up.

use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use base::errno::describe;
use base::log::Level;
use sys::epoll::{EPOLLIN, Epoll};
use sys::process::Fork;

use crate::application::Application;
use crate::child::{Child, Respawn};
use crate::commands::BEGIN;
use crate::master::Master;
use crate::settings::Settings;
use crate::worker::{self, WorkerStart};
use crate::worker_setup::Role;

/// Longest wait of a reload for its new workers, and then for the old ones; the next step comes in any case.
const PATIENCE: Duration = Duration::from_secs(1);

impl<A: Application> Master<'_, A> {
    /// Starts all workers of the present generation; if they relieve those of another, [`Master::relieve`] is to come.
    pub(crate) fn start_workers(&mut self, relieves: bool) {
        self.console.report(Level::Notice, "start worker processes");
        self.respawns.clear();
        let count = self.settings().map_or(0, Settings::worker_count);
        self.board = self.board.successor(count);
        for number in 0..count {
            self.board.close(number);
            self.start_child(Role::Worker(number), 0, relieves);
        }
        if self.settings().is_some_and(|settings| settings.privileged_agent) {
            self.start_child(Role::Agent, 0, relieves);
        }
    }

    /// Starts the workers whose time has come.
    pub(crate) fn respawn_due(&mut self) {
        let now = Instant::now();
        let (due, later): (Vec<Respawn>, Vec<Respawn>) = self.respawns.drain(..).partition(|one| one.at <= now);
        self.respawns = later;
        for one in due {
            self.board.note_respawn();
            if !self.start_child(one.role, one.failed_starts, false) {
                // The system may have processes to spare later.
                self.respawns.push(Respawn { at: now + PATIENCE, ..one });
            }
        }
    }

    fn start_child(&mut self, role: Role, failed_starts: u32, relieves: bool) -> bool {
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
                self.children.push(Child { pid, role, channel: ours, age, exiting: false, stopped: false, failed_starts });
                true
            }
            Fork::Child => {
                drop(ours);
                self.become_worker(role, theirs, relieves)
            }
        }
    }

    /// The child's side: nothing of the master is left, and there is no way back into its loop.
    fn become_worker(&mut self, role: Role, channel: UnixStream, relieves: bool) -> ! {
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
        let start = WorkerStart { role, board, sockets, channel: Some(channel), relieves };
        let code = catch_unwind(AssertUnwindSafe(|| worker::live(self.app, generation, start, &self.inherited, &self.console)));
        // The panic's own message has gone to standard error, which is the log.
        std::process::exit(code.unwrap_or(1))
    }

    /// Lets the present generation take over from those before: when its workers are up, the old ones are told to leave, and
    /// when these take no more connections, the new ones begin what they do of themselves.
    pub(crate) fn relieve(&mut self) {
        let age = self.age;
        // What they say is still to be read when one of them dies.
        wait_for(self.children.iter_mut().filter(|child| child.age == age), |_| true);
        self.send_home(age);
        wait_for(self.children.iter_mut().filter(|child| child.age < age && !child.stopped), Child::has_stopped);
        for child in self.children.iter_mut().filter(|child| child.age == age) {
            child.tell(BEGIN);
        }
    }
}

/// Waits until each of these has said what `has_said` looks for, or died, or [`PATIENCE`] is over.
fn wait_for<'a>(children: impl Iterator<Item = &'a mut Child>, has_said: fn(&mut Child) -> bool) {
    let Ok(set) = Epoll::new() else { return };
    let mut asked: Vec<&mut Child> = children.collect();
    asked.retain(|child| set.add(&child.channel, EPOLLIN, child.pid.cast_unsigned().into()).is_ok());
    let end = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while !asked.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(timeout) = i32::try_from(left.as_millis()) else { return };
        if timeout == 0 || set.poll(timeout, &mut events).is_err() {
            return;
        }
        for event in events.drain(..) {
            let Some(place) = asked.iter().position(|child| event.data == u64::from(child.pid.cast_unsigned())) else { continue };
            if asked.get_mut(place).is_some_and(|child| has_said(child)) {
                let child = asked.swap_remove(place);
                // It was just watched.
                let _ = set.delete(&child.channel);
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
