//! The clock of one event loop: read from the kernel at most once per turn, formatted at most once per second.
//!
//! Both clocks advance alike until somebody sets that of the day, so one of them is read in each turn and the other only now and then.
//!
//! `ngx.now()`, `$msec` and every log line see the same instant within one turn, as in nginx, which updates its
//! cached time once per `epoll_wait`. The event loop calls [`stale`] when it wakes; the next reader refreshes.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

thread_local! {
    static FRESH: Cell<bool> = const { Cell::new(false) };
    static NOW: Cell<Now> = const { Cell::new(Now { sec: 0, msec: 0, monotonic_ms: 0 }) };
    /// The part of [`NOW`] that deadlines are counted by, at hand.
    static MONOTONIC: Cell<u64> = const { Cell::new(0) };
    /// [`Now::epoch_ms`] of [`NOW`], at hand.
    static EPOCH: Cell<u64> = const { Cell::new(0) };
    static TIES: Cell<Tie> = const { Cell::new(Tie { origin: 0, until: 0 }) };
    static OFFSET: Cell<Option<fn(i64) -> i32>> = const { Cell::new(None) };
    static TEXTS: RefCell<Texts> = const { RefCell::new(Texts::new()) };
}

/// Where monotonic time begins; all threads of a process and its children agree on it.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// So long a reading of the clock of the day lasts: who sets it is noticed that much later. In nanoseconds.
const LASTS: u64 = 10_000_000;

/// How the clock of the day stands to the other, in nanoseconds.
#[derive(Clone, Copy)]
struct Tie {
    /// What it showed where the other begins.
    origin: u64,
    /// When it is to be read again, on the other.
    until: u64,
}

/// One instant, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Seconds since the epoch.
    pub sec: i64,
    /// Milliseconds within that second.
    pub msec: u32,
    /// Milliseconds on a clock that is never set back; its origin is arbitrary.
    pub monotonic_ms: u64,
}

impl Now {
    /// Milliseconds since the epoch.
    pub fn epoch_ms(self) -> u64 {
        (self.sec.max(0) as u64) * 1000 + u64::from(self.msec)
    }
}

/// Marks the cached time as out of date; the next [`now`] reads the clocks.
pub fn stale() {
    FRESH.set(false);
}

/// The time of this turn of the event loop.
#[inline]
pub fn now() -> Now {
    if !FRESH.get() {
        update();
    }
    NOW.get()
}

/// [`Now::epoch_ms`] of this turn of the event loop.
#[inline]
pub fn epoch_ms() -> u64 {
    if !FRESH.get() {
        update();
    }
    EPOCH.get()
}

/// [`Now::monotonic_ms`] of this turn of the event loop.
#[inline]
pub fn monotonic_ms() -> u64 {
    if !FRESH.get() {
        update();
    }
    MONOTONIC.get()
}

/// Reads the clocks at once (`ngx.update_time`).
#[cold]
pub fn update() {
    let mut monotonic = monotonic();
    let mut tie = TIES.get();
    if monotonic >= tie.until {
        // In this order the time that passes between the two readings makes no later one lie before an earlier one.
        let wall = nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        monotonic = self::monotonic();
        tie = Tie { origin: wall.wrapping_sub(monotonic), until: monotonic.saturating_add(LASTS) };
        TIES.set(tie);
    }
    let wall_ms = tie.origin.wrapping_add(monotonic) / NANOSECONDS;
    let monotonic_ms = monotonic / NANOSECONDS + 1;
    MONOTONIC.set(monotonic_ms);
    let now = Now { sec: (wall_ms / 1000) as i64, msec: (wall_ms % 1000) as u32, monotonic_ms };
    EPOCH.set(now.epoch_ms());
    NOW.set(now);
    FRESH.set(true);
}

/// Of a millisecond.
const NANOSECONDS: u64 = 1_000_000;

/// Nanoseconds since monotonic time began.
fn monotonic() -> u64 {
    nanoseconds(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// They last for five hundred years.
fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().wrapping_mul(1000 * NANOSECONDS).wrapping_add(time.subsec_nanos().into())
}

/// Installs the function that gives the local time's offset from UTC, in seconds east, for an instant.
/// Without one, local time is UTC.
pub fn set_offset(offset: fn(i64) -> i32) {
    OFFSET.set(Some(offset));
    TEXTS.with_borrow_mut(|texts| *texts = Texts::new());
}

/// Seconds east of UTC of local time at `sec`.
pub fn offset(sec: i64) -> i32 {
    OFFSET.get().map_or(0, |f| f(sec))
}

/// A calendar date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, e.g. 2026.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
}

/// The proleptic Gregorian date of `sec` seconds since the epoch.
pub fn civil(sec: i64) -> Civil {
    let days = sec.div_euclid(86_400);
    let small = |value: i64| u32::try_from(value).unwrap_or_default();
    let rest = small(sec.rem_euclid(86_400));
    // Days are counted from 0000-03-01, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month: small(month),
        day: small(day_of_year - (153 * shifted_month + 2) / 5 + 1),
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
        weekday: small((days + 4).rem_euclid(7)),
    }
}

