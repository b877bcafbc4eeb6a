//! Whether a response may be stored and how long it is fresh, according to its head and nginx's rules.

use wire::known::Known;

/// The longest `Vary` that is honoured.
pub(crate) const LONGEST_VARY: usize = 128;

/// Fields that have no say, by configuration (`*_ignore_headers`).
#[derive(Clone, Copy, Debug, Default)]
pub struct IgnoredFields {
    /// `X-Accel-Expires`
    pub accel_expires: bool,
    /// `Expires`
    pub expires: bool,
    /// `Cache-Control`
    pub cache_control: bool,
    /// `Set-Cookie`
    pub set_cookie: bool,
    /// `Vary`
    pub vary: bool,
}

/// What a response's head says about storing it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Until when it is fresh, seconds since 1970; 0: it does not say.
    pub valid: i64,
    /// How long it may be used after that while it is fetched anew, seconds.
    pub updating: i64,
    /// How long it may be used after that when it cannot be fetched, seconds.
    pub error: i64,
    /// The names that decide which variant it is, as `Vary` gives them.
    pub vary: Vec<u8>,
    /// It must not be stored, whatever its times.
    refused: bool,
    /// `Cache-Control` forbids it.
    forbidden: bool,
    /// `Expires` lies in the past.
    expired: bool,
}

impl Freshness {
    /// Whether the head lets it be stored.
    #[must_use]
    pub fn may_store(&self) -> bool {
        !(self.refused || self.forbidden || self.expired)
    }
}

/// Evaluates a head by its fields, in order.
#[must_use]
pub fn evaluate<'a>(fields: impl Iterator<Item = (Known, &'a [u8])>, ignored: IgnoredFields, now: i64) -> Freshness {
    let mut found = Freshness::default();
    let (mut ordered, mut dated) = (false, false);
    for (known, value) in fields {
        match known {
            Known::SetCookie => found.refused |= !ignored.set_cookie,
            Known::CacheControl if !ignored.cache_control => cache_control(value, ordered, now, &mut found),
            // Of these the first alone counts.
            Known::Expires if !ignored.expires && !std::mem::replace(&mut dated, true) => expires(value, now, &mut found),
            Known::XAccelExpires if !ignored.accel_expires && !std::mem::replace(&mut ordered, true) => {
                accel_expires(value, now, &mut found);
            }
            Known::Vary if !ignored.vary => vary(value, &mut found),
            _ => {}
        }
    }
    found
}

/// `X-Accel-Expires: SECONDS` or `@TIME`; it outranks the others.
fn accel_expires(value: &[u8], now: i64, found: &mut Freshness) {
    let (absolute, digits) = match value.strip_prefix(b"@") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let Some(number) = base::text::parse_number(digits).and_then(|n| i64::try_from(n).ok()) else { return };
    if number == 0 && !absolute {
        found.refused = true;
        return;
    }
    found.valid = if absolute { number } else { now.saturating_add(number) };
    (found.forbidden, found.expired) = (false, false);
}

fn expires(value: &[u8], now: i64, found: &mut Freshness) {
    if found.valid != 0 {
        return;
    }
    match wire::date::parse(value) {
        Some(time) if time >= now => found.valid = time,
        _ => found.expired = true,
    }
}

fn cache_control(value: &[u8], ordered: bool, now: i64, found: &mut Freshness) {
    let lower = value.to_ascii_lowercase();
    let has = |word: &str| memchr::memmem::find(&lower, word.as_bytes()).is_some();
    if found.valid == 0 || !ordered {
        if has("no-cache") || has("no-store") || has("private") {
            found.forbidden = true;
            return;
        }
        match seconds(&lower, "s-maxage=").or_else(|| seconds(&lower, "max-age=")) {
            None => {}
            Some(Err(())) => {
                found.refused = true;
                return;
            }
            Some(Ok(0)) => {
                found.forbidden = true;
                return;
            }
            Some(Ok(age)) => {
                found.valid = now.saturating_add(age);
                found.expired = false;
            }
        }
    }
    if let Some(number) = seconds(&lower, "stale-while-revalidate=") {
        let Ok(number) = number else { return found.refused = true };
        (found.updating, found.error) = (number, number);
    }
    if let Some(number) = seconds(&lower, "stale-if-error=") {
        let Ok(number) = number else { return found.refused = true };
        found.error = number;
    }
}

