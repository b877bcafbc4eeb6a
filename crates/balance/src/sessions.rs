//! Which server a session is bound to, learned from answers (`sticky learn`): a table in a zone that all workers share.
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

/// What came of learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
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
        let length = guard.get(at) as usize;
        length <= LONGEST_ID && guard.append_to(at + 8, length, out)
    }

    /// Binds a session to a server; one that is not known yet only if `create`.
    pub fn learn(&self, session: &[u8], server: &[u8], create: bool, now_ms: u64) -> Learned {
        let guard = self.zone.lock();
        let Some(table) = Table::open(&guard) else { return Learned::Full };
        let key = key(session);
        if let Some(record) = table.find(&guard, &key) {
            put(&guard, place(&guard, record), server);
            record.set_value(&guard, USED_MS, now_ms);
            table.touch(&guard, record);
            return Learned::Kept;
        }
        if !create {
            return Learned::Unknown;
        }
        for _ in 0..SWEPT {
            match table.oldest(&guard) {
                Some(record) if self.is_old(&guard, record, now_ms) => remove(&guard, table, record),
                _ => break,
            }
        }
        if add(&guard, table, &key, server, now_ms) {
            return Learned::Kept;
        }
        if let Some(record) = table.oldest(&guard) {
            remove(&guard, table, record);
        }
        if add(&guard, table, &key, server, now_ms) { Learned::Displaced } else { Learned::Full }
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
    record.value(guard, SERVER) as usize
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
