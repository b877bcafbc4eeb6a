//! The invariants that the fuzz targets and the smoke test assert about any bytes.
//!
//! They panic when an invariant breaks; nothing that ships calls them.

use crate::directives::{self, FOREVER, RequestDirectives};
use crate::head::Head;
use crate::rfc9111::{self, ResponseContext};
use crate::{freshness, tags};
use wire::known::Known;

/// Any file gives a head that reads the same once it is written again, or none. As a checksum keeps out almost everything, the same bytes are
/// looked at once more with a right one.
pub fn head(data: &[u8]) {
    read(data);
    let mut data = data.to_vec();
    if let Ok(total) = Head::measure(&data)
        && let Some(bytes) = data.get(12..total)
    {
        let sum = crc32fast::hash(bytes);
        if let Some(place) = data.get_mut(8..12) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        read(&data);
    }
}

fn read(data: &[u8]) {
    let Ok(head) = Head::read(data, data.len() as u64) else { return };
    assert_eq!(head.body_start() as u64 + head.length, data.len() as u64);
    let mut again = Vec::new();
    head.write(&mut again);
    assert_eq!(again.len(), head.body_start());
    assert_eq!(Head::read(&again, data.len() as u64).as_ref(), Ok(&head));
    tags::each_of_head(&head.text, &mut |tag| assert!(!tag.is_empty()));
}

/// Any lines `NAME: VALUE` of a response are evaluated by both sets of rules, with times that do not run away.
pub fn rules(data: &[u8]) {
    const NOW: i64 = 1_700_000_000;
    let lines: Vec<(Known, &[u8], &[u8])> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (name, rest) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            Some((Known::of(name), name, rest.get(1..)?.trim_ascii()))
        })
        .collect();
    for (_, _, value) in &lines {
        directives::for_each(value, |name, argument| assert!(name.len() + argument.map_or(0, <[u8]>::len) <= value.len()));
    }
    let given = ResponseContext { request_time: NOW, now: NOW, ..ResponseContext::default() };
    if let Some(verdict) = rfc9111::evaluate(200, lines.iter().copied(), &given) {
        assert!(
            (0..=FOREVER).contains(&verdict.age) && (0..=FOREVER).contains(&verdict.updating) && (0..=FOREVER).contains(&verdict.error)
        );
        let head = Head { valid: verdict.valid, date: NOW, age: verdict.age, ..Head::default() };
        let _ = rfc9111::usable(&head, &RequestDirectives::of(lines.iter().map(|(_, _, value)| *value)), NOW);
    }
    let _ = freshness::evaluate(lines.iter().map(|(known, _, value)| (*known, *value)), freshness::IgnoredFields::default(), NOW);
}

#[cfg(test)]
mod tests {
    /// A bounded stand-in for machines without a fuzzer.
    #[test]
    fn smoke() {
        let mut file = Vec::new();
        let head = crate::Head { key: b"key".to_vec(), text: b"200 OK\r\nCache-Tag: a, b\r\n".to_vec(), room: 9, ..crate::Head::default() };
        head.write(&mut file);
        let fields = b"Cache-Control: max-age=1, no-cache=\"a\", s-maxage=\"2\"\nAge: 5\nExpires: Thu, 18 Aug 2050 02:01:18 GMT\nVary: a";
        base::mutation::fuzz(&[file], b"", 20_000, super::head);
        base::mutation::fuzz(&[fields], b"", 20_000, super::rules);
    }
}
