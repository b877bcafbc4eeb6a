//! `split_clients`: a variable for A/B tests, by a hash of a value (nginx manual, `ngx_http_split_clients_module`).

use crate::block;
use crate::compile::complex;
use base::saturated::Saturated;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::{Directive, Error};
use http::{Module, Request};
use session::{Complex, Configured, Session};
use std::rc::Rc;

/// `split_clients`.
pub const MODULE: Module = Module { rows: rows::<Request>, ..Module::named("split_clients") };

/// `split_clients` of streams.
pub const STREAM: stream::Module = stream::Module { rows: rows::<stream::Session>, ..stream::Module::named("split_clients") };

fn rows<S: Configured>() -> Vec<Row> {
    vec![Row::new("split_clients", S::OUTERMOST, Arity::exactly(2), "A variable that divides clients by a hash.", split::<S>).with_block()]
}

/// A share of all hashes: those below the limit; `None` takes the rest.
struct Part {
    limit: Option<u32>,
    value: Box<[u8]>,
}

fn split<S: Session>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let source: Complex<S> = complex(cx, 0)?;
    let name = block::variable_name(cx, 1)?;
    let parts = limits(cx, block::entries(cx)?)?;
    let get = move |session: &S, out: &mut Vec<u8>| {
        let hash = murmur2(&source.to_vec(session));
        if let Some(part) = parts.iter().find(|part| part.limit.is_none_or(|limit| hash < limit)) {
            out.extend_from_slice(&part.value);
        }
        true
    };
    block::define(cx, &name, 0, Rc::new(get))
}

fn limits(cx: &Cx<'_>, entries: &[Directive]) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    let (mut sum, mut last) = (0u64, 0u32);
    for directive in entries {
        let words = block::words(directive);
        let (share, value) = match *words {
            [share, value, ..] => (share, value),
            _ => return Err(block::error(directive, "invalid number of arguments in \"split_clients\" directive")),
        };
        let percent = match share.strip_suffix(b"%") {
            _ if share == b"*" => 0,
            Some(number) => base::text::parse_fixed(number, 2).filter(|n| *n > 0).unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        if percent == u64::MAX {
            return Err(block::error(directive, format!("invalid percent value \"{}\"", String::from_utf8_lossy(share))));
        }
        sum = if percent > 0 { sum.saturating_add(percent) } else { 10_000 };
        if sum > 10_000 {
            return Err(cx.error("percent total is greater than 100%"));
        }
        let limit = (sum != 10_000).then(|| {
            last = last.wrapping_add(u32::saturated(percent * u64::from(u32::MAX) / 10_000));
            last
        });
        parts.push(Part { limit, value: value.into() });
    }
    Ok(parts)
}

/// MurmurHash2, the 32-bit form with seed 0 that nginx has.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = u32::saturated(data.len());
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = chunk.iter().rev().fold(0u32, |k, b| k << 8 | u32::from(*b)).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0u32, |k, b| k << 8 | u32::from(*b));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_tests::{Bare, Setup};

    #[test]
    fn shares_of_clients() {
        let setup = Setup::read("split_clients $addr $v { 0.5% tiny; 49.5% half; * rest; }", rows::<Bare>(), |_| {}).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for n in 0..2000u32 {
            let address = format!("10.0.{}.{}", n / 256, n % 256);
            *counts.entry(setup.client(&address, None).variable("v").unwrap()).or_insert(0) += 1;
        }
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        assert!(of("tiny") < 40 && (800..1200).contains(&of("half")) && (800..1200).contains(&of("rest")), "{counts:?}");
    }

    #[test]
    fn what_is_refused() {
        let table = [
            ("split_clients $addr $v { x; }", "invalid number of arguments in \"split_clients\" directive"),
            ("split_clients $addr $v { 10 x; }", "invalid percent value \"10\""),
            ("split_clients $addr $v { 60% x; 50% y; }", "percent total is greater than 100%"),
        ];
        for (text, expected) in table {
            assert_eq!(Setup::read(text, rows::<Bare>(), |_| {}).err().unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn published_values_of_the_hash() {
        assert_eq!(murmur2(b""), 0);
        // Values of the reference implementation for seed 0.
        assert_eq!(murmur2(b"a"), 0x92685f5e);
        assert_eq!(murmur2(b"abc"), 0x13577c9b);
        assert_ne!(murmur2(b"abcd"), murmur2(b"abce"));
    }
}