/// Three-letter English month names, January first.
pub const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Three-letter English day names, Sunday first.
pub(crate) const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Name of month `month` (1 to 12), or an empty string.
pub fn month_name(month: u32) -> &'static str {
    MONTHS.get(month.wrapping_sub(1) as usize).copied().unwrap_or_default()
}

/// Name of day `weekday` (0 is Sunday), or an empty string.
pub(crate) fn weekday_name(weekday: u32) -> &'static str {
    WEEKDAYS.get(weekday as usize).copied().unwrap_or_default()
}

/// The formatted times that nginx keeps per second.
struct Texts {
    sec: i64,
    http: String,
    error_log: String,
    access_log: String,
    iso8601: String,
}

impl Texts {
    const fn new() -> Self {
        Texts { sec: i64::MIN, http: String::new(), error_log: String::new(), access_log: String::new(), iso8601: String::new() }
    }

    fn refresh(&mut self, sec: i64) {
        if self.sec == sec {
            return;
        }
        use std::fmt::Write;
        let utc = civil(sec);
        let east = offset(sec);
        let local = civil(sec + i64::from(east));
        let sign = if east < 0 { '-' } else { '+' };
        let minutes = east.unsigned_abs() / 60;
        let (zone_h, zone_m) = (minutes / 60, minutes % 60);
        for text in [&mut self.http, &mut self.error_log, &mut self.access_log, &mut self.iso8601] {
            text.clear();
        }
        // Writing to a String cannot fail.
        let _ = write!(
            self.http,
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            weekday_name(utc.weekday),
            utc.day,
            month_name(utc.month),
            utc.year,
            utc.hour,
            utc.minute,
            utc.second
        );
        let Civil { year, month, day, hour, minute, second, .. } = local;
        let _ = write!(self.error_log, "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}");
        let _ = write!(
            self.access_log,
            "{day:02}/{}/{year:04}:{hour:02}:{minute:02}:{second:02} {sign}{zone_h:02}{zone_m:02}",
            month_name(month)
        );
        let _ = write!(self.iso8601, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{zone_h:02}:{zone_m:02}");
        self.sec = sec;
    }
}

/// Runs `f` on the current HTTP date, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub fn with_http_date<R>(f: impl FnOnce(&str) -> R) -> R {
    with_texts(|t| f(&t.http))
}

/// Runs `f` on the error log's time, local, `2026/11/23 10:15:31`.
pub(crate) fn with_error_log_time<R>(f: impl FnOnce(&str) -> R) -> R {
    with_texts(|t| f(&t.error_log))
}

/// Runs `f` on `$time_local`, `23/Nov/2026:10:15:31 +0000`.
pub fn with_access_log_time<R>(f: impl FnOnce(&str) -> R) -> R {
    with_texts(|t| f(&t.access_log))
}

/// Runs `f` on `$time_iso8601`, `2026-11-23T10:15:31+00:00`.
pub fn with_iso8601<R>(f: impl FnOnce(&str) -> R) -> R {
    with_texts(|t| f(&t.iso8601))
}

fn with_texts<R>(f: impl FnOnce(&Texts) -> R) -> R {
    let sec = now().sec;
    TEXTS.with_borrow_mut(|texts| {
        texts.refresh(sec);
        f(texts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        let c = civil(784_111_777);
        assert_eq!((c.year, c.month, c.day, c.hour, c.minute, c.second, c.weekday), (1994, 11, 6, 8, 49, 37, 0));
        let leap = civil(951_782_400);
        assert_eq!((leap.year, leap.month, leap.day), (2000, 2, 29));
        let before = civil(-1);
        assert_eq!((before.year, before.month, before.day, before.second), (1969, 12, 31, 59));
    }

    #[test]
    fn the_time_stands_still_within_a_turn() {
        update();
        let first = now().epoch_ms();
        assert_eq!(now().epoch_ms(), first);
        stale();
        assert!(now().epoch_ms() >= first);
    }

    #[test]
    fn the_clock_of_the_day_is_read_again_before_long_and_never_runs_ahead() {
        let of_day = || nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()) / NANOSECONDS;
        update();
        // As if somebody had set it by an hour: what was read last still holds.
        let tie = TIES.get();
        TIES.set(Tie { origin: tie.origin.wrapping_sub(3_600_000 * NANOSECONDS), until: u64::MAX });
        update();
        assert!(now().epoch_ms() + 3_500_000 < of_day());
        TIES.set(Tie { until: 0, ..TIES.get() });
        let mut last = 0;
        for _ in 0..1000 {
            let before = of_day();
            update();
            let shown = now().epoch_ms();
            assert!(shown >= last && shown <= of_day(), "{last} {shown}");
            assert!(shown + 60_000 >= before, "{shown} instead of {before}");
            last = shown;
            assert!(TIES.get().until > 0 && EPOCH.get() == shown && MONOTONIC.get() == now().monotonic_ms);
        }
    }

    #[test]
    fn formats() {
        let mut texts = Texts::new();
        texts.refresh(784_111_777);
        assert_eq!(texts.http, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(texts.error_log, "1994/11/06 08:49:37");
        assert_eq!(texts.access_log, "06/Nov/1994:08:49:37 +0000");
        assert_eq!(texts.iso8601, "1994-11-06T08:49:37+00:00");
    }
}
