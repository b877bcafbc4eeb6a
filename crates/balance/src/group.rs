//! A group at work: who is next, and what came of it.

use crate::method::random::Dice;
use crate::method::{Balancing, Measure, consistent, hash, ip_hash, least_conn, least_time, random, round_robin};
use crate::peer::{Choice, Peer, Timing};
use crate::selection::Selection;
use crate::server::Server;
use crate::shared::{Resolved, Shared, SharedPeers};
use crate::snapshot::Snapshot;
use crate::template::{Found, Template, Update, identity};
use crate::tier::Tier;
use std::cell::RefCell;
use std::rc::Rc;

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
    name: Rc<str>,
    balancing: Balancing,
    /// Peers with fixed addresses.
    fixed: Vec<Rc<Peer>>,
    templates: Vec<Template>,
    shared: Option<Rc<SharedPeers>>,
    snapshot: RefCell<Rc<Snapshot>>,
    dice: Dice,
}

impl Group {
    /// A group of these servers whose numbers are this worker's.
    #[must_use]
    pub fn new(servers: Vec<Server>, balancing: Balancing) -> Group {
        Group::of("".into(), servers.into_iter().map(Peer::new).map(Rc::new).collect(), Vec::new(), None, balancing)
    }

    /// A group whose numbers are in a zone; `None`: there is no room for them. `name` tells groups of one zone apart.
    #[must_use]
    pub fn shared(
        name: Rc<str>,
        servers: Vec<Server>,
        templates: Vec<Template>,
        peers: &Rc<SharedPeers>,
        balancing: Balancing,
    ) -> Option<Group> {
        let mut fixed = Vec::new();
        for server in servers {
            let record = peers.reserve()?;
            let counters = Shared { peers: peers.clone(), record };
            fixed.push(Rc::new(Peer::with(server, None, Box::new(counters))));
        }
        Some(Group::of(name, fixed, templates, Some(peers.clone()), balancing))
    }

    fn of(name: Rc<str>, fixed: Vec<Rc<Peer>>, templates: Vec<Template>, shared: Option<Rc<SharedPeers>>, balancing: Balancing) -> Group {
        let snapshot = RefCell::new(Rc::new(Snapshot::new(fixed.iter().cloned(), 0)));
        Group { name, balancing, fixed, templates, shared, snapshot, dice: Dice::default() }
    }

    /// How a server is chosen.
    #[must_use]
    pub fn balancing(&self) -> Balancing {
        self.balancing
    }

    /// The peers with fixed addresses.
    #[must_use]
    pub fn fixed(&self) -> &[Rc<Peer>] {
        &self.fixed
    }

    /// The servers that names stand for.
    #[must_use]
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> Option<&Rc<SharedPeers>> {
        self.shared.as_ref()
    }

    /// The peers of this moment.
    #[must_use]
    pub fn snapshot(&self) -> Rc<Snapshot> {
        if let Some(shared) = &self.shared
            && !self.templates.is_empty()
            && shared.version() != self.snapshot.borrow().version
        {
            self.renew(shared);
        }
        self.snapshot.borrow().clone()
    }

    /// Makes a snapshot of what the zone says now. Peers that stay are the same objects, so that who holds them sees them there.
    fn renew(&self, shared: &Rc<SharedPeers>) {
        let version = shared.version();
        let old = self.snapshot.borrow().clone();
        let peer = |resolved: &Resolved| {
            let identity = (resolved.record, resolved.joined);
            if let Some(known) = old.peers().find(|peer| peer.record == Some(identity)) {
                return Some(known.clone());
            }
            let server = self.templates.get(resolved.template)?.at(resolved);
            let counters = Shared { peers: shared.clone(), record: resolved.record };
            Some(Rc::new(Peer::with(server, Some(identity), Box::new(counters))))
        };
        let resolved: Vec<Rc<Peer>> = shared.resolved(identity(&[&self.name])).iter().filter_map(peer).collect();
        let all = self.fixed.iter().cloned().chain(resolved);
        self.snapshot.replace(Rc::new(Snapshot::new(all, version)));
    }

    /// Brings the addresses of template `index` in line with an answer that holds until `valid_ms`.
    pub fn update(&self, index: usize, found: &[Found], valid_ms: u64) -> Update {
        match (&self.shared, self.templates.get(index)) {
            (Some(shared), Some(template)) => template.update(shared, &self.name, index, found, valid_ms),
            _ => Update::default(),
        }
    }

