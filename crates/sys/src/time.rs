//! Local time from the C library, and the processor time of a thread.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// The processor time that one thread has used, pthread_getcpuclockid(3). May be read from any thread of the process.
#[derive(Clone, Copy, Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The clock of the calling thread.
    ///
    /// # Errors
    /// The system has no such clocks.
    pub fn of_this_thread() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the pointer is valid for the call, and the calling thread exists.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } {
            0 => Ok(Self(clock)),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// What the thread has used so far; zero once it has ended.
    #[must_use]
    pub fn now(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is valid for the call.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return Duration::ZERO;
        }
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// The monotonic clock, clock_gettime(2): the same for all processes of the system.
#[must_use]
pub fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call. This clock exists everywhere, and a failure leaves the zeroes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Seconds that local time is ahead of UTC at `unix` (seconds since 1970), localtime_r(3): follows the `TZ`
/// environment variable. 0 when the time does not fit the C library's calendar.
#[must_use]
pub fn local_offset(unix: i64) -> i32 {
    let time: libc::time_t = unix;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; parts is zeroed, so it is initialised even when the call fails.
    let seconds = unsafe {
        libc::localtime_r(&raw const time, parts.as_mut_ptr());
        parts.assume_init().tm_gmtoff
    };
    i32::try_from(seconds).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_uses_time() {
        let clock = ThreadClock::of_this_thread().unwrap();
        let before = clock.now();
        let mut sum = 0u64;
        while clock.now() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(clock.now() > before);
        assert!(std::thread::spawn(move || clock.now() > before).join().unwrap());
    }

    #[test]
    fn offset_is_a_quarter_of_an_hour_multiple_below_a_day() {
        // Since the 1990s every zone in use keeps to quarter hours.
        let offset = local_offset(1_700_000_000);
        assert_eq!(offset % 900, 0);
        assert!(offset.abs() < 86_400);
        assert_eq!(local_offset(i64::MAX), 0);
    }
}
