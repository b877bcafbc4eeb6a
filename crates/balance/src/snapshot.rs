//! The peers of a group at one moment.

use crate::method::ring::Ring;
use crate::peer::{Peer, SLOW_SCALE};
use crate::selection::Tried;
use crate::server::Standing;
use std::cell::OnceCell;
use std::rc::Rc;

/// All peers of a group. It never changes.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(crate) primary: Tier,
    pub(crate) backup: Tier,
    /// The ring of `hash … consistent`, made when it is first asked for.
    pub(crate) ring: OnceCell<Ring>,
    /// Which state of the zone it shows.
    pub(crate) version: u64,
}

/// The peers that are asked before the others, or after them.
#[derive(Debug, Default)]
pub(crate) struct Tier {
    pub(crate) peers: Vec<Rc<Peer>>,
    pub(crate) total_weight: i64,
    /// What a unit of weight counts.
    pub(crate) scale: i64,
}

impl Snapshot {
    pub(crate) fn new(peers: impl IntoIterator<Item = Rc<Peer>>, version: u64) -> Snapshot {
        let (backup, primary) = peers.into_iter().partition(|peer| peer.server.backup);
        Snapshot { primary: Tier::new(primary), backup: Tier::new(backup), ring: OnceCell::new(), version }
    }

    /// All peers, backups last.
    pub fn peers(&self) -> impl Iterator<Item = &Rc<Peer>> {
        self.primary.peers.iter().chain(&self.backup.peers)
    }

    /// One server and no other: its failures are never counted, as there is nobody to go to.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.primary.peers.len() == 1 && self.backup.peers.is_empty()
    }

    /// How many servers a request may try.
    #[must_use]
    pub fn tries(&self) -> usize {
        self.peers().filter(|peer| peer.standing() == Standing::Up).count()
    }
}

impl Tier {
    fn new(peers: Vec<Rc<Peer>>) -> Tier {
        let total_weight = peers.iter().map(|peer| peer.server.weight).sum();
        let slow = peers.iter().any(|peer| peer.server.slow_start != 0);
        Tier { peers, total_weight, scale: if slow { SLOW_SCALE } else { 1 } }
    }

    /// The peers that may be asked.
    pub(crate) fn candidates<'a>(&'a self, tried: &'a Tried, now_ms: u64) -> impl Iterator<Item = (usize, &'a Rc<Peer>)> + Clone {
        self.peers.iter().enumerate().filter(move |(i, peer)| !tried.has(*i) && peer.is_available(now_ms))
    }

    /// The peer that is called `id`, if a request that is bound to it may go there.
    pub(crate) fn bound(&self, id: &[u8], tried: &Tried, now_ms: u64) -> Option<usize> {
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
