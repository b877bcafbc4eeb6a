//! Dates in headers (RFC 9110, 5.6.7) and cookies, from and to seconds since 1970.

const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The last second of the year 9999; later times are written as this one.
const LAST: i64 = 253_402_300_799;

/// Seconds since 1970 of a date in any of the three forms: `Sun, 06 Nov 1994 08:49:37 GMT`,
/// `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. Two-digit years below 70 are in
/// this century, as in nginx. The day's name and the zone are not looked at. `None` when it is no date.
#[must_use]
pub fn parse(text: &[u8]) -> Option<i64> {
    let at = memchr::memchr2(b',', b' ', text)?;
    let asctime = text.get(at) == Some(&b' ');
    let mut read = Reader(text.get(at + 1..)?);
    read.spaces();
    let (year, month, day, seconds);
    if asctime {
        month = read.month()?;
        read.byte(b' ')?;
        if read.0.first() == Some(&b' ') {
            read.byte(b' ')?;
            day = read.digits(1)?;
        } else if read.0.get(1) == Some(&b' ') {
            day = read.digits(1)?;
        } else {
            day = read.digits(2)?;
        }
        read.byte(b' ')?;
        seconds = read.clock()?;
        read.byte(b' ')?;
        year = read.digits(4)?;
    } else {
        day = read.digits(2)?;
        let dash = read.0.first() == Some(&b'-');
        let between = if dash { b'-' } else { b' ' };
        read.byte(between)?;
        month = read.month()?;
        read.byte(between)?;
        year = if dash {
            let short = read.digits(2)?;
            short + if short < 70 { 2000 } else { 1900 }
        } else {
            read.digits(4)?
        };
        read.byte(b' ')?;
        seconds = read.clock()?;
    }
    if day < 1 || day > days_in(year, month) {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + seconds)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn spaces(&mut self) {
        while let Some(rest) = self.0.strip_prefix(b" ") {
            self.0 = rest;
        }
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, byte| byte.is_ascii_digit().then(|| n * 10 + i64::from(byte - b'0')))
    }

    /// The month's number from 1.
    fn month(&mut self) -> Option<i64> {
        let (name, rest) = self.0.split_at_checked(3)?;
        self.0 = rest;
        let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
        i64::try_from(at + 1).ok()
    }

    fn clock(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.byte(b':')?;
        let minute = self.digits(2)?;
        self.byte(b':')?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days in the proleptic Gregorian calendar; years are counted from March so that the leap day
/// comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + day_of_year - 719_468
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    weekday: i64,
    seconds: i64,
}

fn civil(time: i64) -> Civil {
    let time = time.clamp(0, LAST);
    let days = time / 86_400;
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * from_march + 2) / 5 + 1,
        weekday: (days + 4) % 7,
        seconds: time % 86_400,
    }
}

/// Puts digits at the end of what has been written so far.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn text(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(slot) = self.out.get_mut(self.at) {
                *slot = byte;
                self.at += 1;
            }
        }
    }

    fn number(&mut self, n: i64, width: u32) {
        for place in (0..width).rev() {
            let digit = n / 10i64.pow(place) % 10;
            self.text(&[b'0' + u8::try_from(digit).unwrap_or(0)]);
        }
    }

    fn clock(&mut self, seconds: i64) {
        self.number(seconds / 3600, 2);
        self.text(b":");
        self.number(seconds / 60 % 60, 2);
        self.text(b":");
        self.number(seconds % 60, 2);
        self.text(b" GMT");
    }
}

fn name(names: &'static [&'static [u8; 3]], at: i64) -> &'static [u8] {
    usize::try_from(at).ok().and_then(|at| names.get(at)).map_or(b"", |name| name.as_slice())
}

/// `time`, in seconds since 1970, as `Sun, 06 Nov 1994 08:49:37 GMT`. Times outside the years
/// 1970 to 9999 become the nearest one inside.
#[must_use]
pub fn http(time: i64) -> [u8; 29] {
    let civil = civil(time);
    let mut out = [b' '; 29];
    let mut write = Writer { out: &mut out, at: 0 };
    write.text(name(&DAYS, civil.weekday));
    write.text(b", ");
    write.number(civil.day, 2);
    write.text(b" ");
    write.text(name(&MONTHS, civil.month - 1));
    write.text(b" ");
    write.number(civil.year, 4);
    write.text(b" ");
    write.clock(civil.seconds);
    out
}

/// Appends `time` as cookies want it: `Sun, 06-Nov-94 08:49:37 GMT`, and with a four-digit year
/// after 2037, because clients read two digits above 37 as the last century (nginx's rule).
pub fn cookie(time: i64, out: &mut Vec<u8>) {
    let civil = civil(time);
    let mut text = [0; 29];
    let mut write = Writer { out: &mut text, at: 0 };
    write.text(name(&DAYS, civil.weekday));
    write.text(b", ");
    write.number(civil.day, 2);
    write.text(b"-");
    write.text(name(&MONTHS, civil.month - 1));
    write.text(b"-");
    write.number(civil.year, if civil.year > 2037 { 4 } else { 2 });
    write.text(b" ");
    write.clock(civil.seconds);
    let len = write.at;
    out.extend_from_slice(text.get(..len).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_one_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
            "x,06 Nov 1994 08:49:37",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(parse(b"Thu, 01-Jan-70 00:00:00 GMT"), Some(0));
        assert_eq!(parse(b"Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert_eq!(parse(b"Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
    }

    #[test]
    fn no_dates() {
        for text in [
            "",
            "0",
            "Sun, 06 Nov 1994",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Thu, 29 Feb 2023 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nox 1994 08:49:37 GMT",
            "Sun, 06-Nov 1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37",
            "1994-11-06",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn formats() {
        assert_eq!(&http(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&http(i64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(&http(-5), b"Thu, 01 Jan 1970 00:00:00 GMT");
        let mut out = Vec::new();
        cookie(1_290_079_655, &mut out);
        assert_eq!(out, b"Thu, 18-Nov-10 11:27:35 GMT");
        out.clear();
        cookie(4_000_000_000, &mut out);
        assert_eq!(out, b"Tue, 02-Oct-2096 07:06:40 GMT");
    }

    #[test]
    fn round_trips() {
        for day in (0..2_932_896).step_by(97) {
            let time = day * 86_400 + day % 86_400;
            assert_eq!(parse(&http(time)), Some(time));
        }
    }
}
