//! `hash KEY consistent`: a ring of 160 points per unit of weight, as Cache::Memcached::Fast: `crc32(HOST \0 PORT PREVIOUS)`.

use crate::method::{round_robin, take};
use crate::peer::Choice;
use crate::selection::Selection;
use crate::snapshot::{Snapshot, Tier};
use std::rc::Rc;

/// Points of a server per unit of its weight.
const POINTS: i64 = 160;

/// The points of all servers, in order. A server is known by how it is written, whatever addresses it has.
#[derive(Debug)]
pub(crate) struct Ring(Vec<(u32, Rc<str>)>);

impl Ring {
    fn new(tier: &Tier) -> Ring {
        let mut points = Vec::with_capacity(usize::try_from(tier.total_weight * POINTS).unwrap_or(0));
        for peer in &tier.peers {
            let (host, port) = split(&peer.server.source);
            let mut base = crc32fast::Hasher::new();
            base.update(host.as_bytes());
            base.update(&[0]);
            base.update(port.as_bytes());
            let mut previous: u32 = 0;
            for _ in 0..peer.server.weight * POINTS {
                let mut hash = base.clone();
                hash.update(&previous.to_le_bytes());
                previous = hash.finalize();
                points.push((previous, peer.server.source.clone()));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        Ring(points)
    }

    /// The place of the first point that is not below `hash`; one behind the last if there is none.
    fn find(&self, hash: u32) -> usize {
        self.0.partition_point(|(point, _)| *point < hash)
    }

    fn server(&self, place: u32) -> Option<&Rc<str>> {
        Some(&self.0.get((place as usize).checked_rem(self.0.len())?)?.1)
    }
}

/// Host and port of a server as it is written.
fn split(source: &str) -> (&str, &str) {
    if let Some((scheme, path)) = source.split_at_checked(5)
        && scheme.eq_ignore_ascii_case("unix:")
    {
        return (path, "");
    }
    match source.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (source, ""),
    }
}

pub(crate) fn pick(snapshot: &Snapshot, tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    if selection.has_missed_enough() || snapshot.is_single() || selection.key.is_empty() {
        return round_robin::pick(tier, selection, now_ms);
    }
    if tier.peers.is_empty() {
        return None;
    }
    let ring = snapshot.ring.get_or_init(|| Ring::new(&snapshot.primary));
    if let Some(bound) = tier.bound(&selection.bound, &selection.tried, now_ms)
        && let Some(choice) = take(tier, bound, selection, now_ms)
    {
        return Some(choice);
    }
    let mut place = selection.hash.unwrap_or_else(|| u32::try_from(ring.find(crc32fast::hash(&selection.key))).unwrap_or(0));
    loop {
        selection.hash = Some(place);
        let server = ring.server(place)?;
        let same = tier.candidates(&selection.tried, now_ms).filter(|(_, peer)| peer.server.source == *server);
        if let Some(index) = round_robin::smooth(tier, same, None, now_ms)
            && let Some(choice) = take(tier, index, selection, now_ms)
        {
            return Some(choice);
        }
        place = place.wrapping_add(1);
        selection.miss();
        if selection.has_missed_enough() {
            return round_robin::pick(tier, selection, now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (source, host, port) in [
            ("a:80", "a", "80"),
            ("a", "a", ""),
            ("[::1]:80", "[::1]", "80"),
            ("[::1]", "[::1]", ""),
            ("UNIX:/a:1", "/a:1", ""),
            ("a:", "a", ""),
        ] {
            assert_eq!(split(source), (host, port), "{source}");
        }
    }
}
