//! Peers in a zone that all workers share: who is in a group, and the numbers of each.
//!
//! Numbers take no lock: each is one word and only added to or set whole. What a worker that dies costs:
//! - in a pick: the turns of that pick, once;
//! - while it serves requests: nothing, as each worker keeps account of its own requests, and its successor begins anew. What a
//!   server has is the sum of all accounts;
//! - while it writes a new member down: that member, which nobody has seen yet;
//! - while it changes one: readers may see half of the change until the next one.
//!
//! Who writes members down holds a lock, which is free again when its holder dies. Readers need none: a record says by its state
//! and its revision whether it was another meanwhile.

use crate::counters::{COUNTERS, Counter, Counters};
use crate::member::{Identity, Member};
use shm::{Records, Zone, lease, lock};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

mod text;

/// What a zone of this kind is for.
pub const OWNER: &str = "upstream";
/// Workers that have accounts of their own. Those beyond share one more, and what they had counted stays when they die.
const ACCOUNTS: usize = 64;
/// How often a server's last free place is tried for when several workers want it at once.
const ATTEMPTS: usize = 8;
/// How often a record that is being changed is read again before it is taken as it is.
const LOOKS: usize = 64;

/// Words of a record.
mod at {
    use super::{ACCOUNTS, COUNTERS};
    /// Half-words, one for each account.
    pub(super) const ACCOUNTS_AT: usize = COUNTERS;
    pub(super) const STATE: usize = ACCOUNTS_AT + ACCOUNTS / 2 + 1;
    /// When it joined, as a number that grows.
    pub(super) const JOINED: usize = STATE + 1;
    /// Odd while it is being changed.
    pub(super) const REVISION: usize = JOINED + 1;
    pub(super) const GROUP: usize = REVISION + 1;
    pub(super) const ID: usize = GROUP + 1;
    /// The number of its name and one more; 0 for none.
    pub(super) const PARENT: usize = ID + 1;
    /// Identity of the name: of its group, host and service.
    pub(super) const NAME: usize = PARENT + 1;
    pub(super) const PORT: usize = NAME + 1;
    pub(super) const WEIGHT: usize = PORT + 1;
    pub(super) const MAX_CONNS: usize = WEIGHT + 1;
    pub(super) const MAX_FAILS: usize = MAX_CONNS + 1;
    pub(super) const FAIL_TIMEOUT: usize = MAX_FAILS + 1;
    pub(super) const SLOW_START: usize = FAIL_TIMEOUT + 1;
    pub(super) const FLAGS: usize = SLOW_START + 1;
    /// Until when the name's answer holds, milliseconds.
    pub(super) const VALID: usize = FLAGS + 1;
    pub(super) const LENGTHS: usize = VALID + 1;
    pub(super) const TEXT: usize = LENGTHS + 1;
    pub(super) const END: usize = TEXT + super::text::SIZE / 8;
}

/// Header words.
const VERSION: usize = 0;
const JOINS: usize = 1;
/// How many accounts are in use.
const WORKERS: usize = 2;
const LOCK: usize = 3;
const LEASE: usize = 4;

/// States of a record.
const FREE: u64 = 0;
const LIVE: u64 = 1;
const LEFT: u64 = 2;

/// A zone with peers.
#[derive(Debug)]
pub struct SharedPeers {
    records: Records,
    worker: Cell<usize>,
}

/// Exclusive access to the members of the zone's groups.
#[derive(Debug)]
pub struct Locked<'a>(&'a AtomicU64);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        lock::release(self.0);
    }
}

