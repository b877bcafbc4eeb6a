//! `expires`: how long a response may be cached.

use crate::compile::complex;
use base::clock;
use base::text::{parse_time_sec, push_number};
use conf::row::Cx;
use conf::tree::Error;
use http::{Complex, Request};

/// When a response expires. Times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expires {
    Off,
    Epoch,
    Max,
    /// After the request.
    Access(i64),
    /// After the last modification.
    Modified(i64),
    /// At a time of day, local.
    Daily(i64),
    /// To be parsed for each request; with `modified`.
    Value(Box<Complex>, bool),
}

/// Parses the directive.
pub(super) fn parse_row(cx: &Cx<'_>) -> Result<Expires, Error> {
    let modified = cx.args().len() == 2;
    if modified && cx.arg(0) != b"modified" {
        return Err(cx.invalid_value(0));
    }
    let place = usize::from(modified);
    let value = complex(cx, place)?;
    match value.literal() {
        Some(text) => {
            let parsed = parse(text, modified);
            parsed.map_err(|message| cx.error_at(place, format!("\"{}\" directive {message}", cx.name())))
        }
        None => Ok(Expires::Value(Box::new(value), modified)),
    }
}

fn parse(text: &[u8], modified: bool) -> Result<Expires, &'static str> {
    match text {
        b"epoch" if !modified => return Ok(Expires::Epoch),
        b"max" if !modified => return Ok(Expires::Max),
        b"off" if !modified => return Ok(Expires::Off),
        _ => {}
    }
    let (sign, rest) = match text.split_first() {
        Some((b'@', _)) if modified => return Err("daily time cannot be used with \"modified\" parameter"),
        Some((sign @ (b'@' | b'+' | b'-'), rest)) => (*sign, rest),
        _ => (b'+', text),
    };
    let seconds = parse_time_sec(rest).and_then(|s| i64::try_from(s).ok()).ok_or("invalid value")?;
    match sign {
        b'@' if seconds > 24 * 60 * 60 => Err("daily time value must be less than 24 hours"),
        b'@' => Ok(Expires::Daily(seconds)),
        _ => {
            let seconds = if sign == b'-' { -seconds } else { seconds };
            Ok(if modified { Expires::Modified(seconds) } else { Expires::Access(seconds) })
        }
    }
}

impl Expires {
    pub(super) fn is_off(&self) -> bool {
        *self == Expires::Off
    }

    /// Sets `Expires` and `Cache-Control` of the response; a variable that holds nonsense sets nothing.
    pub(super) fn apply(&self, request: &Request) {
        if let Expires::Value(value, modified) = self {
            if let Ok(parsed) = parse(&value.to_vec(request), *modified) {
                parsed.apply(request);
            }
            return;
        }
        let mut response = request.response.borrow_mut();
        let modified = response.last_modified;
        let now = clock::now().sec;
        let (time, age) = match self {
            Expires::Off | Expires::Value(..) => return,
            Expires::Epoch => {
                response.headers.set(b"Expires", b"Thu, 01 Jan 1970 00:00:01 GMT");
                return response.headers.set(b"Cache-Control", b"no-cache");
            }
            Expires::Max => {
                response.headers.set(b"Expires", b"Thu, 31 Dec 2037 23:55:55 GMT");
                return response.headers.set(b"Cache-Control", b"max-age=315360000");
            }
            Expires::Daily(at) => {
                let time = next_time(now, *at);
                (time, time - now)
            }
            Expires::Access(0) | Expires::Modified(0) => (now, 0),
            Expires::Access(after) => (now.saturating_add(*after), *after),
            Expires::Modified(after) => match modified {
                Some(modified) => (modified.saturating_add(*after), modified.saturating_add(*after) - now),
                None => (now.saturating_add(*after), *after),
            },
        };
        let negative = matches!(self, Expires::Access(after) | Expires::Modified(after) if *after < 0);
        response.headers.set(b"Expires", &wire::date::http(time));
        if negative || age < 0 {
            return response.headers.set(b"Cache-Control", b"no-cache");
        }
        let mut value = b"max-age=".to_vec();
        push_number(&mut value, age.unsigned_abs());
        response.headers.set(b"Cache-Control", &value);
    }
}

/// The next moment whose local time of day is `at` seconds after midnight.
fn next_time(now: i64, at: i64) -> i64 {
    let east = i64::from(clock::offset(now));
    let midnight = (now + east).div_euclid(86_400) * 86_400 - east;
    if midnight + at > now { midnight + at } else { midnight + at + 86_400 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(parse(b"off", false), Ok(Expires::Off));
        assert_eq!(parse(b"1h", false), Ok(Expires::Access(3600)));
        assert_eq!(parse(b"-1", false), Ok(Expires::Access(-1)));
        assert_eq!(parse(b"+24h", true), Ok(Expires::Modified(86_400)));
        assert_eq!(parse(b"@15h30m", false), Ok(Expires::Daily(55_800)));
        assert_eq!(parse(b"@1h", true), Err("daily time cannot be used with \"modified\" parameter"));
        assert_eq!(parse(b"@25h", false), Err("daily time value must be less than 24 hours"));
        assert_eq!(parse(b"max", true), Err("invalid value"));
        assert_eq!(parse(b"", false), Err("invalid value"));
    }

    #[test]
    fn times_of_day() {
        assert_eq!(next_time(100, 3600), 3600);
        assert_eq!(next_time(4000, 3600), 86_400 + 3600);
    }
}
