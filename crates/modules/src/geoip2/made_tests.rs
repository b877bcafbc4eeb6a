//! Databases for tests, written by the specification of the format (MaxMind DB 2.0): a tree of 24-bit records for IPv6, with IPv4 below `::/96`.

use crate::cidr::Cidr;
use std::collections::HashMap;

/// A value in a database.
pub(super) enum Made {
    Text(&'static str),
    Double(f64),
    Short(u16),
    Number(u32),
    Long(u64),
    Flag(bool),
    List(Vec<Made>),
    Map(Vec<(&'static str, Made)>),
}

impl Made {
    pub(super) fn map<const N: usize>(entries: [(&'static str, Made); N]) -> Made {
        Made::Map(entries.into())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Made::Text(text) => {
                head(out, 2, text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Made::Double(value) => {
                head(out, 3, 8);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Made::Short(value) => number(out, 5, &value.to_be_bytes()),
            Made::Number(value) => number(out, 6, &value.to_be_bytes()),
            Made::Long(value) => number(out, 9, &value.to_be_bytes()),
            Made::Flag(value) => head(out, 14, usize::from(*value)),
            Made::List(items) => {
                head(out, 11, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Made::Map(entries) => {
                head(out, 7, entries.len());
                for (key, value) in entries {
                    Made::Text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// Type and length in front of a value; types from 8 on stand in a byte of their own.
fn head(out: &mut Vec<u8>, kind: u8, length: usize) {
    let (short, more) = if length < 29 { (length as u8, None) } else { (29, Some((length - 29) as u8)) };
    if kind < 8 {
        out.push(kind << 5 | short);
    } else {
        out.extend_from_slice(&[short, kind - 7]);
    }
    out.extend(more);
}

/// Numbers have no leading zeroes.
fn number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let used = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..];
    head(out, kind, used.len());
    out.extend_from_slice(used);
}

/// A database that says this of these networks.
pub(super) fn database(entries: &[(&str, Made)]) -> Vec<u8> {
    let mut data = Vec::new();
    // Where each record of a node leads: to another node, or to data.
    let mut nodes: Vec<[Option<usize>; 2]> = vec![[None, None]];
    let mut values = HashMap::new();
    for (network, value) in entries {
        let (bits, length) = match Cidr::parse(network.as_bytes()).unwrap() {
            Cidr::V4(bits, prefix) => (u128::from(bits), 96 + u32::from(prefix)),
            Cidr::V6(bits, prefix) => (bits, u32::from(prefix)),
            Cidr::Unix => continue,
        };
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                values.insert((node, side), data.len());
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
        value.write(&mut data);
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for (node, sides) in nodes.iter().enumerate() {
        for (side, next) in sides.iter().enumerate() {
            let data = values.get(&(node, side)).map(|at| count + 16 + at);
            let record = data.or(*next).unwrap_or(count) as u32;
            out.extend_from_slice(&record.to_be_bytes()[1..]);
        }
    }
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&data);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    Made::map([
        ("binary_format_major_version", Made::Short(2)),
        ("binary_format_minor_version", Made::Short(0)),
        ("build_epoch", Made::Long(1_700_000_000)),
        ("database_type", Made::Text("Test")),
        ("description", Made::map([("en", Made::Text("made for tests"))])),
        ("ip_version", Made::Short(6)),
        ("languages", Made::List(vec![Made::Text("en")])),
        ("node_count", Made::Number(count as u32)),
        ("record_size", Made::Short(24)),
    ])
    .write(&mut out);
    out
}