impl SharedPeers {
    /// The peers of a zone.
    #[must_use]
    pub fn new(zone: Rc<Zone>) -> SharedPeers {
        SharedPeers { records: Records::new(zone, at::END), worker: Cell::new(0) }
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &Rc<Zone> {
        self.records.zone()
    }

    /// To be called by a worker when it starts: from now on it counts for itself, and what its predecessor of the same number had
    /// counted when it died counts no more.
    pub fn start_worker(&self, number: usize) {
        let account = number.min(ACCOUNTS);
        self.worker.set(account);
        self.records.header(WORKERS).fetch_max(account as u64 + 1, AcqRel);
        if account == ACCOUNTS {
            return;
        }
        for record in 0..self.records.capacity() {
            self.records.half(record, at::ACCOUNTS_AT, account).store(0, Release);
        }
    }

    /// Takes the lease for the work that one process does for all, or keeps it.
    #[must_use]
    pub fn lease(&self) -> bool {
        lease::take(self.records.header(LEASE))
    }

    /// Gives that lease back.
    pub fn release_lease(&self) {
        lease::release(self.records.header(LEASE));
    }

    /// Waits for exclusive access to the members of the zone's groups.
    #[must_use]
    pub fn lock(&self) -> Locked<'_> {
        let word = self.records.header(LOCK);
        lock::acquire(word);
        Locked(word)
    }

    /// Requests that a server has, of all workers.
    fn connections(&self, record: usize) -> u64 {
        let accounts = self.records.header(WORKERS).load(Acquire).clamp(1, ACCOUNTS as u64 + 1);
        let accounts = usize::try_from(accounts).unwrap_or(ACCOUNTS);
        (0..accounts).map(|i| u64::from(self.records.half(record, at::ACCOUNTS_AT, i).load(Acquire))).sum()
    }

    /// Grows whenever members come, go or change.
    pub(crate) fn version(&self) -> u64 {
        self.records.header(VERSION).load(Acquire)
    }

    pub(crate) fn changed(&self) {
        self.records.header(VERSION).fetch_add(1, AcqRel);
    }

    /// The members of a group, in the order in which they joined.
    pub(crate) fn members(&self, group: u64) -> Vec<Member> {
        let mut list: Vec<Member> = (0..self.records.capacity()).filter_map(|record| self.read(record, group)).collect();
        list.sort_by_key(|member| member.identity.joined);
        list
    }

    fn word(&self, record: usize, i: usize) -> &AtomicU64 {
        self.records.word(record, i)
    }

    /// What a record says, if it is a live one of the group.
    fn read(&self, record: usize, group: u64) -> Option<Member> {
        let is_live = || self.word(record, at::STATE).load(Acquire) == LIVE;
        let joined = self.word(record, at::JOINED).load(Acquire);
        if !is_live() || self.word(record, at::GROUP).load(Relaxed) != group {
            return None;
        }
        let mut found = None;
        for _ in 0..LOOKS {
            let revision = self.word(record, at::REVISION).load(Acquire);
            found = self.decode(record, Identity { record, joined, revision });
            if revision & 1 == 0 && self.word(record, at::REVISION).load(Acquire) == revision {
                break;
            }
            std::thread::yield_now();
        }
        // It may have been given to another meanwhile.
        found.filter(|_| is_live() && self.word(record, at::JOINED).load(Acquire) == joined)
    }

    /// Adds a member, which gets its number; `None`: the zone is full. The caller holds the lock, unless no other process knows the zone.
    pub(crate) fn join(&self, group: u64, member: &Member, health: i64) -> Option<Member> {
        let record = (0..self.records.capacity()).find(|record| self.is_free(*record))?;
        let id = self.next_id(group);
        self.word(record, at::STATE).store(FREE, Release);
        let joined = self.records.header(JOINS).fetch_add(1, AcqRel) + 1;
        self.word(record, at::JOINED).store(joined, Release);
        for i in (0..at::STATE).chain([at::REVISION]) {
            self.word(record, i).store(0, Relaxed);
        }
        let identity = Identity { record, joined, revision: 0 };
        let member = Member { id, identity, ..member.clone() };
        self.word(record, at::GROUP).store(group, Relaxed);
        self.word(record, Counter::Health as usize).store(health.cast_unsigned(), Relaxed);
        if !self.encode(record, &member) {
            return None;
        }
        self.word(record, at::STATE).store(LIVE, Release);
        Some(member)
    }

