//! `Cache-Control` and fields with the same syntax: a list of directives, some with an argument (RFC 9111, 5.2).

/// The largest number of seconds: further away makes no difference, and no sum of it with a time overflows.
pub const FOREVER: i64 = i32::MAX as i64;

/// Calls `each` with the directives of one line, in order. Text in quotes is no directive.
pub fn for_each<'a>(line: &'a [u8], mut each: impl FnMut(&'a [u8], Option<&'a [u8]>)) {
    let mut rest = line;
    while let Some(start) = rest.iter().position(|byte| *byte != b',' && !byte.is_ascii_whitespace()) {
        rest = rest.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'=')).unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(end).unwrap_or((rest, b""));
        match behind.strip_prefix(b"=") {
            // A space before the sign stays with the name, which nobody knows then.
            Some(argument) => {
                let (value, left) = take_argument(argument);
                each(name, Some(value));
                rest = left;
            }
            None => {
                each(name.trim_ascii_end(), None);
                rest = behind;
            }
        }
    }
}

/// An argument, without its quotes, and what stands behind it.
fn take_argument(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b',', text).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, b""));
        return (value.trim_ascii_end(), rest);
    };
    let mut escaped = false;
    let end = quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (value, rest) = quoted.split_at_checked(end.unwrap_or(quoted.len())).unwrap_or((quoted, b""));
    let next = memchr::memchr(b',', rest).unwrap_or(rest.len());
    (value, rest.get(next..).unwrap_or_default())
}

/// A number of seconds; `None` if it is none.
#[must_use]
pub fn seconds(text: &[u8]) -> Option<i64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(FOREVER)))
}

/// What a request wants of caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Nothing that the upstream has not confirmed.
    pub no_cache: bool,
    /// Its response is not kept.
    pub no_store: bool,
    /// The upstream is not asked.
    pub only_if_cached: bool,
    /// The highest age of a response, seconds.
    pub max_age: Option<i64>,
    /// For how long a response may have been stale, seconds.
    pub max_stale: Option<i64>,
    /// For how long a response must stay fresh, seconds.
    pub min_fresh: Option<i64>,
}

impl RequestDirectives {
    /// Those of the lines of a request's `Cache-Control`. A number that is none is as if it were not there.
    pub fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> RequestDirectives {
        let mut wishes = RequestDirectives::default();
        for line in lines {
            for_each(line, |name, value| {
                let number = value.and_then(seconds);
                match &name.to_ascii_lowercase()[..] {
                    b"no-cache" => wishes.no_cache = true,
                    b"no-store" => wishes.no_store = true,
                    b"only-if-cached" => wishes.only_if_cached = true,
                    b"max-age" => wishes.max_age = wishes.max_age.or(number),
                    b"max-stale" => wishes.max_stale = wishes.max_stale.or(if value.is_none() { Some(FOREVER) } else { number }),
                    b"min-fresh" => wishes.min_fresh = wishes.min_fresh.or(number),
                    _ => {}
                }
            });
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(line: &str) -> Vec<String> {
        let mut found = Vec::new();
        for_each(line.as_bytes(), |name, value| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push(format!("{}:{}", text(name), value.map_or("-".to_owned(), text)));
        });
        found
    }

    #[test]
    fn words_and_arguments() {
        assert_eq!(listed(" a , b=1,,c = 2, d=\"x, e=3\" , f"), ["a:-", "b:1", "c : 2", "d:x, e=3", "f:-"]);
        assert_eq!(listed("a=\"b\\\"c\", d=\"open, e"), ["a:b\\\"c", "d:open, e"]);
        assert_eq!(listed(""), [""; 0]);
        let table = [("0", Some(0)), ("007", Some(7)), ("99999999999999999999", Some(FOREVER)), ("", None), ("-1", None), ("1.0", None)];
        for (text, wanted) in table {
            assert_eq!(seconds(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn wishes_of_requests() {
        let of = |lines: &[&'static str]| RequestDirectives::of(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(of(&[]), RequestDirectives::default());
        assert_eq!(
            of(&["No-Cache, max-age=x", "max-age=5"]),
            RequestDirectives { no_cache: true, max_age: Some(5), ..RequestDirectives::default() }
        );
        assert_eq!(of(&["max-stale"]).max_stale, Some(FOREVER));
        assert_eq!(
            of(&["max-stale=9, min-fresh=3"]),
            RequestDirectives { max_stale: Some(9), min_fresh: Some(3), ..RequestDirectives::default() }
        );
        assert!(of(&["only-if-cached"]).only_if_cached && of(&["no-store"]).no_store);
    }
}
