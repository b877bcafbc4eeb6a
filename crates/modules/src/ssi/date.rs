//! Times on pages.

use super::Page;
use base::clock::{self, civil, month_name};
use http::Request;

const FORMAT: &[u8] = b"%A, %d-%b-%Y %H:%M:%S %Z";

/// `$date_local`, `$date_gmt` in the format of the page's `config timefmt`.
pub(super) fn date(request: &Request, local: bool, out: &mut Vec<u8>) -> bool {
    let page = request.find_context::<Page>();
    let format = page.as_ref().map(|page| page.time_format.borrow());
    let format = format.as_ref().and_then(|format| format.as_deref()).unwrap_or(FORMAT);
    strftime(format, clock::now().sec, local, out);
    true
}

/// The conversions of strftime(3) that dates on pages use; others are copied as they are.
fn strftime(format: &[u8], sec: i64, local: bool, out: &mut Vec<u8>) {
    use std::io::Write;
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let east = if local { clock::offset(sec) } else { 0 };
    let t = civil(sec + i64::from(east));
    let mut rest = format;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let Some((&kind, after)) = rest.split_first().filter(|_| byte == b'%') else {
            out.push(byte);
            continue;
        };
        rest = after;
        // Writing to a Vec cannot fail.
        let _ = match kind {
            b'A' => write!(out, "{}", DAYS.get(t.weekday as usize).copied().unwrap_or_default()),
            b'a' => write!(out, "{}", clock::weekday_name(t.weekday)),
            b'b' | b'h' => write!(out, "{}", month_name(t.month)),
            b'd' => write!(out, "{:02}", t.day),
            b'e' => write!(out, "{:2}", t.day),
            b'm' => write!(out, "{:02}", t.month),
            b'Y' => write!(out, "{}", t.year),
            b'y' => write!(out, "{:02}", t.year.rem_euclid(100)),
            b'H' => write!(out, "{:02}", t.hour),
            b'M' => write!(out, "{:02}", t.minute),
            b'S' => write!(out, "{:02}", t.second),
            b's' => write!(out, "{sec}"),
            b'F' => write!(out, "{}-{:02}-{:02}", t.year, t.month, t.day),
            b'T' => write!(out, "{:02}:{:02}:{:02}", t.hour, t.minute, t.second),
            b'Z' if !local || east == 0 => write!(out, "GMT"),
            b'Z' | b'z' => {
                let minutes = east.unsigned_abs() / 60;
                write!(out, "{}{:02}{:02}", if east < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
            b'%' => write!(out, "%"),
            other => out.write_all(&[b'%', other]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let mut out = Vec::new();
        strftime(b"%A, %d-%b-%Y %H:%M:%S %Z %s %%", 784_111_777, false, &mut out);
        assert_eq!(out, b"Sunday, 06-Nov-1994 08:49:37 GMT 784111777 %");
    }
}
