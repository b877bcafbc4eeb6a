//! Values by network and by range.

use crate::cidr::{Cidr, mask_v4, mask_v6};
use foldhash::HashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Values by network; the longest prefix wins.
pub(super) struct Networks<T> {
    /// Prefix lengths in use with their networks, longest first.
    v4: Vec<(u8, HashMap<u32, T>)>,
    v6: Vec<(u8, HashMap<u128, T>)>,
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Networks { v4: Vec::new(), v6: Vec::new() }
    }
}

fn level<K, T>(levels: &mut Vec<(u8, HashMap<K, T>)>, prefix: u8) -> Option<&mut HashMap<K, T>> {
    let at = levels.partition_point(|(p, _)| *p > prefix);
    if levels.get(at).is_none_or(|(p, _)| *p != prefix) {
        levels.insert(at, (prefix, HashMap::default()));
    }
    levels.get_mut(at).map(|(_, map)| map)
}

impl<T> Networks<T> {
    /// Adds a network or replaces its value; the old one.
    pub(super) fn insert(&mut self, network: Cidr, value: T) -> Option<T> {
        match network {
            Cidr::V4(bits, prefix) => level(&mut self.v4, prefix)?.insert(bits, value),
            Cidr::V6(bits, prefix) => level(&mut self.v6, prefix)?.insert(bits, value),
            Cidr::Unix => None,
        }
    }

    /// Removes a network; its value, if it was there.
    pub(super) fn remove(&mut self, network: Cidr) -> Option<T> {
        match network {
            Cidr::V4(bits, prefix) => level(&mut self.v4, prefix)?.remove(&bits),
            Cidr::V6(bits, prefix) => level(&mut self.v6, prefix)?.remove(&bits),
            Cidr::Unix => None,
        }
    }

    /// Whether nothing was ever added.
    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The value of the longest network that holds `ip`.
    pub(super) fn find(&self, ip: IpAddr) -> Option<&T> {
        match ip {
            IpAddr::V4(v4) => self.v4.iter().find_map(|(prefix, map)| map.get(&mask_v4(v4.to_bits(), *prefix))),
            IpAddr::V6(v6) => self.v6.iter().find_map(|(prefix, map)| map.get(&mask_v6(v6.to_bits(), *prefix))),
        }
    }
}

/// Values by range of IPv4 addresses, without overlaps.
pub(super) struct Ranges<T> {
    by_start: BTreeMap<u32, (u32, T)>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Ranges { by_start: BTreeMap::new() }
    }
}

/// The parts of a range within each block of 65536 addresses: nginx compares ranges block by block.
fn parts(start: u32, end: u32) -> impl Iterator<Item = (u32, u32)> {
    (start >> 16..=end >> 16).map(move |block| (start.max(block << 16), end.min(block << 16 | 0xffff)))
}

impl<T: Clone> Ranges<T> {
    /// Adds a range. One that lies inside an earlier one takes its part of it.
    ///
    /// # Errors
    /// The earlier range that it overlaps otherwise.
    pub(super) fn insert(&mut self, start: u32, end: u32, value: &T) -> Result<(), (u32, u32)> {
        for (low, high) in parts(start, end) {
            self.insert_part(low, high, value)?;
        }
        Ok(())
    }

    fn insert_part(&mut self, low: u32, high: u32, value: &T) -> Result<(), (u32, u32)> {
        let before = self.by_start.range(..=low).next_back().filter(|(_, (end, _))| *end >= low);
        if let Some((&start, (end, old))) = before {
            let (end, old) = (*end, old.clone());
            if high > end {
                return Err((start, end));
            }
            self.by_start.remove(&start);
            if start < low {
                self.by_start.insert(start, (low - 1, old.clone()));
            }
            if high < end {
                self.by_start.insert(high + 1, (end, old));
            }
        } else if let Some((&start, (end, _))) = self.by_start.range(low..=high).next() {
            return Err((start, *end));
        }
        self.by_start.insert(low, (high, value.clone()));
        Ok(())
    }

    /// The value of exactly this range.
    pub(super) fn same(&self, start: u32, end: u32) -> Option<&T> {
        let (low, high) = parts(start, end).next()?;
        self.by_start.get(&low).filter(|(end, _)| *end == high).map(|(_, value)| value)
    }

    /// Removes a range that was added so. False: there was none.
    pub(super) fn remove(&mut self, start: u32, end: u32) -> bool {
        let mut found = false;
        for (low, high) in parts(start, end) {
            if self.by_start.get(&low).is_some_and(|(e, _)| *e == high) {
                found |= self.by_start.remove(&low).is_some();
            }
        }
        found
    }

    /// The value of the range that holds `bits`.
    pub(super) fn find(&self, bits: u32) -> Option<&T> {
        let (_, (end, value)) = self.by_start.range(..=bits).next_back()?;
        (*end >= bits).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_wins() {
        let mut networks = Networks::default();
        for (i, net) in ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "::/0", "2001:db8::/32"].iter().enumerate() {
            networks.insert(Cidr::parse(net.as_bytes()).unwrap(), i);
        }
        let find = |text: &str| networks.find(text.parse().unwrap()).copied();
        assert_eq!(find("1.1.1.1"), Some(0));
        assert_eq!(find("10.2.0.1"), Some(1));
        assert_eq!(find("10.1.0.1"), Some(2));
        assert_eq!(find("::1"), Some(3));
        assert_eq!(find("2001:db8::1"), Some(4));
        networks.remove(Cidr::parse(b"10.1.0.0/16").unwrap());
        assert_eq!(networks.find("10.1.0.1".parse().unwrap()), Some(&1));
    }

    #[test]
    fn ranges_inside_ranges() {
        let mut ranges = Ranges::default();
        ranges.insert(10, 20, &'a').unwrap();
        ranges.insert(12, 14, &'b').unwrap();
        ranges.insert(15, 20, &'c').unwrap();
        let text: String = (9..=21).map(|i| ranges.find(i).copied().unwrap_or('-')).collect();
        assert_eq!(text, "-aabbbcccccc-");
        assert_eq!(ranges.insert(19, 25, &'d'), Err((15, 20)));
        assert_eq!(ranges.insert(5, 30, &'d'), Err((10, 11)));
        ranges.remove(12, 14);
        assert_eq!(ranges.find(13), None);
        ranges.insert(0x10000 - 5, 0x20005, &'e').unwrap();
        assert_eq!(ranges.find(0x10000), Some(&'e'));
        assert_eq!(ranges.find(0x20006), None);
    }
}
