//! The peers of a group at one moment.

use crate::peer::Peer;
use crate::ring::Ring;
use crate::server::ServerState;
use crate::template::Template;
use crate::tier::Tier;
use std::cell::OnceCell;
use std::rc::Rc;

/// All peers of a group. It never changes.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(crate) primary: Tier,
    pub(crate) backup: Tier,
    ring: OnceCell<Ring>,
    /// Names that stand for some of them.
    pub(crate) names: Vec<Rc<Template>>,
    /// Which state of the zone it shows.
    pub(crate) version: u64,
}

impl Snapshot {
    pub(crate) fn new(peers: impl IntoIterator<Item = Rc<Peer>>, names: Vec<Rc<Template>>, version: u64) -> Snapshot {
        let (backup, primary) = peers.into_iter().partition(|peer| peer.server.backup);
        Snapshot { primary: Tier::new(primary), backup: Tier::new(backup), ring: OnceCell::new(), names, version }
    }

    /// Names that stand for some of the peers.
    #[must_use]
    pub fn names(&self) -> &[Rc<Template>] {
        &self.names
    }

    /// The ring of `hash … consistent`, made when it is first asked for.
    pub(crate) fn ring(&self) -> &Ring {
        self.ring.get_or_init(|| Ring::new(&self.primary))
    }

    /// All peers: the primary ones first, then the backups.
    pub fn peers(&self) -> impl Iterator<Item = &Rc<Peer>> {
        self.primary.peers.iter().chain(&self.backup.peers)
    }

    /// There is only one server: its failures are never counted, because there is no alternative.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.primary.peers.len() == 1 && self.backup.peers.is_empty()
    }

    /// How many servers a request may try.
    #[must_use]
    pub fn tries(&self) -> usize {
        self.peers().filter(|peer| peer.state() == ServerState::Up).count()
    }
}
