//! All upstream groups by name, for modules that show or change them.

use balance::Group;
use conf::scope::Config;
use std::cell::RefCell;
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

#[cfg(test)]
mod tests {
    use super::*;
    use balance::Balancing;

    #[test]
    fn names_with_and_without_ports() {
        let directory = Directory::default();
        for (host, port) in [("a:81", None), ("b", Some(82)), ("b", Some(83))] {
            let group = Rc::new(Group::new(Vec::new(), Balancing::RoundRobin));
            directory.add(Named { host: host.into(), port, group, lines: Rc::default() });
        }
        let found = |name: &str| directory.find(name.as_bytes()).map(|named| named.full_name());
        assert_eq!(found("a:81").as_deref(), Some("a:81"));
        assert_eq!(found("b").as_deref(), Some("b:82"));
        assert_eq!(found("b:83").as_deref(), Some("b:83"));
        assert_eq!([found("a"), found("b:0"), found("b:x")], [None, None, None]);
    }
}
