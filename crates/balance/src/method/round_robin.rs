//! Smooth weighted round robin.
//!
//! Each pick adds every server's effective weight to its current weight, takes the greatest, and subtracts the total
//! from it: with weights 5, 1, 1 the order is a a b a c a a. A failure lowers the effective weight; each later pick
//! gives back one (nginx manual, `ngx_http_upstream_module`).
//!
//! Workers that share a zone do this at the same time without a lock. Turns are only added to, so none is lost; two workers may
//! now and then take the same turn.

use crate::counters::Counter;
use crate::method::take;
use crate::peer::{Choice, Peer};
use crate::selection::Selection;
use crate::tier::Tier;
use std::rc::Rc;

pub(crate) fn pick(tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    loop {
        let bound = tier.bound(&selection.bound, &selection.tried, now_ms);
        let index = match bound {
            // One that is bound to much more than its share does not move the others' turns further and further.
            Some(index) if is_far_behind(tier, index) => index,
            _ => smooth(tier, tier.candidates(&selection.tried, now_ms), bound, now_ms)?,
        };
        if let Some(choice) = take(tier, index, selection, now_ms) {
            return Some(choice);
        }
    }
}

fn is_far_behind(tier: &Tier, index: usize) -> bool {
    let Some(peer) = tier.peers.get(index) else { return false };
    peer.get(Counter::Turn) <= -(tier.total_weight - peer.server.weight) * tier.scale
}

/// One step over `among`: the index of the winner, or of the one that wins in any case.
pub(crate) fn smooth<'a>(
    tier: &Tier,
    among: impl Iterator<Item = (usize, &'a Rc<Peer>)>,
    chosen: Option<usize>,
    now_ms: u64,
) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(usize, i64)> = None;
    for (index, peer) in among {
        let weight = peer.weight(tier.scale, now_ms);
        let turn = peer.counters().add(Counter::Turn, weight);
        total += weight;
        peer.recover();
        if best.is_none_or(|(_, most)| turn > most) {
            best = Some((index, turn));
        }
    }
    let index = chosen.or(best.map(|(index, _)| index))?;
    if total != 0 {
        tier.peers.get(index)?.counters().add(Counter::Turn, -total);
    }
    Some(index)
}
