//! The server with the fewest requests in relation to its weight.

use crate::method::{round_robin, take};
use crate::peer::{Choice, Peer};
use crate::selection::Selection;
use crate::tier::Tier;
use std::cmp::Ordering;

pub(crate) fn pick(tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    loop {
        let index = match tier.bound(&selection.bound, &selection.tried, now_ms) {
            Some(index) => index,
            None => choose(tier, selection, now_ms)?,
        };
        if let Some(choice) = take(tier, index, selection, now_ms) {
            return Some(choice);
        }
    }
}

fn choose(tier: &Tier, selection: &Selection, now_ms: u64) -> Option<usize> {
    let load = |peer: &Peer| (i128::from(peer.connections()), i128::from(peer.weight(tier.scale, now_ms).max(1)));
    least(tier, selection, now_ms, load)
}

/// The peer with the least of what `load` says as a number and a weight to divide it by; round robin among equals.
pub(crate) fn least(tier: &Tier, selection: &Selection, now_ms: u64, load: impl Fn(&Peer) -> (i128, i128)) -> Option<usize> {
    let mut best: Option<(usize, (i128, i128))> = None;
    let mut many = false;
    for (index, peer) in tier.candidates(&selection.tried, now_ms) {
        let load = load(peer);
        match best.map_or(Ordering::Less, |(_, least)| compare(load, least)) {
            Ordering::Less => (best, many) = (Some((index, load)), false),
            Ordering::Equal => many = true,
            Ordering::Greater => {}
        }
    }
    let (index, least) = best?;
    if !many {
        return Some(index);
    }
    let equal = tier.candidates(&selection.tried, now_ms).filter(|(_, peer)| compare(load(peer), least).is_eq());
    // In a zone others may have changed all of them meanwhile.
    round_robin::smooth(tier, equal, None, now_ms).or(Some(index))
}

/// a/wa to b/wb without division.
pub(crate) fn compare(a: (i128, i128), b: (i128, i128)) -> Ordering {
    (a.0.saturating_mul(b.1)).cmp(&b.0.saturating_mul(a.1))
}
