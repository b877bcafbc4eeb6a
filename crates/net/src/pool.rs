//! Idle connections kept for the next request: upstream keep-alive and cosocket pools.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use base::clock;
use tokio::sync::Notify;

/// How often [`Pool::maintain`] looks for connections that have died or waited too long.
const TICK: Duration = Duration::from_secs(1);

/// A connection that can say whether it is still good for use.
pub trait Idle {
    /// Whether nothing has arrived since it went idle: an idle peer that speaks or leaves has ended the connection.
    fn is_alive(&self) -> bool;
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    connection: V,
    /// On the monotonic clock, milliseconds.
    until: u64,
}

/// A pool of idle connections of one worker, at most `limit` over all keys; the one idle longest goes first. The most
/// recently used connection of a key is given out first, as its peer is least likely to be closing it.
#[derive(Debug)]
pub struct Pool<K, V> {
    /// Least recently used in front.
    entries: RefCell<VecDeque<Entry<K, V>>>,
    limit: usize,
    filled: Notify,
}

impl<K: Eq, V: Idle> Pool<K, V> {
    /// An empty pool for at most `limit` connections.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { entries: RefCell::new(VecDeque::new()), limit, filled: Notify::new() }
    }

    /// Keeps a connection for at most `idle`. Closes the one that has been idle longest when the pool is full.
    pub fn insert(&self, key: K, connection: V, idle: Duration) {
        if self.limit == 0 {
            return;
        }
        let mut entries = self.entries.borrow_mut();
        while entries.len() >= self.limit {
            entries.pop_front();
        }
        let until = clock::monotonic_ms().saturating_add(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        entries.push_back(Entry { key, connection, until });
        if entries.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// A live connection of this key; dead ones that are met on the way are closed.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.get_where(|other| other.borrow() == key)
    }

    /// As [`Pool::get`] for the keys that fit.
    pub fn get_where(&self, fits: impl Fn(&K) -> bool) -> Option<V> {
        let mut entries = self.entries.borrow_mut();
        loop {
            let place = entries.iter().rposition(|entry| fits(&entry.key))?;
            let entry = entries.remove(place)?;
            if entry.connection.is_alive() {
                return Some(entry.connection);
            }
        }
    }

    /// How many connections are idle.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Whether no connection is idle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// How many connections of this key are idle.
    #[must_use]
    pub fn count(&self, key: &K) -> usize {
        self.entries.borrow().iter().filter(|entry| entry.key == *key).count()
    }

    /// Closes every idle connection (shutdown, or the end of a configuration).
    pub fn clear(&self) {
        self.entries.borrow_mut().clear();
    }

    /// Closes connections that have died or whose time is over at `now`, on the monotonic clock.
    pub fn sweep(&self, now: u64) {
        self.entries.borrow_mut().retain(|entry| entry.until > now && entry.connection.is_alive());
    }

    /// Sweeps once a second while the pool is not empty; never ends. One task of the worker runs it per pool.
    pub async fn maintain(&self) {
        loop {
            if self.is_empty() {
                self.filled.notified().await;
            }
            crate::time::sleep(TICK).await;
            clock::stale();
            self.sweep(clock::monotonic_ms());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    struct Fake(u32, Rc<Cell<bool>>);

    impl Idle for Fake {
        fn is_alive(&self) -> bool {
            self.1.get()
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn gives_the_latest_of_a_key_and_drops_the_oldest_of_all() {
        let alive = Rc::new(Cell::new(true));
        let pool = Pool::new(3);
        for number in 0..4 {
            pool.insert(if number == 2 { "b" } else { "a" }, Fake(number, alive.clone()), HOUR);
        }
        assert_eq!((pool.len(), pool.count(&"a")), (3, 2));
        let mut order = Vec::new();
        while let Some(Fake(number, _)) = pool.get("a") {
            order.push(number);
        }
        assert_eq!(order, [3, 1]);
        assert_eq!(pool.get("b").map(|fake| fake.0), Some(2));
        assert!(pool.is_empty());
    }

    #[test]
    fn dead_and_expired_connections_go() {
        let dead = Rc::new(Cell::new(true));
        let alive = Rc::new(Cell::new(true));
        let pool = Pool::new(8);
        pool.insert(1, Fake(1, alive.clone()), HOUR);
        pool.insert(1, Fake(2, dead.clone()), HOUR);
        dead.set(false);
        assert_eq!(pool.get(&1).map(|fake| fake.0), Some(1));
        assert!(pool.is_empty());
        pool.insert(1, Fake(3, alive.clone()), HOUR);
        pool.insert(1, Fake(4, alive), 2 * HOUR);
        pool.insert(1, Fake(5, dead), 2 * HOUR);
        pool.sweep(clock::monotonic_ms() + 3_600_000);
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.get(&1).map(|fake| fake.0), Some(4));
        let none = Pool::new(0);
        none.insert(1, Fake(6, Rc::new(Cell::new(true))), HOUR);
        assert!(none.is_empty());
    }
}
