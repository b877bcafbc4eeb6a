//! What one request remembers while it tries servers, one after the other.

use crate::snapshot::Snapshot;
use crate::tier::IndexSet;
use std::rc::Rc;

/// The servers that a request has tried and the place where it looks next.
#[derive(Debug, Default)]
pub struct Selection {
    pub(crate) tried: IndexSet,
    /// The primary servers are exhausted; the backups are asked now.
    pub(crate) backup: bool,
    /// Tries left, the current one included.
    pub tries: usize,
    /// What `hash` and `ip_hash` hash.
    pub key: Vec<u8>,
    /// The id of the server that the request is bound to; empty for none.
    pub bound: Vec<u8>,
    /// The peers among which the request began to choose.
    pub(crate) snapshot: Option<Rc<Snapshot>>,
    /// Where a hash has led so far.
    pub(crate) hash: Option<u32>,
    /// How often the key was hashed.
    pub(crate) hashed: u32,
    /// How often a hash or chance led to a server that cannot be asked.
    pub(crate) misses: u32,
}

impl Selection {
    /// Makes it ready for another request, keeping its memory.
    pub fn reset(&mut self) {
        self.tried.clear();
        self.backup = false;
        self.tries = 0;
        self.key.clear();
        self.bound.clear();
        self.snapshot = None;
        self.hash = None;
        self.hashed = 0;
        self.misses = 0;
    }

    /// Looks among all servers once more: who waits for one may find what was not there before.
    pub fn begin_again(&mut self) {
        self.backup = false;
        self.snapshot = None;
        self.misses = 0;
    }

    pub(crate) fn enter_backup(&mut self) {
        self.backup = true;
        self.tried.clear();
    }

    /// After as many misses round robin decides, as in nginx.
    pub(crate) fn has_missed_enough(&self) -> bool {
        self.misses > 20
    }

    pub(crate) fn miss(&mut self) {
        self.misses += 1;
    }
}
