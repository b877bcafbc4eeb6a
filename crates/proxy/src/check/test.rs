//! The expected response of a health check: `match { }`.

use conf::row::Cx;
use conf::tree::Directive;
use conf::tree::SettingError;
use http::{Complex, Regex, Request, Variables};
use std::ops::RangeInclusive;
use wire::h1::header::HeaderSpan;

/// Bytes of a body that are looked at, as in NGINX Plus.
pub(crate) const BODY: usize = 256 * 1024;

/// What is said of a header field.
enum HeaderTest {
    Present,
    Equal(Box<[u8]>),
    Matches(Regex),
}

struct Field {
    name: Box<[u8]>,
    test: HeaderTest,
    /// It must not be so.
    not: bool,
}

/// Everything has to be as it says; one that says nothing wants a status of 2xx or 3xx.
#[derive(Default)]
pub struct Test {
    /// Ranges of statuses, and whether it must be none of them.
    status: Option<(Vec<RangeInclusive<u16>>, bool)>,
    fields: Vec<Field>,
    body: Vec<(Regex, bool)>,
    require: Vec<Complex>,
}

/// Reads a directive of the block.
///
/// # Errors
/// It makes no sense.
pub(super) fn read(cx: &Cx<'_>, directive: &Directive, test: &mut Test) -> Result<(), SettingError> {
    let words: Vec<&[u8]> = directive.args.iter().map(|word| word.bytes.as_slice()).collect();
    let name = directive.name.text();
    let bad = || format!("invalid parameters of \"{name}\" in \"match\"");
    let regex = |pattern: &[u8]| Regex::new(pattern, false, &mut cx.global::<Variables>());
    match (&*directive.name.bytes, &*words) {
        (b"status", [_, ..]) if test.status.is_some() => return Err("\"status\" directive is duplicate".into()),
        (b"status", [first, ..]) => {
            let not = first.first() == Some(&b'!');
            let own = first.strip_prefix(b"!").unwrap_or(first);
            let all = std::iter::once(own).chain(words.iter().skip(1).copied()).filter(|word| !word.is_empty());
            let ranges: Option<Vec<_>> = all.map(range).collect();
            test.status = Some((ranges.filter(|ranges| !ranges.is_empty()).ok_or_else(bad)?, not));
        }
        (b"header", [name]) => test.fields.push(Field { name: (*name).into(), test: HeaderTest::Present, not: false }),
        (b"header", [b"!", name]) => test.fields.push(Field { name: (*name).into(), test: HeaderTest::Present, not: true }),
        (b"header", [name, how, value]) => {
            let (wanted, not) = match *how {
                b"=" => (HeaderTest::Equal((*value).into()), false),
                b"!=" => (HeaderTest::Equal((*value).into()), true),
                b"~" => (HeaderTest::Matches(regex(value)?), false),
                b"!~" => (HeaderTest::Matches(regex(value)?), true),
                _ => return Err(bad().into()),
            };
            test.fields.push(Field { name: (*name).into(), test: wanted, not });
        }
        (b"body", [how @ (b"~" | b"!~"), pattern]) => test.body.push((regex(pattern)?, *how == b"!~")),
        (b"require", [_, ..]) => {
            for word in words {
                if word.first() != Some(&b'$') {
                    return Err(format!("invalid variable name \"{}\"", String::from_utf8_lossy(word)).into());
                }
                test.require.push(Complex::compile(word, &mut cx.global::<Variables>())?);
            }
        }
        (b"status" | b"header" | b"body" | b"require", _) => return Err(bad().into()),
        _ => return Err(format!("unknown directive \"{name}\"").into()),
    }
    Ok(())
}

/// `200` or `200-399`.
fn range(word: &[u8]) -> Option<RangeInclusive<u16>> {
    let number = |text: &[u8]| base::text::parse_number(text).and_then(|n| u16::try_from(n).ok()).filter(|n| (100..=999).contains(n));
    match memchr::memchr(b'-', word) {
        Some(at) => {
            let range = number(word.get(..at)?)?..=number(word.get(at + 1..)?)?;
            (!range.is_empty()).then_some(range)
        }
        None => number(word).map(|status| status..=status),
    }
}

impl Test {
    /// How much of a body it looks at.
    pub(crate) fn body_wanted(&self) -> usize {
        if self.body.is_empty() { 0 } else { BODY }
    }

    /// Whether a status is as it should be.
    pub(crate) fn matches_status(&self, status: u16) -> bool {
        match &self.status {
            None => true,
            Some((ranges, not)) => ranges.iter().any(|range| range.contains(&status)) != *not,
        }
    }

    /// Whether the header is: `head` with its `lines`.
    pub(crate) fn matches_header(&self, head: &[u8], lines: &[HeaderSpan]) -> bool {
        self.fields.iter().all(|field| {
            let mut values =
                lines.iter().filter(|line| line.name.of(head).eq_ignore_ascii_case(&field.name)).map(|line| line.value.of(head));
            let found = match &field.test {
                HeaderTest::Present => values.next().is_some(),
                HeaderTest::Equal(text) => values.any(|value| *value == **text),
                HeaderTest::Matches(regex) => values.any(|value| regex.is_match(value)),
            };
            found != field.not
        })
    }

    /// Whether the body is.
    pub(crate) fn matches_body(&self, body: &[u8]) -> bool {
        self.body.iter().all(|(regex, not)| regex.is_match(body) != *not)
    }

    /// Whether all variables that it requires are neither empty nor `0`.
    pub(crate) fn has_all(&self, request: &Request) -> bool {
        self.require.iter().all(|value| {
            let value = value.to_vec(request);
            !value.is_empty() && value != b"0"
        })
    }

    /// Whether it wants anything of these.
    pub(crate) fn required_parts(&self) -> [bool; 3] {
        [!self.fields.is_empty(), !self.body.is_empty(), !self.require.is_empty()]
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn statuses() {
        assert_eq!(range(b"200"), Some(200..=200));
        assert_eq!(range(b"200-399"), Some(200..=399));
        for bad in ["", "-", "20", "399-200", "200-", "-300", "200-300-400", "1000", "x"] {
            assert_eq!(range(bad.as_bytes()), None, "{bad}");
        }
    }
}
