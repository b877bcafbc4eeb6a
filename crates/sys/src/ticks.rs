//! A timer as a descriptor, timerfd_create(2).

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Longer than anything runs.
const LONGEST: Duration = Duration::from_secs(1 << 32);

/// A descriptor that can be read once in each period, or once.
#[derive(Debug)]
pub struct Ticks(TimerFd);

impl Ticks {
    /// One that does not run yet.
    ///
    /// # Errors
    /// What timerfd_create(2) reports.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Runs from now on; the first period begins.
    ///
    /// # Errors
    /// What timerfd_settime(2) reports.
    pub fn start(&self, period: Duration) -> io::Result<()> {
        Ok(self.0.set(Expiration::Interval(spec(period)), TimerSetTimeFlags::empty())?)
    }

    /// Can be read once when so much time has passed.
    ///
    /// # Errors
    /// What timerfd_settime(2) reports.
    pub fn ring_after(&self, time: Duration) -> io::Result<()> {
        // No time at all would stop it.
        Ok(self.0.set(Expiration::OneShot(spec(time.max(Duration::from_nanos(1)))), TimerSetTimeFlags::empty())?)
    }

    /// Runs no more.
    ///
    /// # Errors
    /// What timerfd_settime(2) reports.
    pub fn stop(&self) -> io::Result<()> {
        Ok(self.0.unset()?)
    }

    /// Takes the periods that have ended.
    ///
    /// # Errors
    /// `WouldBlock` when none has.
    pub fn take(&self) -> io::Result<()> {
        Ok(self.0.wait()?)
    }
}

fn spec(time: Duration) -> TimeSpec {
    TimeSpec::from(time.min(LONGEST))
}

impl AsFd for Ticks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Ticks {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_can_be_set() {
        let ticks = Ticks::new().unwrap();
        for time in [Duration::MAX, Duration::from_millis(u64::MAX), Duration::from_nanos(u64::MAX), Duration::ZERO, LONGEST] {
            ticks.ring_after(time).unwrap();
            ticks.start(time).unwrap();
        }
    }
}
