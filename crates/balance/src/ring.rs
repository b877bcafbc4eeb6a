//! The ring of `hash KEY consistent`: 160 points per unit of weight, as Cache::Memcached::Fast: `crc32(HOST \0 PORT PREVIOUS)`.

use crate::tier::Tier;
use std::rc::Rc;

/// Points of a server per unit of its weight.
const POINTS: i64 = 160;

/// The points of all servers, in order. A server is known by how it is written, whatever addresses it has.
#[derive(Debug)]
pub(crate) struct Ring(Vec<(u32, Rc<str>)>);

impl Ring {
    pub(crate) fn new(tier: &Tier) -> Ring {
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
    pub(crate) fn find(&self, hash: u32) -> usize {
        self.0.partition_point(|(point, _)| *point < hash)
    }

    pub(crate) fn server(&self, place: u32) -> Option<&Rc<str>> {
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
