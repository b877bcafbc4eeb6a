//! The session store of one handshake, for code that stores sessions itself: it receives the fetched session and collects new ones.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::StoresServerSessions;

use crate::tickets::Context;

/// The length of a context and of a time before what rustls knows of a session.
const CONTEXT: usize = 32;
const TIME: usize = 8;

/// A session that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// What the client will show.
    pub id: Vec<u8>,
    /// What to keep.
    pub value: Vec<u8>,
}

/// A store for one handshake. Another one behind it keeps what it kept.
pub struct HandshakeStore {
    context: Context,
    lifetime: u64,
    below: Option<Arc<dyn StoresServerSessions>>,
    fetched: Mutex<Option<Vec<u8>>>,
    made: Mutex<Option<NewSession>>,
}

impl fmt::Debug for HandshakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("context", &self.context).finish_non_exhaustive()
    }
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

impl HandshakeStore {
    pub(crate) fn new(context: Context, lifetime: u64, below: Option<Arc<dyn StoresServerSessions>>) -> Self {
        Self { context, lifetime, below, fetched: Mutex::default(), made: Mutex::default() }
    }

    /// Takes what was kept, for the client that showed its name. False when it is not what was given out: code may have
    /// mixed up servers, and a session proves something only where it was made.
    pub fn provide(&self, serialized: &[u8]) -> bool {
        let Some((context, rest)) = serialized.split_first_chunk::<CONTEXT>() else { return false };
        let Some((time, value)) = rest.split_first_chunk::<TIME>() else { return false };
        if context != self.context.bytes() {
            return false;
        }
        let age = now().saturating_sub(u64::from_be_bytes(*time));
        // One that is too old is forgotten like any other.
        let fresh = (age <= self.lifetime).then(|| value.to_vec());
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        true
    }

    /// Whether there is a session to come back to.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn has_offer(&self) -> bool {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The session that the handshake made, if it did.
    #[must_use]
    pub fn new_session(&self) -> Option<NewSession> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl StoresServerSessions for HandshakeStore {
    fn put(&self, id: Vec<u8>, value: Vec<u8>) -> bool {
        let serialized = [&self.context.bytes()[..], &now().to_be_bytes(), &value].concat();
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(NewSession { id: id.clone(), value: serialized });
        self.below.as_ref().is_none_or(|below| below.put(id, value))
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        fetched.or_else(|| self.below.as_ref()?.get(id))
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.below.as_ref()?.take(id)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_good_where_it_was_made_and_not_for_ever() {
        let (here, there) = (Context::new([&b"here"[..]]), Context::new([&b"there"[..]]));
        let first = HandshakeStore::new(here, 60, None);
        assert!(first.put(vec![1], vec![2, 3]));
        let NewSession { id, value } = first.new_session().unwrap();
        assert_eq!((id, first.new_session()), (vec![1], None));
        let second = HandshakeStore::new(here, 60, None);
        assert!(second.provide(&value) && second.has_offer());
        assert_eq!(second.get(&[1]), Some(vec![2, 3]));
        let foreign = HandshakeStore::new(there, 60, None);
        assert!(!foreign.provide(&value) && !foreign.has_offer());
        for length in 0..CONTEXT + TIME {
            assert!(!foreign.provide(&value[..length]));
        }
        let mut old = value.clone();
        old[CONTEXT..CONTEXT + TIME].copy_from_slice(&(now() - 61).to_be_bytes());
        assert!(second.provide(&old) && !second.has_offer());
    }
}
