//! Dates in a format of strftime(3), in English.

use crate::clock::{self, Civil, civil, month_name, weekday_name};
use std::io::Write;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// Appends the moment `sec` (seconds since the epoch), in local time or in GMT. Unknown conversions are copied as they are.
pub fn push(format: &[u8], sec: i64, local: bool, out: &mut Vec<u8>) {
    let east = if local { clock::offset(sec) } else { 0 };
    let moment = DateTime { at: civil(sec.saturating_add(i64::from(east))), sec, east, local };
    moment.push_all(format, out);
}

struct DateTime {
    at: Civil,
    sec: i64,
    /// Seconds east of Greenwich.
    east: i32,
    local: bool,
}

impl DateTime {
    fn push_all(&self, format: &[u8], out: &mut Vec<u8>) {
        let mut rest = format;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match rest.split_first().filter(|_| byte == b'%') {
                None => out.push(byte),
                Some((&kind, after)) => {
                    rest = after;
                    self.push_one(kind, out);
                }
            }
        }
    }

    fn push_one(&self, kind: u8, out: &mut Vec<u8>) {
        let t = &self.at;
        let made_of: &[u8] = match kind {
            b'c' => b"%a %b %e %H:%M:%S %Y",
            b'D' | b'x' => b"%m/%d/%y",
            b'F' => b"%Y-%m-%d",
            b'R' => b"%H:%M",
            b'T' | b'X' => b"%H:%M:%S",
            b'r' => b"%I:%M:%S %p",
            _ => b"",
        };
        if !made_of.is_empty() {
            return self.push_all(made_of, out);
        }
        // Writing to a Vec cannot fail.
        let _ = match kind {
            b'A' => write!(out, "{}", DAYS.get(t.weekday as usize).copied().unwrap_or_default()),
            b'a' => write!(out, "{}", weekday_name(t.weekday)),
            b'B' => write!(out, "{}", MONTHS.get(t.month.wrapping_sub(1) as usize).copied().unwrap_or_default()),
            b'b' | b'h' => write!(out, "{}", month_name(t.month)),
            b'C' => write!(out, "{:02}", t.year.div_euclid(100)),
            b'd' => write!(out, "{:02}", t.day),
            b'e' => write!(out, "{:2}", t.day),
            b'H' => write!(out, "{:02}", t.hour),
            b'I' => write!(out, "{:02}", self.hour_of_twelve()),
            b'j' => write!(out, "{:03}", self.day_of_year()),
            b'k' => write!(out, "{:2}", t.hour),
            b'l' => write!(out, "{:2}", self.hour_of_twelve()),
            b'M' => write!(out, "{:02}", t.minute),
            b'm' => write!(out, "{:02}", t.month),
            b'n' => writeln!(out),
            b'p' => write!(out, "{}", if t.hour < 12 { "AM" } else { "PM" }),
            b'P' => write!(out, "{}", if t.hour < 12 { "am" } else { "pm" }),
            b'S' => write!(out, "{:02}", t.second),
            b's' => write!(out, "{}", self.sec),
            b't' => write!(out, "\t"),
            b'u' => write!(out, "{}", if t.weekday == 0 { 7 } else { t.weekday }),
            b'w' => write!(out, "{}", t.weekday),
            b'Y' => write!(out, "{}", t.year),
            b'y' => write!(out, "{:02}", t.year.rem_euclid(100)),
            b'Z' if !self.local || self.east == 0 => write!(out, "GMT"),
            b'Z' | b'z' => {
                let minutes = self.east.unsigned_abs() / 60;
                write!(out, "{}{:02}{:02}", if self.east < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
            b'%' => write!(out, "%"),
            other => out.write_all(&[b'%', other]),
        };
    }

    fn hour_of_twelve(&self) -> u32 {
        match self.at.hour % 12 {
            0 => 12,
            hour => hour,
        }
    }

    /// 1 to 366.
    fn day_of_year(&self) -> u32 {
        let leap = self.at.year % 4 == 0 && (self.at.year % 100 != 0 || self.at.year % 400 == 0);
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let days = before.get(self.at.month.wrapping_sub(1) as usize).copied().unwrap_or_default();
        days + self.at.day + u32::from(leap && self.at.month > 2)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn conversions() {
        let cases: [(&str, &str); 8] = [
            ("%A, %d-%b-%Y %H:%M:%S %Z %s %%", "Sunday, 06-Nov-1994 08:49:37 GMT 784111777 %"),
            ("%F %T %R %D", "1994-11-06 08:49:37 08:49 11/06/94"),
            ("%c|%r|%x|%X", "Sun Nov  6 08:49:37 1994|08:49:37 AM|11/06/94|08:49:37"),
            ("%a %B %h %C %e %y", "Sun November Nov 19  6 94"),
            ("%I %l %k %p %P %j %u %w", "08  8  8 AM am 310 7 0"),
            ("%z %n%t", "+0000 \n\t"),
            ("%Q %", "%Q %"),
            ("", ""),
        ];
        for (format, expected) in cases {
            let mut out = Vec::new();
            super::push(format.as_bytes(), 784_111_777, false, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        let mut out = Vec::new();
        // The last day of a leap year, at noon.
        super::push(b"%j %I %p", 1_735_646_400, false, &mut out);
        assert_eq!(out, b"366 12 PM");
    }
}
