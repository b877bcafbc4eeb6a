//! Which server a session is bound to, learned from responses (`sticky learn`): a table in a zone that all workers share.
//!
//! The table has a lock. Who dies while changing it costs the sessions of the zone: the next one to lock it finds it empty, and
//! clients are bound anew by their next answers.

use md5::{Digest, Md5};
use shm::{Guard, Record, Table, Zone};
use std::rc::Rc;

/// What a zone of this kind is for.
pub const OWNER: &str = "sticky";
/// The longest id of a server, as `route` bounds it.
pub const LONGEST_ID: usize = 32;
/// Old sessions that a newcomer clears away.
const SWEPT: usize = 8;

/// Values of a record.
const USED_MS: usize = 0;
/// Where the server's id is: its length in a word, then its bytes.
const SERVER: usize = 1;

/// What [`Sessions::bind`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// It is kept.
    Kept,
    /// It is kept; the session unused for longest had to go.
    Displaced,
    /// There was no room.
    Full,
    /// There is no such session, and none was to be made.
    Unknown,
}

/// The sessions of one group.
#[derive(Debug)]
pub struct Sessions {
    zone: Rc<Zone>,
    timeout_ms: u64,
}

impl Sessions {
    /// The sessions of a zone, which are forgotten `timeout_ms` after their last use.
    #[must_use]
    pub fn new(zone: Rc<Zone>, timeout_ms: u64) -> Sessions {
        Sessions { zone, timeout_ms }
    }

    /// Name of the zone.
    #[must_use]
    pub fn name(&self) -> &str {
        self.zone.name()
    }

    /// Appends the id of the server that a session is bound to; false if there is none.
    pub fn find(&self, session: &[u8], now_ms: u64, out: &mut Vec<u8>) -> bool {
        let guard = self.zone.lock();
        let Some(table) = Table::open(&guard) else { return false };
        let Some(record) = table.find(&guard, &key(session)) else { return false };
        if self.is_old(&guard, record, now_ms) {
            return false;
        }
        let at = place(&guard, record);
        let length = usize::try_from(guard.get(at)).unwrap_or(usize::MAX);
        length <= LONGEST_ID && guard.append_to(at + 8, length, out)
    }

    /// Binds a session to a server; one that is not known yet only if `create`.
    pub fn bind(&self, session: &[u8], server: &[u8], create: bool, now_ms: u64) -> BindOutcome {
        let guard = self.zone.lock();
        let Some(table) = Table::open(&guard) else { return BindOutcome::Full };
        let key = key(session);
        if let Some(record) = table.find(&guard, &key).filter(|record| !self.is_old(&guard, *record, now_ms)) {
            put(&guard, place(&guard, record), server);
            record.set_value(&guard, USED_MS, now_ms);
            table.touch(&guard, record);
            return BindOutcome::Kept;
        }
        if !create {
            return BindOutcome::Unknown;
        }
        if let Some(old) = table.find(&guard, &key) {
            remove(&guard, table, old);
        }
        for _ in 0..SWEPT {
            match table.oldest(&guard) {
                Some(record) if self.is_old(&guard, record, now_ms) => remove(&guard, table, record),
                _ => break,
            }
        }
        if add(&guard, table, &key, server, now_ms) {
            return BindOutcome::Kept;
        }
        if let Some(record) = table.oldest(&guard) {
            remove(&guard, table, record);
        }
        if add(&guard, table, &key, server, now_ms) { BindOutcome::Displaced } else { BindOutcome::Full }
    }

    fn is_old(&self, guard: &Guard<'_>, record: Record, now_ms: u64) -> bool {
        record.value(guard, USED_MS).saturating_add(self.timeout_ms) <= now_ms
    }
}

fn key(session: &[u8]) -> [u8; 16] {
    Md5::digest(session).into()
}

/// Where the id of the server is.
fn place(guard: &Guard<'_>, record: Record) -> usize {
    usize::try_from(record.value(guard, SERVER)).unwrap_or(usize::MAX)
}

fn put(guard: &Guard<'_>, at: usize, server: &[u8]) {
    let server = server.get(..LONGEST_ID).unwrap_or(server);
    guard.set(at, server.len() as u64);
    // The room was allocated for the longest id.
    guard.write(at + 8, server);
}

fn add(guard: &Guard<'_>, table: Table, key: &[u8], server: &[u8], now_ms: u64) -> bool {
    let Some(at) = guard.allocate(8 + LONGEST_ID) else { return false };
    let Some(record) = table.insert(guard, key) else {
        guard.free(at);
        return false;
    };
    put(guard, at, server);
    record.set_value(guard, USED_MS, now_ms);
    record.set_value(guard, SERVER, at as u64);
    true
}

fn remove(guard: &Guard<'_>, table: Table, record: Record) {
    guard.free(place(guard, record));
    table.remove(guard, record);
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::zone::MIN_SIZE;

    fn sessions(timeout_ms: u64) -> Sessions {
        Sessions::new(Rc::new(Zone::new("z", OWNER, MIN_SIZE).unwrap()), timeout_ms)
    }

    fn find(sessions: &Sessions, session: &str, now_ms: u64) -> Option<String> {
        let mut out = Vec::new();
        sessions.find(session.as_bytes(), now_ms, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn sessions_are_learned_moved_and_forgotten() {
        let sessions = sessions(100);
        assert_eq!(sessions.bind(b"s", b"a", false, 0), BindOutcome::Unknown);
        assert_eq!(sessions.bind(b"s", b"a", true, 0), BindOutcome::Kept);
        assert_eq!(find(&sessions, "s", 99).as_deref(), Some("a"));
        assert_eq!(find(&sessions, "t", 0), None);
        // Use prolongs it, and another server takes it over.
        assert_eq!(sessions.bind(b"s", b"longer", false, 99), BindOutcome::Kept);
        assert_eq!(find(&sessions, "s", 150).as_deref(), Some("longer"));
        // What has run out is not prolonged by a response that comes too late.
        assert_eq!(sessions.bind(b"s", b"a", false, 199), BindOutcome::Unknown);
        assert_eq!(find(&sessions, "s", 199), None);
    }

    #[test]
    fn a_full_zone_loses_the_session_unused_for_longest() {
        let sessions = sessions(1_000_000);
        let count = (0..10_000).find(|i| sessions.bind(format!("s{i}").as_bytes(), b"a", true, *i) == BindOutcome::Displaced).unwrap();
        assert!(count >= 150, "{count}");
        assert_eq!(find(&sessions, "s0", count), None);
        assert_eq!(find(&sessions, "s1", count).as_deref(), Some("a"));
        // Old ones go without a word.
        assert_eq!(sessions.bind(b"new", b"a", true, 2_000_000), BindOutcome::Kept);
        assert_eq!(find(&sessions, "s1", 2_000_000), None);
    }

    #[test]
    fn who_dies_while_changing_it_costs_the_sessions_and_nothing_else() {
        let sessions = sessions(100);
        assert_eq!(sessions.bind(b"s", b"a", true, 0), BindOutcome::Kept);
        let zone = sessions.zone.clone();
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            zone.lock().set_root(1, 7);
            let guard = zone.lock();
            guard.set_root(0, 7);
            panic!("in the middle");
        }));
        assert!(broken.is_err());
        assert_eq!(find(&sessions, "s", 0), None);
        assert_eq!(sessions.bind(b"s", b"a", true, 0), BindOutcome::Kept);
    }
}