    /// The number behind all that members of the group have or had, as far as records tell.
    fn next_id(&self, group: u64) -> u64 {
        let own = (0..self.records.capacity())
            .filter(|record| self.word(*record, at::STATE).load(Acquire) != FREE && self.word(*record, at::GROUP).load(Relaxed) == group);
        own.map(|record| self.word(record, at::ID).load(Relaxed) + 1).max().unwrap_or(0)
    }

    /// Writes a member's new words over its old ones; false: they are too long, and nothing has changed.
    pub(crate) fn rewrite(&self, member: &Member) -> bool {
        let record = member.identity.record;
        if !text::fits_in_record(member) {
            return false;
        }
        let revision = self.word(record, at::REVISION);
        let odd = revision.load(Acquire) | 1;
        revision.store(odd, Release);
        std::sync::atomic::fence(Release);
        self.encode(record, member);
        revision.store(odd + 1, Release);
        true
    }

    /// Members of a group that have left and still have requests.
    pub(crate) fn zombies(&self, group: u64) -> usize {
        let left =
            |record: &usize| self.word(*record, at::STATE).load(Acquire) == LEFT && self.word(*record, at::GROUP).load(Relaxed) == group;
        (0..self.records.capacity()).filter(left).filter(|record| self.connections(*record) > 0).count()
    }

    /// The record is unused: it was never live, or it was removed and the last request to it has ended.
    fn is_free(&self, record: usize) -> bool {
        match self.word(record, at::STATE).load(Acquire) {
            LIVE => false,
            LEFT => self.connections(record) == 0,
            _ => true,
        }
    }

    /// A number of a record.
    pub(crate) fn get(&self, record: usize, counter: Counter) -> i64 {
        self.word(record, counter as usize).load(Relaxed).cast_signed()
    }

    /// Sets a number of a record.
    pub(crate) fn set(&self, record: usize, counter: Counter, value: i64) {
        self.word(record, counter as usize).store(value.cast_unsigned(), Relaxed);
    }

    /// Takes a member out.
    pub(crate) fn remove(&self, record: usize) {
        self.word(record, at::STATE).store(LEFT, Release);
    }

    /// Notes until when an address holds.
    pub(crate) fn hold(&self, record: usize, valid_ms: u64) {
        self.word(record, at::VALID).store(valid_ms, Relaxed);
    }
}

/// The numbers of a peer in a zone.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peers: Rc<SharedPeers>,
    pub(crate) record: usize,
}

impl Shared {
    fn account(&self) -> &AtomicU32 {
        self.peers.records.half(self.record, at::ACCOUNTS_AT, self.peers.worker.get())
    }
}

impl Counters for Shared {
    fn get(&self, counter: Counter) -> i64 {
        self.peers.get(self.record, counter)
    }

    fn set(&self, counter: Counter, value: i64) {
        self.peers.set(self.record, counter, value);
    }

    fn add(&self, counter: Counter, by: i64) -> i64 {
        self.peers.word(self.record, counter as usize).fetch_add(by.cast_unsigned(), AcqRel).cast_signed().wrapping_add(by)
    }

    fn connections(&self) -> u64 {
        self.peers.connections(self.record)
    }

    fn connect(&self, limit: u64) -> bool {
        for _ in 0..ATTEMPTS {
            if limit != 0 && self.connections() >= limit {
                return false;
            }
            self.account().fetch_add(1, AcqRel);
            if limit == 0 || self.connections() <= limit {
                return true;
            }
            // Others came at the same moment: all go back, and the first to try again gets it.
            self.disconnect();
            std::thread::yield_now();
        }
        false
    }

    fn disconnect(&self) {
        self.account().fetch_sub(1, AcqRel);
    }
}
