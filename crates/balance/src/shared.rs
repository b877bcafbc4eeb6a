//! Peers in a zone that all workers share: their numbers, and the addresses that names at work have now.
//!
//! There is no lock. A number is one word and only added to or set whole. What a worker that dies costs:
//! - in a pick: the turns of that pick, once;
//! - while it serves requests: nothing, as each worker keeps account of its own requests, and its successor begins anew. What a
//!   server has is the sum of all accounts;
//! - while it writes an address down: that address, until its successor asks for the name again.
//!
//! Records of servers with fixed addresses come first, each at the place that the configuration gives it. Behind them are those
//! of names, written by one worker at a time (the one that resolves), read by all.

use crate::counters::{COUNTERS, Counter, Counters};
use shm::{Records, Zone};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// What a zone of this kind is for.
pub const OWNER: &str = "upstream";
/// Workers that have accounts of their own. Those beyond share one more, and what they had counted stays when they die.
const ACCOUNTS: usize = 64;
/// How often a server's last free place is tried for when several workers want it at once.
const ATTEMPTS: usize = 8;

/// Words of a record.
mod at {
    use super::{ACCOUNTS, COUNTERS};
    /// Half-words, one for each account.
    pub(super) const ACCOUNTS_AT: usize = COUNTERS;
    pub(super) const STATE: usize = ACCOUNTS_AT + ACCOUNTS / 2 + 1;
    /// When it joined, as a number that grows.
    pub(super) const JOINED: usize = STATE + 1;
    pub(super) const GROUP: usize = JOINED + 1;
    /// Identity of the name: of its group, host and service.
    pub(super) const NAME: usize = GROUP + 1;
    pub(super) const TEMPLATE: usize = NAME + 1;
    pub(super) const WEIGHT: usize = TEMPLATE + 1;
    pub(super) const BACKUP: usize = WEIGHT + 1;
    /// Until when the name's answer holds, milliseconds.
    pub(super) const VALID: usize = BACKUP + 1;
    pub(super) const LENGTHS: usize = VALID + 1;
    pub(super) const ADDRESS: usize = LENGTHS + 1;
    pub(super) const SERVER: usize = ADDRESS + super::ADDRESS_SIZE / 8;
    pub(super) const END: usize = SERVER + super::SERVER_SIZE / 8;
}

const ADDRESS_SIZE: usize = 64;
const SERVER_SIZE: usize = 256;

/// Header words.
const VERSION: usize = 0;
const JOINS: usize = 1;
/// How many accounts are in use.
const WORKERS: usize = 2;

/// States of a record of a name.
const FREE: u64 = 0;
const LIVE: u64 = 1;
const LEFT: u64 = 2;

/// A zone with peers.
#[derive(Debug)]
pub struct SharedPeers {
    records: Records,
    /// Records that servers with fixed addresses have.
    fixed: Cell<usize>,
    worker: Cell<usize>,
}

/// An address of a name, as the zone has it.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) record: usize,
    pub(crate) joined: u64,
    pub(crate) template: usize,
    pub(crate) name: u64,
    pub(crate) address: SocketAddr,
    pub(crate) server: String,
    pub(crate) weight: i64,
    pub(crate) backup: bool,
    pub(crate) valid_ms: u64,
}

