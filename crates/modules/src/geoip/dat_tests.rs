//! Generated databases, intact and damaged.

use super::countries::country;
use super::dat::{self, City, Dat};
use std::net::IpAddr;

/// A database of this kind that leads each of these addresses (bits, and how many of them count) to a record.
fn dat(kind: u8, width: usize, entries: &[(u128, u32, &[u8])]) -> Vec<u8> {
    let length = if dat::SIX.contains(&kind) { 128 } else { 32 };
    let mut nodes: Vec<[Option<usize>; 2]> = vec![[None, None]];
    let (mut ends, mut data) = (Vec::new(), vec![0]);
    for (bits, count, record) in entries {
        let mut node = 0;
        for depth in 0..*count {
            let side = (bits >> (length - 1 - depth) & 1) as usize;
            if depth + 1 == *count {
                ends.push((node, side, data.len(), record.first().copied().unwrap_or_default()));
                break;
            }
            node = match nodes[node][side] {
                Some(next) => next,
                None => {
                    nodes.push([None, None]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Some(next);
                    next
                }
            };
        }
        data.extend_from_slice(record);
    }
    let by_country = dat::COUNTRY.contains(&kind);
    let none = if by_country { dat::COUNTRIES_BEGIN as usize } else { nodes.len() };
    let mut out = Vec::new();
    for (node, sides) in nodes.iter().enumerate() {
        for (side, next) in sides.iter().enumerate() {
            let end = ends.iter().find(|end| (end.0, end.1) == (node, side));
            let end = end.map(|(.., at, country)| none + if by_country { usize::from(*country) } else { *at });
            out.extend_from_slice(&end.or(*next).unwrap_or(none).to_le_bytes()[..width]);
        }
    }
    out.extend_from_slice(&data);
    out.extend_from_slice(&dat::MARK);
    out.push(kind);
    out.extend_from_slice(&nodes.len().to_le_bytes()[..3]);
    out
}

/// A record of a city.
fn city(country: u8, texts: &str, latitude: f64, longitude: f64, areas: u32) -> Vec<u8> {
    let degrees = |value: f64| ((value + 180.0) * 10_000.0).round() as u32;
    let mut out = vec![country];
    out.extend(texts.bytes().map(|byte| if byte == b'|' { 0 } else { byte }));
    out.push(0);
    for value in [degrees(latitude), degrees(longitude), areas] {
        out.extend_from_slice(&value.to_le_bytes()[..3]);
    }
    out
}

fn of(address: &str) -> Option<IpAddr> {
    address.parse().ok()
}

fn mapped(address: u32) -> u128 {
    0xffff << 32 | u128::from(address)
}

#[test]
fn countries_of_both_protocols() {
    let four = Dat::read(dat(1, 3, &[(10 << 24, 8, &[185]), (0xffff_ffff, 32, &[14])])).unwrap();
    assert_eq!((four.kind(), four.country(of("10.1.2.3")), four.country(of("11.1.2.3"))), (1, Some(185), None));
    assert_eq!((four.country(of("2001:db8::1")), four.country(None)), (Some(14), Some(14)));
    let six = Dat::read(dat(12, 3, &[(mapped(10 << 24), 104, &[185]), (0x2001_0db8 << 96, 32, &[225]), (77, 128, &[38])])).unwrap();
    assert_eq!((six.country(of("10.1.2.3")), six.country(of("2001:db8::9")), six.country(of("2001:db9::"))), (Some(185), Some(225), None));
    // Teredo: the last four bytes, inverted.
    assert_eq!(six.country(of("2001:0:1:2:3:4:ffff:ffb2")), Some(38));
    assert_eq!((country(185).0, country(225).1, country(14).2, country(0).0), ("RU", "USA", "OC", "--"));
}

#[test]
fn cities_and_names() {
    let moscow = city(185, "48|Moscow|119034", 55.7543, 37.6202, 0);
    let york = city(225, "NY|New York|", 40.7, -74.0, 501_212);
    let cities = Dat::read(dat(2, 3, &[(10 << 24, 8, &moscow), (20 << 24, 8, &york)])).unwrap();
    let found = cities.city(of("20.0.0.1")).unwrap();
    let expected = City {
        country: 225,
        region: b"NY",
        city: b"New York",
        postal_code: b"",
        latitude: 40.7,
        longitude: -74.0,
        dma_code: 501,
        area_code: 212,
    };
    assert_eq!(found, expected);
    let found = cities.city(of("10.0.0.1")).unwrap();
    assert_eq!((found.city, found.dma_code, format!("{:.4}", found.latitude)), (&b"Moscow"[..], 0, "55.7543".to_owned()));
    assert_eq!(cities.city(of("30.0.0.1")), None);
    let names = Dat::read(dat(5, 4, &[(10 << 24, 8, b"Nginx\0"), (20 << 24, 8, b"Other\0")])).unwrap();
    assert_eq!(
        (names.name(of("10.0.0.1")), names.name(of("20.9.9.9")), names.name(of("1.1.1.1"))),
        (Some(&b"Nginx"[..]), Some(&b"Other"[..]), None)
    );
}

/// Whatever byte of a file is wrong, what comes is a value, none, or no database.
#[test]
fn a_damaged_database_says_something_or_nothing() {
    let record = city(225, "NY|New York|10001", 40.7, -74.0, 501_212);
    let files = [
        dat(1, 3, &[(10 << 24, 4, &[185])]),
        dat(12, 3, &[(mapped(10 << 24), 100, &[185])]),
        dat(2, 3, &[(10 << 24, 6, &record), (20 << 24, 6, &record)]),
        dat(5, 4, &[(10 << 24, 4, b"Nginx\0")]),
    ];
    let try_out = |bytes: Vec<u8>| {
        let Some(dat) = Dat::read(bytes) else { return };
        for address in ["10.1.1.1", "20.0.0.1", "255.255.255.255", "::1", "2001:db8::1", "none"] {
            let _ = (dat.country(of(address)), dat.city(of(address)).is_some(), dat.name(of(address)).is_some());
        }
    };
    for whole in files {
        for at in 0..whole.len() {
            for value in [0, 0xff, whole[at] ^ 0x10, whole[at].wrapping_add(1)] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                try_out(bytes);
            }
            try_out(whole[..at].to_vec());
            try_out(whole[at..].to_vec());
        }
    }
    assert!(Dat::read(Vec::new()).is_none() && Dat::read(vec![0xff; 3]).is_none());
    assert_eq!(Dat::read(vec![7; 100]).map(|dat| dat.kind()), Some(1), "no description");
}
