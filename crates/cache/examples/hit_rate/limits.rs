//! What no cache of this size can do better: orders of eviction that know more than one can afford to know.

use crate::load::Load;
use std::collections::{BTreeSet, HashMap};

/// How many requests ago a request weighs a third as much, of those that are tried.
const DECAYS: [f64; 5] = [30_000.0, 100_000.0, 200_000.0, 500_000.0, 2_000_000.0];

/// A load whose objects have small numbers, with the blocks of each.
struct Numbered {
    requests: Vec<usize>,
    blocks: Vec<u64>,
}

impl Numbered {
    fn new(load: &Load) -> Numbered {
        let (mut numbers, mut blocks) = (HashMap::new(), Vec::new());
        let number = |(object, size): &(u64, u64)| {
            *numbers.entry(*object).or_insert_with(|| {
                blocks.push(size.div_ceil(512).max(1));
                blocks.len() - 1
            })
        };
        let requests = load.requests.iter().map(number).collect();
        Numbered { requests, blocks }
    }

    /// The share of requests that are answered from a cache where the object of the lowest rank goes first. `rank` gets the number of a
    /// request and its object.
    fn hits(&self, part: f64, mut rank: impl FnMut(usize, usize) -> u64) -> f64 {
        let room = (self.blocks.iter().sum::<u64>() as f64 * part) as u64;
        let mut ranks: Vec<Option<u64>> = vec![None; self.blocks.len()];
        let (mut order, mut used, mut hits) = (BTreeSet::new(), 0, 0_usize);
        for (time, &object) in self.requests.iter().enumerate() {
            let new = rank(time, object);
            match ranks[object].replace(new) {
                Some(old) => {
                    hits += 1;
                    order.remove(&(old, object));
                }
                None => used += self.blocks[object],
            }
            order.insert((new, object));
            while used > room
                && let Some((_, lowest)) = order.pop_first()
            {
                ranks[lowest] = None;
                used -= self.blocks[lowest];
            }
        }
        hits as f64 / self.requests.len().max(1) as f64
    }

    /// Belady's order: what is asked for latest goes first.
    fn belady(&self, part: f64) -> f64 {
        let mut next = vec![usize::MAX; self.requests.len()];
        let mut last = vec![usize::MAX; self.blocks.len()];
        for (time, &object) in self.requests.iter().enumerate().rev() {
            next[time] = last[object];
            last[object] = time;
        }
        self.hits(part, |time, _| u64::MAX - next[time] as u64)
    }

    /// LRFU with a memory of all objects that ever were: each request of an object counts, the less the longer ago it was.
    fn remembered(&self, part: f64, decay: f64) -> f64 {
        // Logarithms of sums that are counted from the beginning, so that they keep their order as time goes by.
        let mut weights = vec![f64::NEG_INFINITY; self.blocks.len()];
        self.hits(part, |time, object| {
            let (now, before) = (time as f64 / decay, weights[object]);
            let greater = now.max(before);
            weights[object] = greater + ((before - greater).exp() + (now - greater).exp()).ln();
            // They are not negative, so that their bits have their order.
            weights[object].max(0.0).to_bits()
        })
    }
}

/// A line of the table of limits.
pub(crate) fn print(load: &Load, parts: &[f64]) {
    let numbered = Numbered::new(load);
    for part in parts {
        let best = DECAYS.map(|decay| numbered.remembered(*part, decay)).into_iter().fold(0.0, f64::max);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        println!("| {} | {:.0} % | {} | {} |", load.name, 100.0 * part, percent(best), percent(numbered.belady(*part)));
    }
}