/// The number behind `word`, if that is there; an error if it is none.
fn seconds(text: &[u8], word: &str) -> Option<Result<i64, ()>> {
    let at = memchr::memmem::find(text, word.as_bytes())?;
    let rest = text.get(at + word.len()..).unwrap_or_default();
    let mut number = 0_i64;
    for byte in rest {
        match byte {
            b',' | b';' | b' ' => break,
            b'0'..=b'9' => number = number.saturating_mul(10).saturating_add(i64::from(byte - b'0')),
            _ => return Some(Err(())),
        }
    }
    // Far enough away, and no sum of it with a time overflows.
    Some(Ok(number.min(i64::from(i32::MAX))))
}

fn vary(value: &[u8], found: &mut Freshness) {
    if !found.vary.is_empty() {
        found.vary.extend_from_slice(b", ");
    }
    found.vary.extend_from_slice(value);
    found.refused |= found.vary.len() > LONGEST_VARY || value.trim_ascii() == b"*";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluated(lines: &[(&str, &str)]) -> Freshness {
        let fields = lines.iter().map(|(name, value)| (Known::of(name.as_bytes()), value.as_bytes()));
        evaluate(fields, IgnoredFields::default(), 1000)
    }

    #[test]
    fn each_field_has_its_say() {
        let long = "x".repeat(129);
        // Fields; may be stored; fresh until, while updated, on errors.
        let table: &[(&[(&str, &str)], bool, (i64, i64, i64))] = &[
            (&[], true, (0, 0, 0)),
            (&[("Cache-Control", "max-age=60")], true, (1060, 0, 0)),
            (&[("Cache-Control", "Public, Max-Age=60, s-maxage=10")], true, (1010, 0, 0)),
            (&[("Cache-Control", "max-age=0")], false, (0, 0, 0)),
            (&[("Cache-Control", "max-age=6x")], false, (0, 0, 0)),
            (&[("Cache-Control", "no-store")], false, (0, 0, 0)),
            (&[("Cache-Control", "private, max-age=5")], false, (0, 0, 0)),
            (&[("Cache-Control", "no-cache")], false, (0, 0, 0)),
            (&[("Cache-Control", "max-age=1, stale-while-revalidate=7")], true, (1001, 7, 7)),
            (&[("Cache-Control", "max-age=1, stale-while-revalidate=7, stale-if-error=9")], true, (1001, 7, 9)),
            (&[("Cache-Control", "max-age=1"), ("Cache-Control", "stale-if-error=9")], true, (1001, 0, 9)),
            (&[("Expires", "Thu, 01 Jan 1970 01:00:00 GMT")], true, (3600, 0, 0)),
            (&[("Expires", "Thu, 01 Jan 1970 00:00:01 GMT")], false, (0, 0, 0)),
            (&[("Expires", "0")], false, (0, 0, 0)),
            (&[("Expires", "0"), ("Cache-Control", "max-age=5")], true, (1005, 0, 0)),
            (&[("Cache-Control", "max-age=5"), ("Expires", "0")], true, (1005, 0, 0)),
            (&[("X-Accel-Expires", "0")], false, (0, 0, 0)),
            (&[("X-Accel-Expires", "3")], true, (1003, 0, 0)),
            (&[("X-Accel-Expires", "@1234")], true, (1234, 0, 0)),
            (&[("X-Accel-Expires", "3"), ("X-Accel-Expires", "0")], true, (1003, 0, 0)),
            (&[("Cache-Control", "no-cache"), ("X-Accel-Expires", "3")], true, (1003, 0, 0)),
            (&[("X-Accel-Expires", "3"), ("Cache-Control", "no-cache, stale-if-error=8")], true, (1003, 0, 8)),
            (&[("Set-Cookie", "a=b"), ("Cache-Control", "max-age=5")], false, (1005, 0, 0)),
            (&[("Vary", "*")], false, (0, 0, 0)),
            (&[("Vary", &long)], false, (0, 0, 0)),
            (&[("Cache-Control", "max-age=99999999999999999999")], true, (1000 + i64::from(i32::MAX), 0, 0)),
        ];
        for (lines, may_store, times) in table {
            let found = evaluated(lines);
            assert_eq!((found.may_store(), (found.valid, found.updating, found.error)), (*may_store, *times), "{lines:?}");
        }
        assert_eq!(evaluated(&[("Vary", "Accept"), ("Vary", "Origin")]).vary, b"Accept, Origin");
    }

    #[test]
    fn what_is_ignored_has_none() {
        let all = IgnoredFields { accel_expires: true, expires: true, cache_control: true, set_cookie: true, vary: true };
        let lines: [(Known, &[u8]); 5] = [
            (Known::SetCookie, b"a=b"),
            (Known::Vary, b"*"),
            (Known::CacheControl, b"no-store"),
            (Known::Expires, b"0"),
            (Known::XAccelExpires, b"0"),
        ];
        assert_eq!(evaluate(lines.into_iter(), all, 1000), Freshness::default());
    }
}
