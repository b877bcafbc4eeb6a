//! Local time, which only the C library knows.

use std::mem::MaybeUninit;

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
    fn offset_is_a_quarter_of_an_hour_multiple_below_a_day() {
        // Since the 1990s every zone in use keeps to quarter hours.
        let offset = local_offset(1_700_000_000);
        assert_eq!(offset % 900, 0);
        assert!(offset.abs() < 86_400);
        assert_eq!(local_offset(i64::MAX), 0);
    }
}
