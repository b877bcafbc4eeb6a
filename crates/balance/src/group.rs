//! The servers of one `upstream`, and the smooth weighted round robin over them.
//!
//! Each pick adds every server's effective weight to its current weight, takes the greatest, and subtracts the total
//! from it: with weights 5, 1, 1 the order is a a b a c a a. A failure lowers the effective weight; each later pick
//! gives back one (nginx manual, `ngx_http_upstream_module`).

use crate::peer::{Peer, Server};
use crate::selection::Selection;
use std::rc::Rc;

/// How a server is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// Fewest requests in relation to the weight; round robin among equals.
    LeastConnections,
    /// By the first three octets of an IPv4 address or a whole IPv6 one (the selection's key).
    IpHash,
}

/// How a request went, as far as the server's health is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Good,
    /// It answered with something that lets the request go on elsewhere without blame (403, 404), or nothing can be said.
    Neutral,
    /// It failed.
    Failed,
}

/// A group at work in one worker.
#[derive(Debug)]
pub struct Group {
    primary: Vec<Rc<Peer>>,
    backup: Vec<Rc<Peer>>,
    policy: Policy,
}

impl Group {
    /// A group of these servers.
    #[must_use]
    pub fn new(servers: Vec<Server>, policy: Policy) -> Group {
        let (backup, primary): (Vec<_>, Vec<_>) = servers.into_iter().partition(|s| s.backup);
        let peers = |list: Vec<Server>| list.into_iter().map(|s| Rc::new(Peer::new(s))).collect();
        Group { primary: peers(primary), backup: peers(backup), policy }
    }

    /// All servers, backups last.
    pub fn peers(&self) -> impl Iterator<Item = &Rc<Peer>> {
        self.primary.iter().chain(&self.backup)
    }

    /// How a server is chosen.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// One server and no other: its failures are never counted, as there is nobody to go to.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.primary.len() == 1 && self.backup.is_empty()
    }

    /// How many servers a request may try.
    #[must_use]
    pub fn tries(&self) -> usize {
        self.peers().filter(|p| !p.server.down).count().max(1)
    }

    /// The next server for a request; `None` when none is left alive. `now` is in seconds and never goes back.
    pub fn next(&self, selection: &mut Selection, now: i64) -> Option<Rc<Peer>> {
        if self.is_single() {
            let peer = self.primary.first()?;
            if peer.server.down || peer.is_full() || selection.has_tried(0) && selection.tries == 0 {
                return None;
            }
            selection.mark(0);
            peer.chosen(now);
            return Some(peer.clone());
        }
        if !selection.backup {
            let found = match self.policy {
                Policy::RoundRobin => round_robin(&self.primary, selection, now),
                Policy::LeastConnections => least_connections(&self.primary, selection, now),
                Policy::IpHash => ip_hash(&self.primary, selection, now),
            };
            if found.is_some() {
                return found;
            }
            selection.enter_backup();
        }
        match self.policy {
            Policy::LeastConnections => least_connections(&self.backup, selection, now),
            Policy::RoundRobin | Policy::IpHash => round_robin(&self.backup, selection, now),
        }
    }

    /// Ends a request's use of `peer`; true when its failure disabled the server now.
    pub fn release(&self, peer: &Peer, verdict: Verdict, now: i64) -> bool {
        peer.released();
        match verdict {
            _ if self.is_single() => false,
            Verdict::Failed => peer.failed(now),
            Verdict::Good | Verdict::Neutral => {
                peer.succeeded();
                false
            }
        }
    }
}

fn take(peers: &[Rc<Peer>], index: usize, selection: &mut Selection, now: i64) -> Option<Rc<Peer>> {
    let peer = peers.get(index)?;
    selection.mark(index);
    peer.chosen(now);
    Some(peer.clone())
}

/// The candidates of a pick, in order.
fn candidates<'a>(peers: &'a [Rc<Peer>], selection: &'a Selection, now: i64) -> impl Iterator<Item = (usize, &'a Rc<Peer>)> {
    peers.iter().enumerate().filter(move |(i, p)| !selection.has_tried(*i) && p.is_available(now))
}

/// One smooth step over `among`: the index of the winner.
fn smooth<'a>(among: impl Iterator<Item = (usize, &'a Rc<Peer>)>) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(usize, &Rc<Peer>)> = None;
    for (index, peer) in among {
        let effective = peer.effective_weight.get();
        peer.current_weight.set(peer.current_weight.get() + effective);
        total += effective;
        if effective < peer.server.weight {
            peer.effective_weight.set(effective + 1);
        }
        if best.is_none_or(|(_, b)| peer.current_weight.get() > b.current_weight.get()) {
            best = Some((index, peer));
        }
    }
    let (index, peer) = best?;
    peer.current_weight.set(peer.current_weight.get() - total);
    Some(index)
}

fn round_robin(peers: &[Rc<Peer>], selection: &mut Selection, now: i64) -> Option<Rc<Peer>> {
    let index = smooth(candidates(peers, selection, now))?;
    take(peers, index, selection, now)
}

fn least_connections(peers: &[Rc<Peer>], selection: &mut Selection, now: i64) -> Option<Rc<Peer>> {
    // a/wa < b/wb without division.
    let load = |p: &Rc<Peer>, q: &Rc<Peer>| {
        let cross = |x: &Peer, y: &Peer| i128::from(x.connections.get()) * i128::from(y.server.weight);
        cross(p, q).cmp(&cross(q, p))
    };
    let least = candidates(peers, selection, now).map(|(_, p)| p).min_by(|a, b| load(a, b))?.clone();
    let index = smooth(candidates(peers, selection, now).filter(|(_, p)| load(p, &least).is_eq()))?;
    take(peers, index, selection, now)
}

/// nginx's hash of a client address, chained over retries; after twenty misses round robin decides.
fn ip_hash(peers: &[Rc<Peer>], selection: &mut Selection, now: i64) -> Option<Rc<Peer>> {
    let total: i64 = peers.iter().map(|p| p.server.weight).sum();
    let key = selection.key.clone().unwrap_or_default();
    let mut hash: u32 = 89;
    for _ in 0..20 {
        for byte in &key {
            hash = (hash * 113 + u32::from(*byte)) % 6271;
        }
        let mut place = i64::from(hash) % total.max(1);
        let index = peers.iter().position(|p| {
            place -= p.server.weight;
            place < 0
        })?;
        let peer = peers.get(index)?;
        if !selection.has_tried(index) && peer.is_available(now) {
            return take(peers, index, selection, now);
        }
    }
    round_robin(peers, selection, now)
}

#[cfg(test)]
mod tests;
