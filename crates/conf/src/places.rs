//! The place of each type in the lists of a level: what every question for a configuration value begins with.
//!
//! A table with so much room that nearly every question is answered by the first entry it looks at.

use std::any::TypeId;
use std::hash::{Hash, Hasher};

/// Entries for each type, at least.
const ROOM: usize = 4;
/// An entry without a type.
const VACANT: Entry = (TypeId::of::<()>(), NONE);
const NONE: usize = usize::MAX;

type Entry = (TypeId, usize);

/// Numbers types in the order in which they are added.
#[derive(Clone, Default)]
pub(crate) struct Places {
    /// None, or a power of two of them.
    entries: Box<[Entry]>,
    types: usize,
}

/// A `TypeId` is already a good hash.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

#[inline]
fn hash(id: TypeId) -> usize {
    let mut taken = Taken::default();
    id.hash(&mut taken);
    usize::try_from(taken.finish() & u64::from(u32::MAX)).unwrap_or_default()
}

impl Places {
    /// The place of a type that was added.
    #[inline]
    pub(crate) fn get(&self, id: TypeId) -> Option<usize> {
        let mut at = hash(id);
        loop {
            // There are always vacant entries, so the search ends.
            let (found, place) = self.entries.get(at & self.entries.len().wrapping_sub(1))?;
            if *found == id || *place == NONE {
                return (*place != NONE).then_some(*place);
            }
            at = at.wrapping_add(1);
        }
    }

    /// Adds a type that has no place yet.
    pub(crate) fn add(&mut self, id: TypeId) -> usize {
        let place = self.types;
        self.types += 1;
        if self.types * ROOM > self.entries.len() {
            let room = vec![VACANT; (self.types * ROOM).next_power_of_two()].into();
            let before = std::mem::replace(&mut self.entries, room);
            before.into_iter().filter(|(_, place)| *place != NONE).for_each(|entry| self.enter(entry));
        }
        self.enter((id, place));
        place
    }

    fn enter(&mut self, entry: Entry) {
        let (first, mask) = (hash(entry.0), self.entries.len().wrapping_sub(1));
        let vacant = (0..self.entries.len()).map(|step| first.wrapping_add(step) & mask).find(|at| self.entries.get(*at) == Some(&VACANT));
        if let Some(slot) = vacant.and_then(|at| self.entries.get_mut(at)) {
            *slot = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered<const N: usize>;

    macro_rules! ids {
        ($($number:literal)*) => { [$(TypeId::of::<Numbered<$number>>()),*] };
    }

    #[test]
    fn each_type_has_the_place_in_which_it_was_added() {
        let ids = ids!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33);
        let mut places = Places::default();
        assert_eq!(places.get(TypeId::of::<()>()), None);
        for (number, id) in ids.iter().enumerate() {
            assert_eq!((places.get(*id), places.add(*id)), (None, number));
            let known: Vec<_> = ids.iter().map(|id| places.get(*id)).collect();
            assert!(known.iter().enumerate().all(|(at, place)| *place == (at <= number).then_some(at)), "{known:?}");
        }
        assert_eq!((places.get(TypeId::of::<()>()), places.get(TypeId::of::<u8>())), (None, None));
    }

    #[test]
    fn types_that_meet_stand_one_after_the_other() {
        let ids = ids!(0 1 2 3 4 5 6 7 8 9);
        // A table in which all but two entries are taken: questions go past others and around the end.
        let mut places = Places { entries: vec![VACANT; 8].into(), types: 0 };
        for (place, id) in ids.iter().take(6).enumerate() {
            places.enter((*id, place));
        }
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(places.get(*id), (number < 6).then_some(number));
        }
    }
}
