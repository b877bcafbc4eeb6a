//! The master's table of children.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use base::errno::describe;
use base::log::Level;

use crate::console::Console;
use crate::seat::Role;

/// A worker that dies sooner after its start is taken for one that cannot start.
const QUICK: Duration = Duration::from_secs(1);

/// Longest pause between two attempts to start a worker that keeps dying.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
    pub(crate) started: Instant,
    /// How many predecessors in a row died quickly.
    pub(crate) quick_deaths: u32,
}

/// A worker to be started at a later time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Respawn {
    pub(crate) role: Role,
    pub(crate) at: Instant,
    pub(crate) quick_deaths: u32,
}

impl Child {
    /// Sends a command over the channel, or `signal` where that fails.
    pub(crate) fn tell(&mut self, command: u8, signal: i32, console: &Console) {
        if (&self.channel).write_all(&[command]).is_err() {
            self.kill(signal, console);
        }
    }

    /// Sends a signal.
    pub(crate) fn kill(&self, signal: i32, console: &Console) {
        if let Err(error) = sys::process::kill(self.pid, signal) {
            console.report(Level::Alert, &format!("kill({}, {signal}) failed {}", self.pid, describe(&error)));
        }
    }

    /// When the successor of this dead worker starts: at once, unless it is one of a row that died quickly of
    /// themselves. A worker that was `killed` from outside (SIGKILL) says nothing about its successor.
    pub(crate) fn successor(&self, now: Instant, killed: bool) -> Respawn {
        let quick = !killed && now.duration_since(self.started) < QUICK;
        let quick_deaths = if quick { self.quick_deaths.saturating_add(1) } else { 0 };
        let at = now + pause_after(quick_deaths);
        Respawn { role: self.role, at, quick_deaths }
    }
}

/// The pause before the next start after so many quick deaths in a row: none after the first, then 100 ms, doubling.
pub(crate) fn pause_after(quick_deaths: u32) -> Duration {
    match quick_deaths {
        0 | 1 => Duration::ZERO,
        more => Duration::from_millis(100_u64 << (more - 2).min(10)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_respawn_is_immediate_and_later_ones_back_off() {
        let pauses: Vec<u128> = [0, 1, 2, 3, 7, 8, 1000].map(|deaths| pause_after(deaths).as_millis()).to_vec();
        assert_eq!(pauses, [0, 0, 100, 200, 3200, 5000, 5000]);
    }
}
