//! A group in use: selecting the next server and recording how a request went.

use crate::counters::Counter;
use crate::health;
use crate::member::Member;
use crate::method::random::Rng;
use crate::method::{Balancing, Measure, consistent, hash, ip_hash, least_conn, least_time, random, round_robin};
use crate::peer::{Choice, Peer, Timing};
use crate::selection::Selection;
use crate::server::Server;
use crate::shared::{Shared, SharedPeers};
use crate::snapshot::Snapshot;
use crate::template::{Resolved, Template, Update, identity};
use crate::tier::Tier;
use std::cell::{Cell, RefCell};
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
    /// Peers with fixed addresses, as the configuration has them.
    fixed: Vec<Rc<Peer>>,
    shared: Option<Rc<SharedPeers>>,
    snapshot: RefCell<Rc<Snapshot>>,
    rng: Rng,
    /// Health checks of the group.
    checks: Cell<u32>,
    /// What health checks say of a newcomer.
    first_health: Cell<i64>,
    /// Servers that were well when the configuration before ended, by address and how they are written.
    were_well: RefCell<Vec<(Rc<str>, Rc<str>)>>,
}

impl Group {
    /// A group of these servers whose numbers are this worker's.
    #[must_use]
    pub fn new(servers: Vec<Server>, balancing: Balancing) -> Group {
        Group::of("".into(), servers.into_iter().map(Peer::new).map(Rc::new).collect(), None, balancing)
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
        let (id, mut fixed) = (identity(&[&name]), Vec::new());
        for server in servers {
            let member = peers.join(id, &Member::new(server.clone()), 0)?;
            let counters = Shared { peers: peers.clone(), record: member.identity.record };
            fixed.push(Rc::new(Peer::shared(server, member.id, member.identity, Box::new(counters))));
        }
        for template in &templates {
            peers.join(id, &template.as_member(&name), 0)?;
        }
        peers.changed();
        Some(Group::of(name, fixed, Some(peers.clone()), balancing))
    }

    fn of(name: Rc<str>, fixed: Vec<Rc<Peer>>, shared: Option<Rc<SharedPeers>>, balancing: Balancing) -> Group {
        let snapshot = RefCell::new(Rc::new(Snapshot::new(fixed.iter().cloned(), Vec::new(), 0)));
        let (checks, first_health, were_well) = (Cell::new(0), Cell::new(0), RefCell::default());
        Group { name, balancing, fixed, shared, snapshot, rng: Rng::default(), checks, first_health, were_well }
    }

    /// What tells it apart from the other groups of its zone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a server is chosen.
    #[must_use]
    pub fn balancing(&self) -> Balancing {
        self.balancing
    }

    /// The peers with fixed addresses that the configuration names.
    #[must_use]
    pub fn fixed(&self) -> &[Rc<Peer>] {
        &self.fixed
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
            && shared.version() != self.snapshot.borrow().version
        {
            self.renew(shared);
        }
        self.snapshot.borrow().clone()
    }

    /// Makes a snapshot of what the zone says now. Peers that stay are the same objects, so that holders of references see their changes.
    fn renew(&self, shared: &Rc<SharedPeers>) {
        let version = shared.version();
        let old = self.snapshot.borrow().clone();
        let (names, servers): (Vec<Member>, Vec<Member>) = self.members().into_iter().partition(|member| member.name.is_some());
        let peer = |member: Member| {
            if let Some(known) = old.peers().find(|peer| peer.identity == Some(member.identity)) {
                return known.clone();
            }
            let counters = Shared { peers: shared.clone(), record: member.identity.record };
            Rc::new(Peer::shared(member.server, member.id, member.identity, Box::new(counters)))
        };
        let names = names.iter().filter_map(Template::of).map(Rc::new).collect();
        self.snapshot.replace(Rc::new(Snapshot::new(servers.into_iter().map(peer), names, version)));
    }

    /// The name of this number, if there is one.
    #[must_use]
    pub fn template(&self, number: u64) -> Option<Rc<Template>> {
        self.snapshot().names().iter().find(|template| template.id == number).cloned()
    }

    /// Brings the addresses of the name `number` in line with an answer that holds until `valid_ms`.
    pub fn update(&self, number: u64, found: &[Resolved], valid_ms: u64) -> Update {
        match (&self.shared, self.template(number)) {
            (Some(shared), Some(template)) => template.update(shared, &self.name, found, valid_ms, self.first_health.get()),
            _ => Update::default(),
        }
    }

    /// Until when the addresses of the name `number` hold, as far as they are known.
    #[must_use]
    pub fn valid_ms(&self, number: u64) -> u64 {
        let own = self.members().into_iter().filter(|member| member.parent == Some(number));
        own.map(|member| member.valid_ms).max().unwrap_or(0)
    }

    /// Takes over what the zone of the previous configuration knows of this group's names and of healthy servers.
    pub fn inherit(&self, previous: &SharedPeers) {
        let Some(shared) = self.shared.as_ref().filter(|shared| shared.zone().name() == previous.zone().name()) else { return };
        let old = previous.members(identity(&[&self.name]));
        for template in self.snapshot().names() {
            template.inherit(shared, &self.name, &old);
        }
        shared.changed();
        let well = old.into_iter().filter(|member| member.name.is_none() && previous.get(member.identity.record, Counter::Health) == 0);
        self.were_well.replace(well.map(|member| (member.server.name, member.server.source)).collect());
    }

    /// Adds a health check; its number. With `mandatory` it has to come before a server is used, but with `persistent` not for those
    /// that were well in the configuration before.
    pub fn add_check(&self, mandatory: bool, persistent: bool) -> u32 {
        let check = self.checks.get().min(health::CHECKS - 1);
        self.checks.set(self.checks.get() + 1);
        if mandatory {
            self.first_health.set(self.first_health.get() | health::awaited(check));
            let well = self.were_well.borrow();
            for peer in self.snapshot().peers() {
                let known = well.iter().any(|(name, source)| *name == peer.server.name && *source == peer.server.source);
                if !(persistent && known) {
                    peer.await_check(check);
                }
            }
        }
        check
    }

    pub(crate) fn first_health(&self) -> i64 {
        self.first_health.get()
    }

    /// There is only one server: its failures are never counted, because there is no alternative.
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
            if !bound && (peer.state() != crate::ServerState::Up || !peer.is_healthy()) {
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
            Balancing::Random => random::pick(tier, selection, &self.rng, now_ms),
            Balancing::RandomTwo(by) => random::pick_of_two(tier, selection, &self.rng, by, now_ms),
            Balancing::LeastTime { measure, waiting } => least_time::pick(tier, selection, measure, waiting, now_ms),
        }
    }

    /// A connection to a server stands, which is all that can be known of its health before the session's end.
    pub fn connected(&self, choice: &Choice, now_ms: u64) {
        choice.peer.succeeded(now_ms);
    }

    /// A try has come as far as `what` says, `after_ms` after it began.
    pub fn measure(&self, choice: &Choice, what: Measure, after_ms: u64, now_ms: u64) {
        if let Balancing::LeastTime { measure, waiting: true } = self.balancing
            && measure == what
        {
            least_time::measure(choice, after_ms, now_ms);
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
                peer.set(Counter::Fails, 0);
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
