//! A cache of transformed bodies. Small files and cached responses stay in memory and are sent repeatedly as the same shared bytes, so
//! compressing or parsing each of them once is enough.

use bytes::Bytes;
use foldhash::HashMap;
use std::cell::RefCell;

/// Longest body that is kept, bytes.
const LONGEST: usize = 64 * 1024;
/// Most bytes that a worker holds for one kind of this, bodies and what they became.
const MEMORY: usize = 8 << 20;
/// Bodies that are remembered as having come once.
const SIGHTINGS: usize = 64;

/// Which bytes, and in which way something is made of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    address: usize,
    length: usize,
    settings_key: usize,
}

struct Entry<T> {
    /// Held, so that the address stays theirs.
    body: Bytes,
    made: T,
    /// Bytes of both.
    size: usize,
}

struct Inner<T> {
    bodies: HashMap<Key, Entry<T>>,
    memory: usize,
    recent: Vec<Option<Key>>,
    next: usize,
}

/// What a worker has made of bodies, a `T` of each.
pub(crate) struct BodyCache<T> {
    inner: RefCell<Inner<T>>,
}

/// What is to be done with a body.
pub(crate) enum Lookup<T> {
    /// It came before, and this was made of it.
    Known(T),
    /// It comes again: what is made of it is worth [`BodyCache::insert`].
    Keep(Key),
    /// It is like any other.
    Make,
}

impl<T> Default for Inner<T> {
    fn default() -> Self {
        Inner { bodies: HashMap::default(), memory: 0, recent: Vec::new(), next: 0 }
    }
}

impl<T> Default for BodyCache<T> {
    fn default() -> Self {
        BodyCache { inner: RefCell::default() }
    }
}

impl<T: Clone> BodyCache<T> {
    /// Looks at a whole body.
    pub(crate) fn lookup(&self, body: &Bytes, way: usize) -> Lookup<T> {
        // What nobody else holds cannot come again.
        if body.len() > LONGEST || body.is_unique() {
            return Lookup::Make;
        }
        let key = Key { address: body.as_ptr().addr(), length: body.len(), settings_key: way };
        let mut inner = self.inner.borrow_mut();
        if let Some(entry) = inner.bodies.get(&key) {
            return Lookup::Known(entry.made.clone());
        }
        if inner.recent.contains(&Some(key)) {
            return Lookup::Keep(key);
        }
        inner.record(key);
        Lookup::Make
    }

    /// Keeps what was made of a body, of about `size` bytes.
    pub(crate) fn insert(&self, key: Key, body: &Bytes, made: &T, size: usize) {
        let mut inner = self.inner.borrow_mut();
        let size = body.len() + size;
        if inner.memory + size > MEMORY {
            inner.clear_out();
        }
        if inner.memory + size > MEMORY {
            *inner = Inner::default();
        }
        inner.memory += size;
        inner.bodies.insert(key, Entry { body: body.clone(), made: made.clone(), size });
    }
}

impl<T> Inner<T> {
    fn record(&mut self, key: Key) {
        if self.recent.len() < SIGHTINGS {
            return self.recent.push(Some(key));
        }
        if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = Some(key);
        }
        self.next = (self.next + 1) % SIGHTINGS;
    }

    /// Drops the bodies that only this table still holds.
    fn clear_out(&mut self) {
        let memory = &mut self.memory;
        self.bodies.retain(|_, entry| {
            let needed = !entry.body.is_unique();
            if !needed {
                *memory -= entry.size;
            }
            needed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(cache: &BodyCache<Bytes>, body: &Bytes, level: usize) -> Option<Bytes> {
        match cache.lookup(&body.clone(), level) {
            Lookup::Known(packed) => Some(packed),
            Lookup::Keep(key) => {
                let packed = Bytes::from(format!("{} at {level}", body.len()));
                cache.insert(key, body, &packed, packed.len());
                None
            }
            Lookup::Make => None,
        }
    }

    #[test]
    fn the_third_time_nothing_is_packed() {
        let cache = BodyCache::default();
        let (body, other) = (Bytes::from(vec![1; 1000]), Bytes::from(vec![1; 1000]));
        for (body, level, expected) in [
            (&body, 2, None),
            (&body, 2, None),
            (&body, 2, Some("1000 at 2")),
            (&other, 2, None),
            (&body, 9, None),
            (&body, 9, None),
            (&body, 9, Some("1000 at 9")),
            (&body, 2, Some("1000 at 2")),
        ] {
            assert_eq!(lookup(&cache, body, level).as_deref(), expected.map(str::as_bytes));
        }
        for _ in 0..3 {
            assert!(matches!(cache.lookup(&Bytes::from(vec![1; 1000]), 2), Lookup::Make), "nobody else holds it");
            let long = Bytes::from(vec![0; LONGEST + 1]);
            assert!(lookup(&cache, &long, 2).is_none());
        }
    }

    #[test]
    fn memory_is_bounded_and_what_is_needed_stays() {
        let cache = BodyCache::default();
        let needed = Bytes::from(vec![1; 1000]);
        for _ in 0..2 {
            lookup(&cache, &needed, 2);
        }
        for _ in 0..400 {
            let passing = Bytes::from(vec![2; LONGEST]);
            for _ in 0..2 {
                lookup(&cache, &passing, 2);
            }
            assert!(cache.inner.borrow().memory <= MEMORY);
        }
        assert!(lookup(&cache, &needed, 2).is_some());
        let held: Vec<_> = (0..400).map(|_| Bytes::from(vec![2; LONGEST])).collect();
        for body in &held {
            for _ in 0..2 {
                lookup(&cache, body, 2);
            }
        }
        let inner = cache.inner.borrow();
        assert!(inner.memory <= MEMORY);
        assert_eq!(inner.memory, inner.bodies.values().map(|k| k.body.len() + k.made.len()).sum::<usize>());
    }
}