    /// Until when the addresses of template `index` hold, as far as they are known.
    #[must_use]
    pub fn valid_ms(&self, index: usize) -> u64 {
        let Some(shared) = &self.shared else { return 0 };
        let own = shared.resolved(identity(&[&self.name])).into_iter().filter(|resolved| resolved.template == index);
        own.map(|resolved| resolved.valid_ms).max().unwrap_or(0)
    }

    /// Takes over what the zone of the previous configuration knows of this group's names.
    pub fn inherit(&self, previous: &SharedPeers) {
        let Some(shared) = self.shared.as_ref().filter(|shared| shared.zone().name() == previous.zone().name()) else { return };
        let old = previous.resolved(identity(&[&self.name]));
        for (index, template) in self.templates.iter().enumerate() {
            template.inherit(shared, &self.name, index, &old);
        }
        shared.changed();
    }

    /// One server and no other: its failures are never counted, as there is nobody to go to.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.snapshot().is_single()
    }

    /// How many servers a request may try.
    #[must_use]
    pub fn tries(&self) -> usize {
        self.snapshot().tries()
    }

    /// The next server for a request; `None` when none is left alive. `now_ms` never goes back.
    pub fn next(&self, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
        let snapshot = selection.snapshot.get_or_insert_with(|| self.snapshot()).clone();
        if snapshot.is_single() {
            let peer = snapshot.primary.peers.first()?;
            let bound = snapshot.primary.bound(&selection.bound, &selection.tried, now_ms).is_some();
            if !bound && peer.standing() != crate::Standing::Up {
                return None;
            }
            return peer.take(now_ms);
        }
        if !selection.backup {
            if let Some(found) = self.pick(&snapshot, &snapshot.primary, selection, now_ms) {
                return Some(found);
            }
            selection.enter_backup();
        }
        if snapshot.backup.peers.is_empty() {
            return None;
        }
        self.pick(&snapshot, &snapshot.backup, selection, now_ms)
    }

    fn pick(&self, snapshot: &Snapshot, tier: &Tier, selection: &mut Selection, now_ms: u64) -> Option<Choice> {
        match self.balancing {
            Balancing::RoundRobin => round_robin::pick(tier, selection, now_ms),
            Balancing::LeastConnections => least_conn::pick(tier, selection, now_ms),
            Balancing::IpHash => ip_hash::pick(tier, selection, now_ms),
            Balancing::Hash => hash::pick(tier, selection, now_ms),
            Balancing::ConsistentHash => consistent::pick(snapshot.ring(), tier, selection, now_ms),
            Balancing::Random => random::pick(tier, selection, &self.dice, now_ms),
            Balancing::RandomTwo(by) => random::pick_of_two(tier, selection, &self.dice, by, now_ms),
            Balancing::LeastTime { measure, waiting } => least_time::pick(tier, selection, measure, waiting, now_ms),
        }
    }

    /// A connection to a server stands, which is all that can be known of its health before the session's end.
    pub fn connected(&self, choice: &Choice, now_ms: u64) {
        choice.peer.succeeded(now_ms);
    }

    /// A try has come as far as `what` says, `after_ms` after it began.
    pub fn heard(&self, choice: &Choice, what: Measure, after_ms: u64, now_ms: u64) {
        if let Balancing::LeastTime { measure, waiting: true } = self.balancing
            && measure == what
        {
            least_time::heard(choice, after_ms, now_ms);
        }
    }

    /// Ends a request's use of a server; true when its failure disabled the server now. Only good tries have times.
    pub fn release(&self, choice: &Choice, verdict: Verdict, times: Timing, now_ms: u64) -> bool {
        let peer = &choice.peer;
        match self.balancing {
            Balancing::LeastTime { measure, waiting } => least_time::ended(choice, measure, waiting, times, now_ms),
            Balancing::RandomTwo(Some(measure)) => least_time::ended(choice, measure, false, times, now_ms),
            _ => {}
        }
        let disabled = match verdict {
            _ if self.is_single() => {
                peer.set(crate::Counter::Fails, 0);
                false
            }
            Verdict::Failed => peer.failed(now_ms),
            Verdict::Good | Verdict::Neutral => {
                peer.succeeded(now_ms);
                false
            }
        };
        peer.released();
        disabled
    }
}

#[cfg(test)]
mod tests;
