//! Stored sessions of clients, for resumption.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::verify::Verdict;

/// How many tickets of TLS 1.3 are kept; each is good for one connection.
const TICKETS: usize = 4;

/// What can be resumed with one server, whatever its name.
#[derive(Default)]
pub struct Slot(Mutex<Sessions>);

#[derive(Default)]
struct Sessions {
    group: Option<NamedGroup>,
    old: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Slot {
    /// Nothing to resume yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether the next session can try to resume.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        let kept = self.lock();
        kept.old.is_some() || !kept.tickets.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("filled", &self.is_filled()).finish()
    }
}

impl ClientSessionStore for Slot {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.lock().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.lock().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.lock().old = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.lock().old.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.lock().old = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.lock();
        if kept.tickets.len() >= TICKETS {
            kept.tickets.pop_front();
        }
        kept.tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.lock().tickets.pop_back()
    }
}

/// What a client remembers of the making of its session.
#[derive(Debug, Default)]
pub struct SessionOrigin {
    pub(crate) slot: Option<Arc<Slot>>,
    pub(crate) verdict: Option<(Option<Box<str>>, Verdict)>,
}

/// Slots by the identity of a server: what the caller puts into the key (peer, name, settings) is what has to be equal.
#[derive(Debug)]
pub struct Slots {
    slots: HashMap<Vec<u8>, Arc<Slot>>,
    /// Oldest first.
    order: VecDeque<Vec<u8>>,
    limit: usize,
}

impl Slots {
    /// No slots; at most `limit` are kept, the oldest goes first.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { slots: HashMap::new(), order: VecDeque::new(), limit: limit.max(1) }
    }

    /// The slot of a server, an empty one for a new server.
    pub fn slot(&mut self, identity: &[u8]) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(identity) {
            return slot.clone();
        }
        while self.order.len() >= self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.slots.remove(&oldest);
            }
        }
        let slot = Slot::new();
        self.order.push_back(identity.to_vec());
        self.slots.insert(identity.to_vec(), slot.clone());
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_belongs_to_one_identity_and_the_oldest_goes() {
        let mut slots = Slots::new(2);
        let (one, two) = (slots.slot(b"1"), slots.slot(b"2"));
        assert!(Arc::ptr_eq(&one, &slots.slot(b"1")) && !Arc::ptr_eq(&one, &two));
        slots.slot(b"3");
        assert!(!Arc::ptr_eq(&one, &slots.slot(b"1")));
        assert!(!one.is_filled());
    }
}
