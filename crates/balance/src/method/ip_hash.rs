//! nginx's hash of a client address, chained over misses.

use crate::method::search;
use crate::peer::Choice;
use crate::selection::Selection;
use crate::tier::Tier;

const START: u32 = 89;

pub(crate) fn pick(tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    let mut hash = selection.hash.unwrap_or(START);
    let choice = search(tier, selection, now_ms, |selection| {
        for byte in &selection.key {
            hash = (hash * 113 + u32::from(*byte)) % 6271;
        }
        tier.at_weight(i64::from(hash) % tier.total_weight.max(1))
    });
    selection.hash = Some(hash);
    choice
}
