//! All upstream groups by name, for modules that show or change them.

use crate::terms::GroupConstraints;
use balance::{Counter, Group, Health, Peer, ServerState};
use base::clock;
use conf::scope::Config;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A group: an `upstream` block, or a host in a URL.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name, or the host.
    pub host: Rc<str>,
    /// The port of a host in a URL.
    pub port: Option<u16>,
    /// Its peers.
    pub group: Rc<Group>,
    /// How many peers with fixed addresses each `server` stands for; empty where there is no `server`.
    pub lines: Rc<[usize]>,
    /// What changes have to keep to.
    pub terms: Rc<GroupConstraints>,
}

impl Named {
    /// Its name with its port, if it has one.
    #[must_use]
    pub fn full_name(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => (*self.host).to_owned(),
        }
    }
}

/// All groups of a configuration, as they come in it, blocks first.
#[derive(Clone, Debug, Default)]
pub struct Directory(Rc<RefCell<Vec<Named>>>);

impl Config for Directory {
    fn inherit(&mut self, _: &Self) {}
}

impl Directory {
    /// Adds a group, unless there is one of its name and port.
    pub fn add(&self, named: Named) {
        let mut all = self.0.borrow_mut();
        if !all.iter().any(|known| known.port == named.port && known.host == named.host) {
            all.push(named);
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Named> {
        self.0.borrow().clone()
    }

    /// All servers of all groups as they are now.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for named in self.0.borrow().iter() {
            let upstream: Rc<str> = named.full_name().into();
            let mut known: HashMap<Rc<str>, usize> = HashMap::new();
            for peer in named.group.snapshot().peers() {
                let copies = known.entry(peer.server.name.clone()).or_default();
                members.push(Member { upstream: upstream.clone(), peer: peer.clone(), copy: *copies });
                *copies += 1;
            }
        }
        members
    }

    /// The group of this name, or `HOST:PORT`.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Named> {
        let all = self.0.borrow();
        if let Some(found) = all.iter().find(|named| named.host.as_bytes() == name) {
            return Some(found.clone());
        }
        let colon = memchr::memchr(b':', name)?;
        let (host, port) = (name.get(..colon)?, base::text::parse_number(name.get(colon + 1..)?)?);
        let found = all.iter().find(|named| named.port.map(u64::from) == Some(port) && named.host.as_bytes() == host)?;
        Some(found.clone())
    }
}

/// A server of a group, for those who only look.
#[derive(Clone, Debug)]
pub struct Member {
    /// The group's name.
    pub upstream: Rc<str>,
    /// How many servers of the group before it have its address.
    pub copy: usize,
    peer: Rc<Peer>,
}

impl Member {
    /// Its address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.peer.server.name
    }

    /// Whether it is asked when no other can be.
    #[must_use]
    pub fn is_backup(&self) -> bool {
        self.peer.server.backup
    }

    /// Its weight as configured.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.peer.server.weight.unsigned_abs()
    }

    /// Whether it takes requests: `up`, `draining`, `down`, `unhealthy` or `checking` after and before health checks, or `unavailable`
    /// after failures.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.peer.state(), self.peer.health()) {
            (ServerState::Down, _) => "down",
            (_, Health::Unhealthy) => "unhealthy",
            (_, Health::Checking) => "checking",
            _ if self.peer.is_failing(clock::monotonic_ms()) => "unavailable",
            (ServerState::Draining, _) => "draining",
            (ServerState::Up, _) => "up",
        }
    }

    /// Health checks of it: how many there were, how many failed, and how often that has put it out of service; `None` without any.
    #[must_use]
    pub fn checks(&self) -> Option<[u64; 3]> {
        let get = |counter| self.peer.counters().get(counter).unsigned_abs();
        let checks = get(Counter::Checks);
        (checks > 0).then(|| [checks, get(Counter::ChecksFailed), get(Counter::ChecksUnhealthy)])
    }

    /// Whether the last health check went well.
    #[must_use]
    pub fn last_passed(&self) -> Option<bool> {
        match self.peer.counters().get(Counter::CheckPassed) {
            0 => None,
            passed => Some(passed == 1),
        }
    }

    /// Requests that it serves now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.peer.connections()
    }

    /// Failures since it last was well.
    #[must_use]
    pub fn fails(&self) -> u64 {
        self.peer.fails()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balance::Balancing;

    #[test]
    fn names_with_and_without_ports() {
        let directory = Directory::default();
        for (host, port) in [("a:81", None), ("b", Some(82)), ("b", Some(83))] {
            let group = Rc::new(Group::new(Vec::new(), Balancing::RoundRobin));
            directory.add(Named { host: host.into(), port, group, lines: Rc::default(), terms: Rc::default() });
        }
        let found = |name: &str| directory.find(name.as_bytes()).map(|named| named.full_name());
        assert_eq!(found("a:81").as_deref(), Some("a:81"));
        assert_eq!(found("b").as_deref(), Some("b:82"));
        assert_eq!(found("b:83").as_deref(), Some("b:83"));
        assert_eq!([found("a"), found("b:0"), found("b:x")], [None, None, None]);
    }
}
