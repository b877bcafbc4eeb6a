//! Random selection: one server, or the better of two.

use crate::method::least_conn::compare;
use crate::method::{Measure, least_time, round_robin, search, take};
use crate::peer::{Choice, Peer};
use crate::selection::Selection;
use crate::tier::Tier;
use base::xorshift::Xorshift;
use std::cell::Cell;

/// Xorshift from a random start.
#[derive(Debug, Default)]
pub(crate) struct Rng(Cell<u64>);

impl Rng {
    /// A number below `sides`.
    fn roll(&self, sides: i64) -> i64 {
        let mut state = self.0.get();
        if state == 0 {
            // Without randomness any start will do.
            state = getrandom::u64().unwrap_or(1) | 1;
        }
        state = Xorshift::new(state).draw();
        self.0.set(state);
        i64::try_from(state >> 1).unwrap_or(0) % sides.max(1)
    }

    fn place(&self, tier: &Tier) -> Option<usize> {
        tier.at_weight(self.roll(tier.total_weight))
    }
}

pub(crate) fn pick(tier: &Tier, selection: &mut Selection, dice: &Rng, now_ms: u64) -> Option<Choice> {
    search(tier, selection, now_ms, |_| dice.place(tier))
}

pub(crate) fn pick_of_two(tier: &Tier, selection: &mut Selection, dice: &Rng, by: Option<Measure>, now_ms: u64) -> Option<Choice> {
    if selection.has_missed_enough() || tier.peers.len() < 2 {
        return round_robin::pick(tier, selection, now_ms);
    }
    if let Some(bound) = tier.bound(&selection.bound, &selection.tried, now_ms)
        && let Some(choice) = take(tier, bound, selection, now_ms)
    {
        return Some(choice);
    }
    let mut first: Option<usize> = None;
    loop {
        let index = dice.place(tier)?;
        let peer = tier.peers.get(index)?;
        if first != Some(index) && !selection.tried.has(index) && peer.is_available(now_ms) {
            let Some(other) = first.and_then(|first| tier.peers.get(first)) else {
                first = Some(index);
                continue;
            };
            let better = if is_worse(peer, other, by, now_ms) { first } else { Some(index) };
            if let Some(choice) = better.and_then(|index| take(tier, index, selection, now_ms)) {
                return Some(choice);
            }
            first = None;
        }
        selection.miss();
        if selection.has_missed_enough() {
            return round_robin::pick(tier, selection, now_ms);
        }
    }
}

fn is_worse(peer: &Peer, than: &Peer, by: Option<Measure>, now_ms: u64) -> bool {
    let load = |peer: &Peer| match by {
        None => (i128::from(peer.connections()), i128::from(peer.server.weight)),
        Some(measure) => (least_time::expected(peer, measure, now_ms), i128::from(peer.server.weight)),
    };
    compare(load(peer), load(than)).is_gt()
}
