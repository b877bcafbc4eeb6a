//! Databases in the older format of MaxMind, `.dat`: a binary tree over the bits of an address, whose records are numbers of three or four
//! bytes, the lowest first. A number below that of nodes is the next node, any other one stands for a country or for a place behind the
//! tree. What kind of database it is stands near the end of the file. Nothing of a file is trusted.

use std::net::IpAddr;

/// The file's kinds that have names here; each with that for IPv6.
pub(super) const COUNTRY: [u8; 2] = [1, 12];
pub(super) const CITY: [u8; 4] = [2, 6, 30, 31];
pub(super) const NAMES: [u8; 8] = [4, 5, 9, 11, 21, 22, 23, 24];

/// Cities with codes of areas.
const WITH_AREAS: [u8; 2] = [2, 30];
/// Names whose tree has numbers of four bytes: organizations, providers, domains.
const LONG: [u8; 6] = [4, 5, 11, 22, 23, 24];
/// Kinds for IPv6.
pub(super) const SIX: [u8; 7] = [12, 21, 22, 23, 24, 30, 31];
/// The number of nodes that databases of countries are taken to have: what is beyond is a country.
pub(super) const COUNTRIES_BEGIN: u32 = 16_776_960;
/// How far before the end of a file the description may stand.
const FARTHEST: usize = 20;
pub(super) const MARK: [u8; 3] = [0xff; 3];

/// A database in memory.
pub(super) struct Dat {
    bytes: Vec<u8>,
    kind: u8,
    nodes: u32,
    /// Bytes of a number in the tree.
    width: usize,
}

/// What a database of cities says of an address. Empty texts are unknown ones.
#[derive(Debug, PartialEq)]
pub(super) struct City<'a> {
    pub(super) country: u8,
    pub(super) region: &'a [u8],
    pub(super) city: &'a [u8],
    pub(super) postal_code: &'a [u8],
    pub(super) latitude: f32,
    pub(super) longitude: f32,
    pub(super) dma_code: u32,
    pub(super) area_code: u32,
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

impl Dat {
    /// Reads a file; none: it is damaged.
    pub(super) fn read(bytes: Vec<u8>) -> Option<Dat> {
        let last = bytes.len().checked_sub(MARK.len())?;
        let mark = (0..FARTHEST).find(|back| last.checked_sub(*back).is_none_or(|at| bytes.get(at..at + 3) == Some(&MARK)));
        let Some(back) = mark else {
            // The oldest files have no description, and are of countries.
            return Some(Dat { bytes, kind: COUNTRY[0], nodes: COUNTRIES_BEGIN, width: 3 });
        };
        let description = bytes.get(last.checked_sub(back)? + 3..)?;
        let kind = *description.first()?;
        let kind = if kind >= 106 { kind - 105 } else { kind };
        let width = if LONG.contains(&kind) { 4 } else { 3 };
        let nodes = if CITY.contains(&kind) || NAMES.contains(&kind) { number(description.get(1..4)?) } else { COUNTRIES_BEGIN };
        let fits = COUNTRY.contains(&kind) || usize::try_from(nodes).ok()?.checked_mul(2 * width)? <= bytes.len();
        fits.then_some(Dat { bytes, kind, nodes, width })
    }

    /// Its kind, by number.
    pub(super) fn kind(&self) -> u8 {
        self.kind
    }

    /// The number that an address leads to.
    fn seek(&self, address: Option<IpAddr>) -> Option<u32> {
        let (bits, length) = if SIX.contains(&self.kind) { (bits_of_six(address), 128) } else { (bits_of_four(address), 32) };
        let mut node = 0_u32;
        for depth in (0..length).rev() {
            let side = usize::from(bits >> depth & 1 == 1);
            let at = usize::try_from(node).ok()?.checked_mul(2 * self.width)?.checked_add(side * self.width)?;
            let next = number(self.bytes.get(at..at.checked_add(self.width)?)?);
            if next >= self.nodes {
                return Some(next);
            }
            node = next;
        }
        None
    }

    /// What stands behind the tree for an address.
    fn record(&self, address: Option<IpAddr>) -> Option<&[u8]> {
        let found = self.seek(address).filter(|found| *found != self.nodes)?;
        let before = (2 * self.width as u64 - 1) * u64::from(self.nodes);
        self.bytes.get(usize::try_from(u64::from(found) + before).ok()?..)
    }

    /// The number of an address's country.
    pub(super) fn country(&self, address: Option<IpAddr>) -> Option<u8> {
        let found = self.seek(address)?.checked_sub(COUNTRIES_BEGIN)?;
        u8::try_from(found).ok().filter(|country| *country > 0)
    }

    /// The name of an address's organization, provider, domain or network.
    pub(super) fn name(&self, address: Option<IpAddr>) -> Option<&[u8]> {
        Some(text(self.record(address)?)?.0)
    }

    /// What is known of an address's place.
    pub(super) fn city(&self, address: Option<IpAddr>) -> Option<City<'_>> {
        let (&country, rest) = self.record(address)?.split_first()?;
        let (region, rest) = text(rest)?;
        let (city, rest) = text(rest)?;
        let (postal_code, rest) = text(rest)?;
        #[expect(clippy::cast_possible_truncation, reason = "single precision, as in the C library, whose last digits are shown")]
        let degrees = |at: usize| Some((f64::from(number(rest.get(at..at + 3)?)) / 10_000.0 - 180.0) as f32);
        let (latitude, longitude) = (degrees(0)?, degrees(3)?);
        let has_areas = WITH_AREAS.contains(&self.kind) && super::countries::country(country).0 == "US";
        let areas = if has_areas { number(rest.get(6..9)?) } else { 0 };
        Some(City { country, region, city, postal_code, latitude, longitude, dma_code: areas / 1000, area_code: areas % 1000 })
    }
}

/// A text that ends with a zero byte, and what is behind it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The broadcast address stands for what has none.
fn bits_of_four(address: Option<IpAddr>) -> u128 {
    match address {
        Some(IpAddr::V4(v4)) => u128::from(v4.to_bits()),
        _ => u128::from(u32::MAX),
    }
}

fn bits_of_six(address: Option<IpAddr>) -> u128 {
    match address {
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().to_bits(),
        // Teredo (RFC 4380): the client's address stands inverted at the end.
        Some(IpAddr::V6(v6)) if v6.to_bits() >> 96 == 0x2001_0000 => !v6.to_bits() & u128::from(u32::MAX),
        Some(IpAddr::V6(v6)) => v6.to_bits(),
        None => 0,
    }
}
