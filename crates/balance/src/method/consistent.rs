//! `hash KEY consistent`: the point of a ring behind the key's hash.

use crate::method::{round_robin, take};
use crate::peer::Choice;
use crate::ring::Ring;
use crate::selection::Selection;
use crate::tier::Tier;

pub(crate) fn pick(ring: &Ring, tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    if selection.has_missed_enough() || selection.key.is_empty() {
        return round_robin::pick(tier, selection, now_ms);
    }
    if tier.peers.is_empty() {
        return None;
    }
    if let Some(bound) = tier.bound(&selection.bound, &selection.tried, now_ms)
        && let Some(choice) = take(tier, bound, selection, now_ms)
    {
        return Some(choice);
    }
    let mut place = selection.hash.unwrap_or_else(|| u32::try_from(ring.find(crc32fast::hash(&selection.key))).unwrap_or(0));
    loop {
        selection.hash = Some(place);
        let server = ring.server(place)?;
        let same = tier.candidates(&selection.tried, now_ms).filter(|(_, peer)| peer.server.source == *server);
        if let Some(index) = round_robin::smooth(tier, same, None, now_ms)
            && let Some(choice) = take(tier, index, selection, now_ms)
        {
            return Some(choice);
        }
        place = place.wrapping_add(1);
        selection.miss();
        if selection.has_missed_enough() {
            return round_robin::pick(tier, selection, now_ms);
        }
    }
}
