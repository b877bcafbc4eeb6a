//! A map that knows which of its entries was used least recently.

use foldhash::HashMap;
use std::rc::Rc;

const NONE: usize = usize::MAX;

struct Node<V> {
    key: Rc<[u8]>,
    value: V,
    newer: usize,
    older: usize,
}

/// A map from byte strings, ordered by use.
pub struct Lru<V> {
    places: HashMap<Rc<[u8]>, usize>,
    nodes: Vec<Option<Node<V>>>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
}

impl<V> Default for Lru<V> {
    fn default() -> Self {
        Lru { places: HashMap::default(), nodes: Vec::new(), free: Vec::new(), newest: NONE, oldest: NONE }
    }
}

impl<V> Lru<V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn node(&mut self, at: usize) -> Option<&mut Node<V>> {
        self.nodes.get_mut(at).and_then(Option::as_mut)
    }

    fn unlink(&mut self, at: usize) {
        let Some(node) = self.node(at) else { return };
        let (newer, older) = (node.newer, node.older);
        match self.node(newer) {
            Some(next) => next.older = older,
            None => self.newest = older,
        }
        match self.node(older) {
            Some(next) => next.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: usize) {
        let second = self.newest;
        if let Some(node) = self.node(at) {
            (node.newer, node.older) = (NONE, second);
        }
        match self.node(second) {
            Some(next) => next.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    /// The value of `key`, which becomes the most recently used.
    pub fn get(&mut self, key: &[u8]) -> Option<&mut V> {
        let at = *self.places.get(key)?;
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
        self.node(at).map(|node| &mut node.value)
    }

    /// Stores a value as the most recently used; returns the one that it replaces.
    pub fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        let old = self.remove(key);
        let key: Rc<[u8]> = key.into();
        let node = Some(Node { key: key.clone(), value, newer: NONE, older: NONE });
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.nodes.get_mut(at) {
                    *place = node;
                }
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.places.insert(key, at);
        self.link_newest(at);
        old
    }

    fn take(&mut self, at: usize) -> Option<V> {
        self.unlink(at);
        let node = self.nodes.get_mut(at)?.take()?;
        self.places.remove(&node.key);
        self.free.push(at);
        Some(node.value)
    }

    /// Removes the entry of `key`.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let at = *self.places.get(key)?;
        self.take(at)
    }

    /// The least recently used value.
    pub fn oldest(&self) -> Option<&V> {
        self.nodes.get(self.oldest)?.as_ref().map(|node| &node.value)
    }

    /// Removes the least recently used entry.
    pub(crate) fn pop_oldest(&mut self) -> Option<V> {
        self.take(self.oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_decides_the_order() {
        let mut lru = Lru::default();
        for key in [b"a", b"b", b"c"] {
            assert_eq!(lru.insert(key, key[0]), None);
        }
        assert_eq!(lru.get(b"a"), Some(&mut b'a'));
        assert_eq!(lru.insert(b"b", b'B'), Some(b'b'));
        assert_eq!(lru.oldest(), Some(&b'c'));
        assert_eq!(lru.pop_oldest(), Some(b'c'));
        assert_eq!(lru.pop_oldest(), Some(b'a'));
        assert_eq!(lru.remove(b"a"), None);
        assert_eq!(lru.len(), 1);
        lru.insert(b"d", b'd');
        assert_eq!((lru.pop_oldest(), lru.pop_oldest(), lru.pop_oldest()), (Some(b'B'), Some(b'd'), None));
        assert!(lru.is_empty());
    }
}
