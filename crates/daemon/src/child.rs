//! The master's table of children.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use base::errno::describe;
use base::log::Level;

use crate::commands::{READY, STOPPED, read_byte};
use crate::console::Console;
use crate::worker_setup::Role;

/// Longest pause between two attempts to start a worker that keeps dying at its start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The same while no other worker lives.
const LONGEST_OUTAGE: Duration = Duration::from_millis(300);

/// A running child process.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) role: Role,
    /// The master's end of the channel.
    pub(crate) channel: UnixStream,
    /// Which configuration it runs; later ones are greater.
    pub(crate) age: u32,
    /// Whether it was told to leave.
    pub(crate) exiting: bool,
    /// Whether it is known to take no more connections.
    pub(crate) stopped: bool,
    /// How many predecessors in a row died before they took connections.
    pub(crate) failed_starts: u32,
}

/// A worker to be started at a later time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Respawn {
    pub(crate) role: Role,
    pub(crate) at: Instant,
    pub(crate) failed_starts: u32,
}

impl Child {
    /// Sends a command over the channel, or `signal` where that fails.
    pub(crate) fn send_command(&mut self, command: u8, signal: i32, console: &Console) {
        if (&self.channel).write_all(&[command]).is_err() {
            self.kill(signal, console);
        }
    }

    /// Says a word that one who is gone need not hear.
    pub(crate) fn tell(&self, word: u8) {
        let _ = (&self.channel).write_all(&[word]);
    }

    /// Whether it has said that it takes no more connections, or is gone. Reads what else it has said.
    pub(crate) fn has_stopped(&mut self) -> bool {
        while !self.stopped {
            match read_byte(&self.channel) {
                Ok(Some(STOPPED) | None) => self.stopped = true,
                Ok(Some(_)) => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => self.stopped = true,
            }
        }
        true
    }

    /// Sends a signal.
    pub(crate) fn kill(&self, signal: i32, console: &Console) {
        if let Err(error) = sys::process::kill(self.pid, signal) {
            console.report(Level::Alert, &format!("kill({}, {signal}) failed {}", self.pid, describe(&error)));
        }
    }

    /// When the successor of this dead worker starts: at once, unless it is one of a row that died at their start of
    /// themselves. A worker that was `killed` from outside (SIGKILL) says nothing about its successor; one that took
    /// connections and then died did so for one of these, and a pause would only cost the others.
    pub(crate) fn successor(&self, now: Instant, killed: bool, alone: bool) -> Respawn {
        let failed = !killed && !self.took_connections();
        let failed_starts = if failed { self.failed_starts.saturating_add(1) } else { 0 };
        let at = now + pause_after(failed_starts, alone);
        Respawn { role: self.role, at, failed_starts }
    }

    /// Whether the worker has said that it is up.
    fn took_connections(&self) -> bool {
        matches!(read_byte(&self.channel), Ok(Some(READY)))
    }
}

/// The pause before the next start after so many failed ones in a row: none after the first, then 100 ms, doubling. Where
/// nobody else serves, each pause is an outage, so that it stays short.
pub(crate) fn pause_after(failed_starts: u32, alone: bool) -> Duration {
    let longest = if alone { LONGEST_OUTAGE } else { LONGEST_PAUSE };
    match failed_starts {
        0 | 1 => Duration::ZERO,
        more => Duration::from_millis(100_u64 << (more - 2).min(10)).min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_a_row_of_failed_starts_is_slowed_down() {
        let pauses = |alone| [0, 1, 2, 3, 7, 8, 1000].map(|deaths| pause_after(deaths, alone).as_millis());
        assert_eq!(pauses(false), [0, 0, 100, 200, 3200, 5000, 5000]);
        assert_eq!(pauses(true), [0, 0, 100, 200, 300, 300, 300]);
    }

    #[test]
    fn a_worker_that_took_connections_is_replaced_at_once() {
        let now = Instant::now();
        let next = |ready: bool, killed: bool| {
            let (channel, mut theirs) = UnixStream::pair().unwrap();
            channel.set_nonblocking(true).unwrap();
            if ready {
                theirs.write_all(&[READY]).unwrap();
            }
            drop(theirs);
            let child = Child { pid: 1, role: Role::Worker(0), channel, age: 0, exiting: false, stopped: false, failed_starts: 5 };
            let next = child.successor(now, killed, false);
            (next.failed_starts, next.at - now)
        };
        assert_eq!(next(true, false), (0, Duration::ZERO));
        assert_eq!(next(false, true), (0, Duration::ZERO));
        assert_eq!(next(false, false), (6, Duration::from_millis(1600)));
    }
}
