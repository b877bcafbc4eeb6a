//! Session caches (`ssl_session_cache`).

use base::clock;
use conf::row::Cx;
use conf::tree::Error;
use shm::dict::Dict;
use shm::dict::{Store, StoreMode, Value};
use shm::{ClaimError, Zone, Zones};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use tls::store::{Bytes, FORMAT, SessionKey};

/// Sessions of a `builtin` cache without a number, as OpenSSL's.
pub(super) const BUILTIN: usize = 20 * 1024;

/// Smallest zone, bytes: nginx's eight pages.
const SMALLEST: usize = 8 * 4096;

/// Who owns such zones.
pub(super) const OWNER: &str = "ssl_session_cache";

/// Declares the zone of a `shared` cache.
///
/// # Errors
/// nginx's texts.
pub(super) fn declare(cx: &Cx<'_>, i: usize, name: &str, size: usize) -> Result<(), Error> {
    if size < SMALLEST {
        return Err(cx.error_at(i, format!("session cache \"{}\" is too small", cx.text(i))));
    }
    let claimed = cx.global::<Zones>().claim_lasting(name, OWNER, FORMAT, size);
    let zone = match claimed {
        Ok(zone) | Err(ClaimError::Bound(zone)) => zone,
        Err(error) => return Err(cx.error(error.to_string())),
    };
    cx.global::<Shared>().0.entry(name.into()).or_insert(zone);
    Ok(())
}

/// The zones of a configuration, by name.
#[derive(Default)]
pub(super) struct Shared(HashMap<Box<str>, Rc<Zone>>);

impl Shared {
    /// The sessions in the zone `name`, which live for `lifetime` seconds.
    pub(super) fn sessions(&self, name: &str, lifetime: u64) -> Option<ZoneSessions> {
        Some(ZoneSessions::new(Dict::new(self.0.get(name)?), lifetime.saturating_mul(1000)))
    }
}

thread_local! {
    /// Handshakes happen on the thread of the event loop alone; what the library of TLS holds must be able to cross threads.
    static DICTS: RefCell<Vec<Option<Dict>>> = const { RefCell::new(Vec::new()) };
}

/// Sessions in a zone that all workers share.
pub(super) struct ZoneSessions {
    index: usize,
    lifetime: u64,
}

impl ZoneSessions {
    fn new(dict: Dict, lifetime: u64) -> ZoneSessions {
        let place = DICTS.with_borrow_mut(|dicts| {
            let place = dicts.iter().position(Option::is_none).unwrap_or(dicts.len());
            match dicts.get_mut(place) {
                Some(free) => *free = Some(dict),
                None => dicts.push(Some(dict)),
            }
            place
        });
        ZoneSessions { index: place, lifetime }
    }

    fn with<T>(&self, f: impl FnOnce(&Dict) -> Option<T>) -> Option<T> {
        DICTS.with_borrow(|dicts| f(dicts.get(self.index)?.as_ref()?))
    }
}

impl Drop for ZoneSessions {
    /// A configuration that is no longer used lets go of its zones.
    fn drop(&mut self) {
        // At the end of the thread there may be nothing left.
        let _ = DICTS.try_with(|dicts| dicts.borrow_mut().get_mut(self.index).and_then(Option::take));
    }
}

impl Bytes for ZoneSessions {
    fn put(&self, key: &SessionKey, _: &[u8], value: &[u8]) -> bool {
        let how = Store { when: StoreMode::Always, safe: false, lifetime: self.lifetime, flags: 0 };
        self.with(|dict| dict.store(key, Value::Text(value), how, clock::epoch_ms()).ok()).is_some()
    }

    fn get(&self, key: &SessionKey, _: &[u8]) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.with(|dict| dict.get(key, false, clock::epoch_ms(), &mut value).ok().flatten())?;
        Some(value)
    }

    fn take(&self, key: &SessionKey, id: &[u8]) -> Option<Vec<u8>> {
        let value = self.get(key, id)?;
        self.with(|dict| {
            dict.delete(key);
            Some(value)
        })
    }
}

/// Sessions in a worker's own memory; the oldest goes first.
pub(super) struct Builtin {
    limit: usize,
    lifetime: u64,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    sessions: HashMap<SessionKey, (u64, Vec<u8>)>,
    order: VecDeque<SessionKey>,
}

impl Builtin {
    /// At most `limit` sessions (0: any number) that live for `lifetime` seconds.
    pub(super) fn new(limit: usize, lifetime: u64) -> Builtin {
        Builtin { limit, lifetime: lifetime.saturating_mul(1000), sessions: Mutex::default() }
    }
}

impl Bytes for Builtin {
    fn put(&self, key: &SessionKey, _: &[u8], value: &[u8]) -> bool {
        let Sessions { sessions, order } = &mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.insert(*key, (clock::epoch_ms().saturating_add(self.lifetime), value.to_vec())).is_none() {
            order.push_back(*key);
        }
        while self.limit > 0
            && sessions.len() > self.limit
            && let Some(oldest) = order.pop_front()
        {
            sessions.remove(&oldest);
        }
        // Names of sessions that were taken out stand in the order for a while.
        if order.len() > 2 * sessions.len().max(64) {
            order.retain(|key| sessions.contains_key(key));
        }
        true
    }

    fn get(&self, key: &SessionKey, _: &[u8]) -> Option<Vec<u8>> {
        let store = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        store.sessions.get(key).filter(|(until, _)| *until > clock::epoch_ms()).map(|(_, value)| value.clone())
    }

    fn take(&self, key: &SessionKey, id: &[u8]) -> Option<Vec<u8>> {
        let value = self.get(key, id);
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(key);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_nothing_outlives_its_time() {
        let cache = Builtin::new(2, 60);
        let key = |n| [n; 32];
        for n in 1..=3 {
            assert!(cache.put(&key(n), b"", &[n]));
        }
        assert_eq!([1, 2, 3].map(|n| cache.get(&key(n), b"").is_some()), [false, true, true]);
        assert_eq!((cache.take(&key(2), b""), cache.take(&key(2), b"")), (Some(vec![2]), None));
        let spent = Builtin::new(0, 0);
        spent.put(&key(1), b"", b"x");
        assert_eq!(spent.get(&key(1), b""), None);
    }

    #[test]
    fn a_zone_keeps_sessions_for_all() {
        let mut shared = Shared::default();
        shared.0.insert("s".into(), Rc::new(Zone::new("s", OWNER, 64 * 1024).unwrap()));
        assert!(shared.sessions("other", 60).is_none());
        let (one, other) = (shared.sessions("s", 60).unwrap(), shared.sessions("s", 60).unwrap());
        assert!(one.put(&[7; 32], b"", b"secret"));
        assert_eq!(other.get(&[7; 32], b""), Some(b"secret".to_vec()));
        assert_eq!((other.take(&[7; 32], b""), one.get(&[7; 32], b"")), (Some(b"secret".to_vec()), None));
        drop((one, other));
        for _ in 0..10 {
            let again = [shared.sessions("s", 60).unwrap(), shared.sessions("s", 60).unwrap()];
            assert!(again.iter().all(|sessions| sessions.index < 2));
        }
    }
}