impl SharedPeers {
    /// The peers of a zone.
    #[must_use]
    pub fn new(zone: Rc<Zone>) -> SharedPeers {
        SharedPeers { records: Records::new(zone, at::END), fixed: Cell::new(0), worker: Cell::new(0) }
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &Rc<Zone> {
        self.records.zone()
    }

    /// Reserves a record for a server with a fixed address; `None`: the zone is full.
    pub(crate) fn reserve(&self) -> Option<usize> {
        let record = self.fixed.get();
        if record >= self.records.capacity() {
            return None;
        }
        self.fixed.set(record + 1);
        Some(record)
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

    /// Requests that a server has, of all workers.
    fn connections(&self, record: usize) -> u64 {
        let accounts = self.records.header(WORKERS).load(Acquire).clamp(1, ACCOUNTS as u64 + 1);
        (0..accounts as usize).map(|i| u64::from(self.records.half(record, at::ACCOUNTS_AT, i).load(Acquire))).sum()
    }

    /// Grows whenever addresses come or go.
    pub(crate) fn version(&self) -> u64 {
        self.records.header(VERSION).load(Acquire)
    }

    pub(crate) fn changed(&self) {
        self.records.header(VERSION).fetch_add(1, AcqRel);
    }

    /// The addresses of a group's names, in the order in which they joined.
    pub(crate) fn resolved(&self, group: u64) -> Vec<Resolved> {
        let names = self.fixed.get()..self.records.capacity();
        let mut list: Vec<Resolved> = names.filter_map(|record| self.read(record, group)).collect();
        list.sort_by_key(|resolved| resolved.joined);
        list
    }

    fn word(&self, record: usize, i: usize) -> &AtomicU64 {
        self.records.word(record, i)
    }

    fn read(&self, record: usize, group: u64) -> Option<Resolved> {
        let get = |i| self.word(record, i).load(Relaxed);
        let is_live = || self.word(record, at::STATE).load(Acquire) == LIVE;
        let joined = self.word(record, at::JOINED).load(Acquire);
        if !is_live() || get(at::GROUP) != group {
            return None;
        }
        let lengths = get(at::LENGTHS);
        let address = self.records.read(record, at::ADDRESS, (lengths & 0xffff) as usize)?;
        let server = self.records.read(record, at::SERVER, (lengths >> 16) as usize)?;
        let resolved = Resolved {
            record,
            joined,
            template: get(at::TEMPLATE) as usize,
            name: get(at::NAME),
            address: std::str::from_utf8(&address).ok()?.parse().ok()?,
            server: String::from_utf8(server).ok()?,
            weight: i64::try_from(get(at::WEIGHT)).ok()?,
            backup: get(at::BACKUP) != 0,
            valid_ms: get(at::VALID),
        };
        // It may have been given to another address meanwhile.
        (is_live() && self.word(record, at::JOINED).load(Acquire) == joined).then_some(resolved)
    }

    /// Adds an address; false: the zone is full.
    pub(crate) fn join(&self, group: u64, resolved: &Resolved) -> bool {
        let text = resolved.address.to_string();
        let server = resolved.server.get(..resolved.server.len().min(SERVER_SIZE)).unwrap_or_default();
        let mut names = self.fixed.get()..self.records.capacity();
        let Some(record) = names.find(|record| self.is_free(*record)) else { return false };
        self.word(record, at::STATE).store(FREE, Release);
        let joined = self.records.header(JOINS).fetch_add(1, AcqRel) + 1;
        self.word(record, at::JOINED).store(joined, Release);
        for i in 0..at::STATE {
            self.word(record, i).store(0, Relaxed);
        }
        let words = [
            (at::GROUP, group),
            (at::NAME, resolved.name),
            (at::TEMPLATE, resolved.template as u64),
            (at::WEIGHT, resolved.weight.unsigned_abs()),
            (at::BACKUP, u64::from(resolved.backup)),
            (at::VALID, resolved.valid_ms),
            (at::LENGTHS, text.len() as u64 | (server.len() as u64) << 16),
        ];
        for (i, value) in words {
            self.word(record, i).store(value, Relaxed);
        }
        let written = self.records.write(record, at::ADDRESS, text.as_bytes()) && self.records.write(record, at::SERVER, server.as_bytes());
        if written {
            self.word(record, at::STATE).store(LIVE, Release);
        }
        written
    }

    /// Nobody uses the record: it was never live, or its address has left and the last request to it has ended.
    fn is_free(&self, record: usize) -> bool {
        match self.word(record, at::STATE).load(Acquire) {
            LIVE => false,
            LEFT => self.connections(record) == 0,
            _ => true,
        }
    }

    /// Takes an address out.
    pub(crate) fn leave(&self, record: usize) {
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
    fn own(&self) -> &AtomicU32 {
        self.peers.records.half(self.record, at::ACCOUNTS_AT, self.peers.worker.get())
    }
}

impl Counters for Shared {
    fn get(&self, counter: Counter) -> i64 {
        self.peers.word(self.record, counter as usize).load(Relaxed).cast_signed()
    }

    fn set(&self, counter: Counter, value: i64) {
        self.peers.word(self.record, counter as usize).store(value.cast_unsigned(), Relaxed);
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
            self.own().fetch_add(1, AcqRel);
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
        self.own().fetch_sub(1, AcqRel);
    }
}
