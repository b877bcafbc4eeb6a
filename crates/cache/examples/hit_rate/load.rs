//! Loads: made by chance, or read from traces.

use base::xorshift::Xorshift;
use std::io;

/// Requests for objects with sizes.
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) requests: Vec<(u64, u64)>,
}

/// Requests of a load that is made.
const REQUESTS: usize = 2_000_000;
/// Objects that are asked for again and again.
const OBJECTS: usize = 200_000;

/// Random numbers, the same in each run.
pub(crate) struct Rng(Xorshift);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(Xorshift::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    fn next(&mut self) -> u64 {
        self.0.draw().wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks by Zipf's law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf(sums.collect())
    }

    fn rank(&self, rng: &mut Rng) -> u64 {
        let total = self.0.last().copied().unwrap_or(1.0);
        let wanted = rng.unit() * total;
        self.0.partition_point(|sum| *sum < wanted) as u64
    }
}

/// A size between 1 and 256 KiB, small ones more often; the same for an object each time.
fn size(object: u64) -> u64 {
    let mut rng = Rng::new(object ^ 0x5bd1_e995);
    rng.next();
    (1024.0 * 256_f64.powf(rng.unit())) as u64
}

/// Zipf's law alone; with crawlers that go through much that nobody else wants; with favourites that change; with both.
pub(crate) fn synthetic(rng: &mut Rng) -> Vec<Load> {
    [("Zipf 0.9", 0.0, 0), ("with scans", 0.3, 0), ("with shifts", 0.0, 100_000), ("with scans and shifts", 0.3, 100_000)]
        .map(|(name, scans, shift)| Load { name: name.to_owned(), requests: made(rng, scans, shift) })
        .into()
}

/// `scans`: the share of requests that crawlers make; `shift`: requests after which a tenth of all objects gives way to new ones that are
/// as popular, or 0.
fn made(rng: &mut Rng, scans: f64, shift: usize) -> Vec<(u64, u64)> {
    let zipf = Zipf::new(OBJECTS, 0.9);
    let mut generations = vec![0_u64; OBJECTS];
    let mut crawled = 1_u64 << 60;
    let mut crawling = 0;
    let mut requests = Vec::with_capacity(REQUESTS);
    while requests.len() < REQUESTS {
        if shift > 0 && requests.len() % shift == shift - 1 {
            generations.iter_mut().filter(|_| rng.unit() < 0.1).for_each(|generation| *generation += 1);
        }
        // Crawlers come in runs of a thousand requests among which others go on.
        if crawling == 0 && scans > 0.0 && rng.unit() < scans / 1000.0 / (1.0 - 2.0 * scans) {
            crawling = 1000;
        }
        if crawling > 0 && rng.unit() < 0.5 {
            crawling -= 1;
            crawled += 1;
            requests.push((crawled, size(crawled)));
            continue;
        }
        let rank = zipf.rank(rng);
        let generation = generations.get(rank as usize).copied().unwrap_or(0);
        let object = (rank << 20) + generation;
        requests.push((object, size(object)));
    }
    requests
}

/// Reads a trace.
pub(crate) fn read(path: &str) -> io::Result<Load> {
    let bytes = std::fs::read(path)?;
    let name = std::path::Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let requests = if path.ends_with(".bin") { binary(&bytes) } else { lines(&bytes) };
    Ok(Load { name, requests })
}

fn binary(bytes: &[u8]) -> Vec<(u64, u64)> {
    let record = |record: &[u8]| {
        let object = u64::from_le_bytes(record.get(4..12)?.try_into().ok()?);
        let size = u32::from_le_bytes(record.get(12..16)?.try_into().ok()?);
        Some((object, u64::from(size)))
    };
    bytes.chunks_exact(24).filter_map(record).collect()
}

fn lines(bytes: &[u8]) -> Vec<(u64, u64)> {
    let text = String::from_utf8_lossy(bytes);
    let request = |line: &str| {
        let (object, size) = line.split_once(',')?;
        Some((object.trim().parse().ok()?, size.trim().parse().ok()?))
    };
    text.lines().filter_map(request).collect()
}
