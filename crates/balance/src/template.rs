//! Servers whose addresses come from names while requests run (`resolve`, `service=`).

use crate::server::Server;
use crate::shared::{Resolved, SharedPeers};
use net::address::SocketAddress;
use std::net::SocketAddr;
use std::rc::Rc;

/// A server that a name stands for.
#[derive(Clone, Debug)]
pub struct Template {
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
pub struct Found {
    /// The address, with the port that a service tells; otherwise the template's is taken.
    pub address: SocketAddr,
    /// The host that a service names.
    pub target: Option<Rc<str>>,
    /// The weight that a service tells.
    pub weight: u16,
    /// A service has others that go first.
    pub backup: bool,
}

/// What came of an answer.
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
    pub(crate) fn identity(&self, group: &str) -> u64 {
        identity(&[group, &self.host, self.service.as_deref().unwrap_or_default()])
    }

    /// The server that an address of this name is.
    pub(crate) fn at(&self, resolved: &Resolved) -> Server {
        let server = self.server.at(SocketAddress::Internet(resolved.address));
        let source = if self.service.is_some() { resolved.server.as_str().into() } else { server.source.clone() };
        Server { weight: resolved.weight, backup: resolved.backup, source, ..server }
    }

    /// What the zone says of an address that was found for template `index`.
    fn resolved(&self, group: &str, index: usize, found: &Found, valid_ms: u64) -> Resolved {
        let mut address = found.address;
        let told = self.service.is_some();
        if !told {
            address.set_port(self.port);
        }
        Resolved {
            record: 0,
            joined: 0,
            template: index,
            name: self.identity(group),
            address,
            server: found.target.as_deref().unwrap_or(&self.server.source).to_owned(),
            weight: if told && self.server.weight == 1 { i64::from(found.weight.max(1)) } else { self.server.weight },
            backup: self.server.backup || (told && found.backup),
            valid_ms,
        }
    }

    /// Brings the zone in line with an answer: what is in both stays as it is, with its numbers.
    pub(crate) fn update(&self, peers: &SharedPeers, group: &str, index: usize, found: &[Found], valid_ms: u64) -> Update {
        let id = identity(&[group]);
        let mut wanted: Vec<Resolved> = found.iter().map(|found| self.resolved(group, index, found, valid_ms)).collect();
        let mut update = Update::default();
        for old in peers.resolved(id).into_iter().filter(|old| old.template == index) {
            let same = wanted
                .iter()
                .position(|new| (new.address, new.backup, new.weight) == (old.address, old.backup, old.weight) && new.server == old.server);
            match same {
                Some(at) => {
                    wanted.remove(at);
                    peers.hold(old.record, valid_ms);
                }
                None => {
                    peers.leave(old.record);
                    update.changed = true;
                }
            }
        }
        for new in &wanted {
            let joined = peers.join(id, new);
            update.changed |= joined;
            update.full |= !joined;
        }
        if update.changed {
            peers.changed();
        }
        update
    }

    /// Takes over what the zone of the previous configuration knows of this name.
    pub(crate) fn inherit(&self, peers: &SharedPeers, group: &str, index: usize, old: &[Resolved]) {
        let identity = self.identity(group);
        let Some(first) = old.iter().find(|old| old.name == identity).map(|old| old.template) else { return };
        for known in old.iter().filter(|old| old.name == identity && old.template == first) {
            let found = Found {
                address: known.address,
                target: self.service.is_some().then(|| known.server.as_str().into()),
                weight: u16::try_from(known.weight).unwrap_or(u16::MAX),
                backup: known.backup,
            };
            peers.join(crate::template::identity(&[group]), &self.resolved(group, index, &found, known.valid_ms));
        }
    }
}
