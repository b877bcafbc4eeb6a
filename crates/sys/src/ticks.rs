//! A timer as a descriptor, timerfd_create(2).

use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

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
        let period = TimeSpec::nanoseconds(i64::try_from(period.as_nanos()).unwrap_or(i64::MAX));
        Ok(self.0.set(Expiration::Interval(period), TimerSetTimeFlags::empty())?)
    }

    /// Can be read once when so much time has passed.
    ///
    /// # Errors
    /// What timerfd_settime(2) reports.
    pub fn ring_after(&self, time: Duration) -> io::Result<()> {
        // No time at all would stop it.
        let time = TimeSpec::nanoseconds(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).max(1));
        Ok(self.0.set(Expiration::OneShot(time), TimerSetTimeFlags::empty())?)
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
