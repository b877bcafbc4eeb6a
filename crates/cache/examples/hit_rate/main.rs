//! Measures hit rates of a cache's index: S3-FIFO beside LRU, at 1, 5 and 10 % of all bytes that are asked for.
//!
//! ```text
//! cargo run --release -p lunette-cache --example hit_rate -- [--svg FILE | --limits] [TRACE ...]
//! ```
//!
//! Without a trace it makes loads of its own. A trace is a file of libCacheSim's `oracleGeneral` form (records of 24 bytes: time, object,
//! size, next use) or lines of `OBJECT,SIZE`. The table goes to standard output; with `--svg` there is a plot too.
//! With `--limits` it is another table: what LRFU with a memory of everything and the decay that suits the load best would answer, and what
//! who knows the future would.

mod limits;
mod load;
mod plot;

use cache::{Index, Policy, key};
use load::{Load, Rng};
use shm::Zone;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

/// Sizes of the cache, as parts of the footprint.
const PARTS: [f64; 3] = [0.01, 0.05, 0.10];

/// Shares of requests and of their bytes that were answered from the cache.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rates {
    pub(crate) objects: f64,
    pub(crate) bytes: f64,
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) load: String,
    pub(crate) part: f64,
    pub(crate) s3fifo: Rates,
    pub(crate) lru: Rates,
}

fn main() -> io::Result<()> {
    let (mut svg, mut limits) = (None, false);
    let mut loads = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--svg" => svg = arguments.next(),
            "--limits" => limits = true,
            path => loads.push(load::read(path)?),
        }
    }
    if loads.is_empty() {
        loads = load::synthetic(&mut Rng::new(1));
    }
    if limits {
        println!("| load | cache | LRFU with all memory | who knows the future |\n|---|---|---|---|");
        loads.iter().for_each(|load| limits::print(load, &PARTS));
        return Ok(());
    }
    let mut rows = Vec::new();
    println!("| load | cache | objects: S3-FIFO | LRU | gain | bytes: S3-FIFO | LRU | gain |\n|---|---|---|---|---|---|---|---|");
    for load in &loads {
        for part in PARTS {
            let row = measure(load, part)?;
            print(&row);
            rows.push(row);
        }
    }
    match svg {
        Some(path) => std::fs::write(path, plot::svg(&rows)),
        None => Ok(()),
    }
}

fn measure(load: &Load, part: f64) -> io::Result<Row> {
    let run = |policy| run(load, part, policy);
    Ok(Row { load: load.name.clone(), part, s3fifo: run(Policy::S3Fifo)?, lru: run(Policy::Lru)? })
}

fn print(row: &Row) {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let gain = |a: f64, b: f64| format!("{:+.1}", 100.0 * (a - b));
    println!(
        "| {} | {:.0} % | {} | {} | {} | {} | {} | {} |",
        row.load,
        100.0 * row.part,
        percent(row.s3fifo.objects),
        percent(row.lru.objects),
        gain(row.s3fifo.objects, row.lru.objects),
        percent(row.s3fifo.bytes),
        percent(row.lru.bytes),
        gain(row.s3fifo.bytes, row.lru.bytes),
    );
}

/// Plays a load through the index that servers use.
fn run(load: &Load, part: f64, policy: Policy) -> io::Result<Rates> {
    let mut sizes: HashMap<u64, u64> = HashMap::new();
    for (object, size) in &load.requests {
        sizes.entry(*object).or_insert(*size);
    }
    let footprint: u64 = sizes.values().sum();
    let room = (footprint as f64 * part) as u64;
    // A zone has room for about as many keys as administrators give it: here all that were ever asked for.
    let zone = Zone::new("keys", "cache", 100 * sizes.len() + (1 << 20))?;
    let index = Index::new(Rc::new(zone), policy, room.div_ceil(512).max(1));
    let (mut hits, mut hit_bytes, mut bytes) = (0_u64, 0_u64, 0_u64);
    let mut gone = Vec::new();
    for (object, _) in &load.requests {
        let size = sizes.get(object).copied().unwrap_or(1);
        let digest = key::digest(&object.to_le_bytes());
        bytes += size;
        if index.find(&digest, 0).is_some_and(|entry| entry.exists) {
            hits += 1;
            hit_bytes += size;
            continue;
        }
        index.count(&digest, 0, &mut gone);
        index.stored(&digest, size.div_ceil(512).max(1), 0, &mut gone);
        while index.evict(false).is_some() {}
        gone.clear();
    }
    Ok(Rates { objects: hits as f64 / load.requests.len().max(1) as f64, bytes: hit_bytes as f64 / bytes.max(1) as f64 })
}
