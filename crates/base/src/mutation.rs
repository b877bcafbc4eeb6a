//! Random changes of bytes: a bounded stand-in for a fuzzer, for the tests of parsers.

use crate::saturated::Saturated;
use crate::xorshift::Xorshift;

/// Calls `check` with each seed, and `rounds` times with one that a few changes were made to: a byte of `spice` (any, if there is none) put in
/// or in place of another, a byte taken out, a bit turned, the end cut off, the end of a seed put in. Every run makes the same changes.
pub fn fuzz<S: AsRef<[u8]>>(seeds: &[S], spice: &[u8], rounds: usize, check: impl Fn(&[u8])) {
    let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        check(seed.as_ref());
    }
    for _ in 0..rounds {
        let mut data = any(&mut random, seeds).to_vec();
        for _ in 0..=random.below(4) {
            change(&mut random, seeds, spice, &mut data);
        }
        check(&data);
    }
}

fn any<'s, S: AsRef<[u8]>>(random: &mut Xorshift, seeds: &'s [S]) -> &'s [u8] {
    seeds.get(random.below(seeds.len())).map_or(&[], AsRef::as_ref)
}

fn change<S: AsRef<[u8]>>(random: &mut Xorshift, seeds: &[S], spice: &[u8], data: &mut Vec<u8>) {
    let at = random.below(data.len() + 1);
    let byte = spice.get(random.below(spice.len())).copied().unwrap_or_else(|| u8::saturated(random.below(256)));
    match (random.below(6), data.get_mut(at)) {
        (0, _) => data.insert(at, byte),
        (1, Some(place)) => *place = byte,
        (2, Some(place)) => *place ^= 1 << random.below(8),
        (3, Some(_)) => drop(data.remove(at)),
        (4, _) => data.truncate(at),
        _ => {
            let other = any(random, seeds);
            let from = random.below(other.len() + 1);
            data.splice(at..at, other.get(from..).unwrap_or_default().iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    #[test]
    fn seeds_come_first_and_every_run_is_the_same() {
        let run = |spice: &[u8]| {
            let seen = RefCell::new(Vec::new());
            super::fuzz(&["seed", ""], spice, 3000, |data| seen.borrow_mut().push(data.to_vec()));
            seen.into_inner()
        };
        let all = run(b"x");
        assert_eq!((all.len(), all.clone()), (3002, run(b"x")));
        assert_eq!(all[..2], [b"seed".to_vec(), Vec::new()]);
        assert!(all.iter().collect::<BTreeSet<_>>().len() > 200);
        assert_eq!(run(b"").concat().iter().collect::<BTreeSet<_>>().len(), 256, "any byte may come");
    }
}
