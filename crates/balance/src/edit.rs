//! Changes of a group at run time.

use crate::counters::Counter;
use crate::group::Group;
use crate::member::Member;
use crate::server::{Server, ServerState};
use crate::shared::SharedPeers;
use crate::template::{Template, identity};
use std::rc::Rc;

/// Why a group cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not in a zone.
    Static,
    /// The zone has no room.
    Full,
    /// There is no such member.
    NotFound,
    /// The member follows from a name.
    Immutable,
    /// The same server is there already.
    Exists,
}

/// A change of a group; others wait until it is dropped.
pub struct Edit<'a> {
    group: &'a Group,
    peers: &'a Rc<SharedPeers>,
    id: u64,
    changed: bool,
    _locked: crate::shared::Locked<'a>,
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        if self.changed {
            self.peers.changed();
        }
    }
}

impl Group {
    /// Begins to change the group.
    ///
    /// # Errors
    /// It is not in a zone.
    pub fn edit(&self) -> Result<Edit<'_>, Refusal> {
        let peers = self.zone().ok_or(Refusal::Static)?;
        Ok(Edit { group: self, peers, id: identity(&[self.name()]), changed: false, _locked: peers.lock() })
    }

    /// The members of the group, names included; empty if it has no zone.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.zone().map(|peers| peers.members(identity(&[self.name()]))).unwrap_or_default()
    }

    /// Whether its servers are others than those of the configuration.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        let own = self.members().into_iter().filter(|member| member.name.is_none() && member.parent.is_none());
        self.zone().is_some() && !own.map(|member| Some(member.identity)).eq(self.fixed().iter().map(|peer| peer.identity))
    }

    /// How many servers have been taken out that still serve requests.
    #[must_use]
    pub fn zombies(&self) -> usize {
        self.zone().map_or(0, |peers| peers.zombies(identity(&[self.name()])))
    }

    /// Whether a member takes requests now.
    #[must_use]
    pub fn state(&self, member: &Member) -> ServerState {
        let set = self.zone().and_then(|peers| ServerState::set(peers.get(member.identity.record, Counter::Standing)));
        set.unwrap_or(member.server.state)
    }
}

impl Edit<'_> {
    /// The members of the group.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.peers.members(self.id)
    }

    /// Adds a server.
    ///
    /// # Errors
    /// It is there, or there is no room for it.
    pub fn add(&mut self, server: Server) -> Result<Member, Refusal> {
        if self.members().iter().any(|member| member.name.is_none() && member.parent.is_none() && member.server.name == server.name) {
            return Err(Refusal::Exists);
        }
        self.join(&Member::new(server))
    }

    /// Adds a name that stands for servers.
    ///
    /// # Errors
    /// It is there, or there is no room for it.
    pub fn add_name(&mut self, template: &Template) -> Result<Member, Refusal> {
        let member = template.as_member(self.group.name());
        let same = |other: &Member| other.name == member.name && member.server.backup == other.server.backup;
        if self.members().iter().any(same) {
            return Err(Refusal::Exists);
        }
        self.join(&member)
    }

    fn join(&mut self, member: &Member) -> Result<Member, Refusal> {
        let joined = self.peers.join(self.id, member, self.group.first_health()).ok_or(Refusal::Full)?;
        self.changed = true;
        Ok(joined)
    }

    /// Changes what is said of a server, and of those that are found under its name. Its standing is then as that says, whatever was set
    /// at run time.
    ///
    /// # Errors
    /// There is none of this number, or what is said of it is too long.
    pub fn change(&mut self, number: u64, now_ms: u64, change: impl Fn(&mut Server)) -> Result<Member, Refusal> {
        let all = self.members();
        let own = all.iter().find(|member| member.id == number).ok_or(Refusal::NotFound)?;
        if own.parent.is_some() {
            return Err(Refusal::Immutable);
        }
        let mut result = Err(Refusal::NotFound);
        for member in all.iter().filter(|member| member.id == number || member.parent == Some(number)) {
            let mut changed = member.clone();
            changed.server.state = self.group.state(member);
            change(&mut changed.server);
            if member.id != number {
                // These are the answer's to tell.
                (changed.server.backup, changed.server.source) = (member.server.backup, member.server.source.clone());
                (changed.server.address, changed.server.name) = (member.server.address.clone(), member.server.name.clone());
            }
            if !self.peers.rewrite(&changed) {
                return Err(Refusal::Full);
            }
            self.changed = true;
            self.restore(member, changed.server.state, now_ms);
            if member.id == number {
                result = Ok(changed);
            }
        }
        result
    }

    /// A server that comes back is well, and begins slowly.
    fn restore(&self, before: &Member, standing: ServerState, now_ms: u64) {
        let record = before.identity.record;
        if standing == ServerState::Up && self.group.state(before) != ServerState::Up {
            self.peers.set(record, Counter::Fails, 0);
            if before.server.slow_start != 0 {
                self.peers.set(record, Counter::SlowSince, i64::try_from(now_ms).unwrap_or(i64::MAX).max(1));
            }
        }
        self.peers.set(record, Counter::Standing, 0);
    }

    /// Takes a server out, and those that are found under its name.
    ///
    /// # Errors
    /// There is none of this number, or it follows from a name.
    pub fn remove(&mut self, number: u64) -> Result<(), Refusal> {
        let all = self.members();
        let own = all.iter().find(|member| member.id == number).ok_or(Refusal::NotFound)?;
        if own.parent.is_some() {
            return Err(Refusal::Immutable);
        }
        for member in all.iter().filter(|member| member.id == number || member.parent == Some(number)) {
            self.peers.remove(member.identity.record);
        }
        self.changed = true;
        Ok(())
    }
}
