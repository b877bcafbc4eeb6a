//! `hash KEY`: as Cache::Memcached, `((crc32([REHASH] KEY) >> 16) & 0x7fff) + PREVIOUS`, with REHASH left out at first.

use crate::method::{round_robin, search};
use crate::peer::Choice;
use crate::selection::Selection;
use crate::tier::Tier;

pub(crate) fn pick(tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
    if selection.key.is_empty() {
        return round_robin::pick(tier, selection, now_ms);
    }
    search(tier, selection, now_ms, |selection| {
        let mut crc = crc32fast::Hasher::new();
        if selection.hashed > 0 {
            crc.update(selection.hashed.to_string().as_bytes());
        }
        crc.update(&selection.key);
        let part = (crc.finalize() >> 16) & 0x7fff;
        let hash = selection.hash.unwrap_or(0).wrapping_add(part);
        selection.hash = Some(hash);
        selection.hashed += 1;
        tier.at_weight(i64::from(hash) % tier.total_weight.max(1))
    })
}
