//! What follows when a child has ended.

use super::Master;
use crate::application::Application;
use crate::child::{Child, pause_after};
use crate::pidfile;
use crate::worker::FATAL;
use crate::worker_setup::Role;
use base::errno::describe;
use base::log::Level;
use std::time::Instant;
use sys::process::ExitStatus;

impl<A: Application> Master<'_, A> {
    /// Collects dead children.
    pub(super) fn reap(&mut self) {
        loop {
            match sys::process::reap() {
                Ok(Some((pid, ending))) => self.child_ended(pid, ending),
                Ok(None) => return,
                Err(error) => {
                    self.console.report(Level::Alert, &format!("waitpid() failed {}", describe(&error)));
                    return;
                }
            }
        }
    }

    fn child_ended(&mut self, pid: i32, ending: ExitStatus) {
        let place = self.children.iter().position(|child| child.pid == pid);
        let name = match place {
            Some(place) => self.children.get(place).map_or("", |child| child.role.name()),
            None if self.new_binary == Some(pid) => "new binary process",
            None => "unknown process",
        };
        match ending {
            ExitStatus::Signal { number, dumped } => {
                let core = if dumped { " (core dumped)" } else { "" };
                self.console.report(Level::Alert, &format!("{name} {pid} exited on signal {number}{core}"));
            }
            ExitStatus::Code(code) => self.console.report(Level::Notice, &format!("{name} {pid} exited with code {code}")),
        }
        if let Some(generation) = &self.generation {
            self.app.child_died(generation, pid);
        }
        if let Some(place) = place {
            let child = self.children.swap_remove(place);
            self.replace(&child, ending);
        } else if self.new_binary == Some(pid) {
            self.take_name_back();
        }
    }

    pub(super) fn replace(&mut self, child: &Child, ending: ExitStatus) {
        // One of an older configuration that dies before it was sent home has had its successor already.
        if child.exiting || child.age < self.age || self.wishes.terminate || self.wishes.quit {
            return;
        }
        if let Role::Worker(number) = child.role {
            self.board.close(number);
        }
        if ending == ExitStatus::Code(FATAL) {
            let text = format!("{} {} exited with fatal code {FATAL} and cannot be respawned", child.role.name(), child.pid);
            self.console.report(Level::Alert, &text);
            return;
        }
        let killed = matches!(ending, ExitStatus::Signal { number: sys::signal::SIGKILL, .. });
        let alone = !self.children.iter().any(|other| other.role != Role::Agent && !other.exiting);
        let next = child.successor(Instant::now(), killed, alone);
        if next.failed_starts > 1 {
            let (times, pause) = (next.failed_starts, pause_after(next.failed_starts, alone).as_millis());
            let name = match child.role {
                Role::Worker(number) => format!("worker process {number}"),
                Role::Agent => child.role.name().to_owned(),
            };
            let text = format!("{name} died before it took connections, {times} times in a row; next start in {pause} ms");
            self.console.report(Level::Alert, &text);
        }
        self.respawns.push(next);
    }

    /// The new binary is gone: the pid file gets its name back, and workers that were sent home return.
    fn take_name_back(&mut self) {
        self.new_binary = None;
        if let Some(pid) = self.settings().map(|settings| settings.pid.clone()) {
            let old = pidfile::oldbin(&pid);
            if let Err(error) = std::fs::rename(&old, &pid) {
                let program = self.arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let text = format!(
                    "rename() {} back to {} failed after the new binary process \"{program}\" exited {}",
                    old.display(),
                    pid.display(),
                    describe(&error)
                );
                self.console.report(Level::Alert, &text);
            }
        }
        self.wishes.restart |= std::mem::take(&mut self.not_accepting);
    }
}
