//! Servers whose addresses are resolved at run time (`resolve`, `service=`).

use crate::member::{Member, Name};
use crate::server::Server;
use crate::shared::SharedPeers;
use net::address::SocketAddress;
use std::net::SocketAddr;
use std::rc::Rc;

/// A server that a name stands for.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its number in its group.
    pub id: u64,
    /// Everything but its address.
    pub server: Server,
    /// The name.
    pub host: Rc<str>,
    /// The service at that name, which tells ports, weights and what is a backup.
    pub service: Option<Rc<str>>,
    /// The port, where no service tells it.
    pub port: u16,
}

/// An address that a name has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The address, with the port that a service tells; otherwise the template's is taken.
    pub address: SocketAddr,
    /// The host that a service names.
    pub target: Option<Rc<str>>,
    /// The weight that a service tells.
    pub weight: u16,
    /// A service has others that go first.
    pub backup: bool,
}

/// The result of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Addresses came or went.
    pub changed: bool,
    /// The zone had no room for some of them.
    pub full: bool,
}

/// FNV-1a: who resolves and who reads agree on it across configurations.
pub(crate) fn identity(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Template {
    /// The name that a member of a group is.
    #[must_use]
    pub fn of(member: &Member) -> Option<Template> {
        let Name { host, service, port } = member.name.clone()?;
        Some(Template { id: member.id, server: member.server.clone(), host, service, port })
    }

    /// The member that it is in the group called `group`.
    pub(crate) fn as_member(&self, group: &str) -> Member {
        let name = Name { host: self.host.clone(), service: self.service.clone(), port: self.port };
        Member { name: Some(name), of_name: self.identity(group), ..Member::new(self.server.clone()) }
    }

    pub(crate) fn identity(&self, group: &str) -> u64 {
        identity(&[group, &self.host, self.service.as_deref().unwrap_or_default()])
    }

    /// The member that an address is which was found for this name.
    fn member(&self, group: &str, found: &Resolved, valid_ms: u64) -> Member {
        let mut address = found.address;
        let from_service = self.service.is_some();
        if !from_service {
            address.set_port(self.port);
        }
        let server = self.server.at(SocketAddress::Internet(address));
        let source = found.target.clone().filter(|_| from_service).unwrap_or_else(|| server.source.clone());
        let weight = if from_service && server.weight == 1 { i64::from(found.weight.max(1)) } else { server.weight };
        let server = Server { weight, backup: server.backup || (from_service && found.backup), source, ..server };
        Member { parent: Some(self.id), of_name: self.identity(group), valid_ms, ..Member::new(server) }
    }

    /// Brings the zone in line with a response: what is in both stays as it is, with its numbers. `health` is that of a newcomer.
    pub(crate) fn update(&self, peers: &SharedPeers, group: &str, found: &[Resolved], valid_ms: u64, health: i64) -> Update {
        let id = identity(&[group]);
        let _locked = peers.lock();
        let mut wanted: Vec<Member> = found.iter().map(|found| self.member(group, found, valid_ms)).collect();
        let mut update = Update::default();
        for old in peers.members(id).into_iter().filter(|old| old.parent == Some(self.id)) {
            let key =
                |member: &Member| (member.server.name.clone(), member.server.backup, member.server.weight, member.server.source.clone());
            match wanted.iter().position(|new| key(new) == key(&old)) {
                Some(at) => {
                    wanted.remove(at);
                    peers.hold(old.identity.record, valid_ms);
                }
                None => {
                    peers.remove(old.identity.record);
                    update.changed = true;
                }
            }
        }
        for new in &wanted {
            let joined = peers.join(id, new, health).is_some();
            update.changed |= joined;
            update.full |= !joined;
        }
        if update.changed {
            peers.changed();
        }
        update
    }

    /// Takes over what the zone of the previous configuration knows of this name.
    pub(crate) fn inherit(&self, peers: &SharedPeers, group: &str, old: &[Member]) {
        let identity = self.identity(group);
        let known = || old.iter().filter(|old| old.of_name == identity && old.name.is_none());
        let Some(first) = known().next().map(|old| old.parent) else { return };
        for known in known().filter(|old| old.parent == first) {
            let SocketAddress::Internet(address) = known.server.address else { continue };
            let found = Resolved {
                address,
                target: self.service.is_some().then(|| known.server.source.clone()),
                weight: u16::try_from(known.server.weight).unwrap_or(u16::MAX),
                backup: known.server.backup,
            };
            // Where the zone has become smaller, the others are asked for again.
            let _ = peers.join(crate::template::identity(&[group]), &self.member(group, &found, known.valid_ms), 0);
        }
    }
}
