//! What fuzz targets and the smoke test assert: a dictionary whose memory holds anything leads nowhere outside, and every operation on
//! it ends. Nothing that ships calls this.

use crate::dict::{End, OWNER, Store, StoreMode, Value};
use crate::{Dict, Zone};
use std::sync::atomic::Ordering;

const SIZE: usize = 1 << 16;
/// Words of locks: whatever they hold, who waits for a living process waits rightly.
const LOCKS: [usize; 3] = [0, 256, 512];
const SET: Store = Store { when: StoreMode::Always, safe: false, lifetime: 0, flags: 0 };

/// Overwrites words of a dictionary, for each ten bytes one: where, and with what. Then does all that can be done.
pub fn image(data: &[u8]) {
    let Ok(zone) = Zone::new("d", OWNER, SIZE) else { return };
    let dict = Dict::new(&zone);
    fill(&dict, 1000);
    for chunk in data.as_chunks::<10>().0 {
        let [a, b, word @ ..] = *chunk;
        let offset = usize::from(u16::from_le_bytes([a, b])) * 8 % SIZE;
        if let Some(place) = zone.memory().atomic_u64(offset).filter(|_| !LOCKS.contains(&offset)) {
            // Small numbers are likely links, and links are what matters.
            let word = u64::from_le_bytes(word);
            place.store(if a & 1 == 0 { word } else { word & 0xfff_0000_0fff }, Ordering::Relaxed);
        }
    }
    let mut out = Vec::new();
    for n in 0..40 {
        let _ = dict.get(format!("{n}").as_bytes(), true, 1000, &mut out);
        assert!(out.len() <= SIZE * (n + 1));
    }
    fill(&dict, 1010);
    let _ = (dict.keys(0, 1010), dict.keys(3, 1010), dict.flush_expired(5, 1010), dict.check());
    dict.flush_all();
    let _ = dict.flush_expired(0, 1010);
    fill(&dict, 1020);
}

fn fill(dict: &Dict, now: u64) {
    for n in 0..60usize {
        let key = format!("{}", n % 40);
        let _ = dict.store(key.as_bytes(), Value::Text(&vec![b'v'; n * n]), Store { lifetime: n as u64 % 7, safe: n % 5 == 0, ..SET }, now);
        let _ = dict.incr(format!("count {n}").as_bytes(), 1.0, Some((0.0, 0)), now);
        let _ = dict.push(b"list", if n % 2 == 0 { End::Left } else { End::Right }, Value::Text(&[b'i'; 30]), now);
        if n % 9 == 0 {
            dict.delete(key.as_bytes());
            let _ = dict.pop(b"list", End::Left, now, &mut Vec::new());
            let _ = (dict.ttl(b"list", now), dict.expire(b"3", 5, now), dict.length(b"list", now));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_count_at_its_end() {
        // The word of the first shard's head that counts its entries, and so on for those behind it.
        for word in 0..32u16 {
            let mut data = (64 + word).to_le_bytes().to_vec();
            data.extend_from_slice(&[0xff; 8]);
            super::image(&data);
            data[0] ^= 1;
            super::image(&data);
        }
    }

    #[test]
    fn smoke() {
        let mut state = 1u64;
        let mut roll = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        for round in 0..300 {
            // Heads, buckets and the first pages' descriptors are hit more often than what lies behind them.
            let words = 1 + roll() % 60;
            let mut data = Vec::new();
            for _ in 0..words {
                let place = if roll() % 2 == 0 { roll() % 600 } else { roll() % 8192 } as u16;
                data.extend_from_slice(&place.to_le_bytes());
                data.extend_from_slice(&(u64::from(roll()) | u64::from(roll() % (1 + round * 1000)) << 32).to_le_bytes());
            }
            super::image(&data);
        }
    }
}
