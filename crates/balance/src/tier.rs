//! Peers of one rank (primary or backup), and the set of those that a request has tried.

use crate::peer::{Peer, SLOW_SCALE};
use std::rc::Rc;

/// The peers that are asked before the others, or after them.
#[derive(Debug, Default)]
pub(crate) struct Tier {
    pub(crate) peers: Vec<Rc<Peer>>,
    pub(crate) total_weight: i64,
    /// What a unit of weight counts.
    pub(crate) scale: i64,
}

impl Tier {
    pub(crate) fn new(peers: Vec<Rc<Peer>>) -> Tier {
        let total_weight = peers.iter().map(|peer| peer.server.weight).sum();
        let slow = peers.iter().any(|peer| peer.server.slow_start != 0);
        Tier { peers, total_weight, scale: if slow { SLOW_SCALE } else { 1 } }
    }

    /// The peers that may be asked.
    pub(crate) fn candidates<'a>(&'a self, tried: &'a IndexSet, now_ms: u64) -> impl Iterator<Item = (usize, &'a Rc<Peer>)> + Clone {
        self.peers.iter().enumerate().filter(move |(i, peer)| !tried.has(*i) && peer.is_available(now_ms))
    }

    /// The peer that is called `id`, if a request that is bound to it may go there.
    pub(crate) fn bound(&self, id: &[u8], tried: &IndexSet, now_ms: u64) -> Option<usize> {
        if id.is_empty() {
            return None;
        }
        let index = self.peers.iter().position(|peer| peer.id.as_bytes() == id)?;
        self.peers.get(index).filter(|peer| !tried.has(index) && peer.takes_bound(now_ms))?;
        Some(index)
    }

    /// The peer whose share of the total weight `place` falls in.
    pub(crate) fn at_weight(&self, mut place: i64) -> Option<usize> {
        self.peers.iter().position(|peer| {
            place -= peer.server.weight;
            place < 0
        })
    }
}

/// A set of places in a list.
#[derive(Debug, Default)]
pub(crate) struct IndexSet(Vec<u64>);

impl IndexSet {
    pub(crate) fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    pub(crate) fn mark(&mut self, index: usize) {
        let word = index / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(slot) = self.0.get_mut(word) {
            *slot |= 1 << (index % 64);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
