//! The zones of a configuration, and which of them the next one keeps.

use crate::dict::{self, Dict};
use crate::meter::Meters;
use crate::zone::{MIN_SIZE, Zone};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// Why a zone cannot be had. Shown as nginx's texts.
#[derive(Debug)]
pub enum ClaimError {
    /// Another directive of this configuration made it.
    Bound(Rc<Zone>),
    /// It holds another kind of structure.
    OtherUse(String),
    /// Two directives want different sizes.
    OtherSize(String, usize, usize),
    /// Below the smallest size.
    TooSmall(String),
    /// The kernel refused.
    Map(String, io::Error),
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClaimError::Bound(zone) => write!(f, "the shared memory zone \"{}\" is already declared", zone.name()),
            ClaimError::OtherUse(name) => write!(f, "the shared memory zone \"{name}\" is already declared for a different use"),
            ClaimError::OtherSize(name, new, old) => {
                write!(f, "the size {new} of shared memory zone \"{name}\" conflicts with already declared size {old}")
            }
            ClaimError::TooSmall(name) => write!(f, "zone \"{name}\" is too small"),
            ClaimError::Map(name, error) => write!(f, "mapping shared memory zone \"{name}\" failed: {error}"),
        }
    }
}

impl std::error::Error for ClaimError {}

/// What a worker's death cost a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The dictionary.
    pub name: String,
    /// Parts whose entries are gone.
    pub parts: u64,
    /// Parts that it has.
    pub of: usize,
}

/// The zones of one configuration. The master keeps it and makes the next from it with [`Zones::successor`].
#[derive(Clone, Debug, Default)]
pub struct Zones {
    current: Vec<Rc<Zone>>,
    previous: Vec<Rc<Zone>>,
    /// The counters of zones and other names.
    pub meters: Meters,
}

impl Zones {
    /// A registry for the next configuration, which finds the zones of this one again.
    pub fn successor(&self) -> Zones {
        Zones { current: Vec::new(), previous: self.current.clone(), meters: self.meters.successor() }
    }

    /// To be called by the master when it has reaped a worker: frees all locks that it held. Returns what was lost because it died
    /// in the middle of a change; what another worker mends at this moment is told at the next death.
    pub fn reap(&self, process: i32) -> Vec<RecoveryReport> {
        let mut lost = Vec::new();
        for zone in &self.current {
            zone.reap(process);
            if ![dict::OWNER, dict::STREAM_OWNER].contains(&zone.owner()) {
                continue;
            }
            let dict = Dict::new(zone);
            dict.reap(process);
            let parts = zone.new_losses(dict.recoveries().1);
            if parts > 0 {
                lost.push(RecoveryReport { name: zone.name().to_owned(), parts, of: dict.shards() });
            }
        }
        lost
    }

    /// Lets go of what the previous configuration had and this one does not: nothing is claimed any more.
    pub fn drop_unclaimed(&mut self) {
        self.previous = Vec::new();
        self.meters.drop_unclaimed();
    }

    /// The zones of this configuration.
    pub fn all(&self) -> &[Rc<Zone>] {
        &self.current
    }

    /// The zone of this configuration that is called `name`.
    pub fn find(&self, name: &str) -> Option<&Rc<Zone>> {
        self.current.iter().find(|zone| zone.name() == name)
    }

    /// A zone of `size` bytes for `owner`. The one of the previous configuration lives on if it has this owner and size.
    ///
    /// # Errors
    /// [`ClaimError::Bound`] with the zone if this configuration has it already, for callers who may share it.
    pub fn claim(&mut self, name: &str, owner: &'static str, size: usize) -> Result<Rc<Zone>, ClaimError> {
        let previous = self.previous(name, owner).filter(|zone| zone.size() == size).cloned();
        self.take(name, owner, size, previous, Zone::new)
    }

    /// As [`Zones::claim`], but a new binary may have it ([`Zones::files`]). `format` numbers what `owner` keeps in it.
    ///
    /// # Errors
    /// As [`Zones::claim`].
    pub fn claim_lasting(&mut self, name: &str, owner: &'static str, format: u32, size: usize) -> Result<Rc<Zone>, ClaimError> {
        let previous = self.previous(name, owner).filter(|zone| zone.size() == size).cloned();
        self.take(name, owner, size, previous, |name, owner, size| Zone::persistent(name, owner, format, size))
    }

    /// The files by which a new binary gets zones.
    pub fn files(&self) -> Vec<Arc<OwnedFd>> {
        self.current.iter().filter_map(|zone| zone.file().cloned()).collect()
    }

    /// Takes over those zones of an old binary that were made for `owner` with this `format`, as if a previous configuration had had them.
    pub fn take_over(&mut self, files: &[Arc<OwnedFd>], owner: &'static str, format: u32) {
        let zones = files.iter().filter_map(|file| Zone::inherited(file.clone(), owner, format).ok());
        self.previous.extend(zones.map(Rc::new));
    }

    /// As [`Zones::claim`], but a fresh zone in any case.
    ///
    /// # Errors
    /// As [`Zones::claim`].
    pub fn claim_fresh(&mut self, name: &str, owner: &'static str, size: usize) -> Result<Rc<Zone>, ClaimError> {
        self.take(name, owner, size, None, Zone::new)
    }

    /// The zone that the previous configuration had under this name for `owner`.
    pub fn previous(&self, name: &str, owner: &'static str) -> Option<&Rc<Zone>> {
        self.previous.iter().find(|zone| zone.name() == name && zone.owner() == owner)
    }

    fn take(
        &mut self,
        name: &str,
        owner: &'static str,
        size: usize,
        previous: Option<Rc<Zone>>,
        make: impl FnOnce(&str, &'static str, usize) -> io::Result<Zone>,
    ) -> Result<Rc<Zone>, ClaimError> {
        if let Some(zone) = self.find(name) {
            return Err(match () {
                () if zone.owner() != owner => ClaimError::OtherUse(name.to_owned()),
                () if zone.size() != size => ClaimError::OtherSize(name.to_owned(), size, zone.size()),
                () => ClaimError::Bound(zone.clone()),
            });
        }
        if size < MIN_SIZE {
            return Err(ClaimError::TooSmall(name.to_owned()));
        }
        let zone = match previous {
            Some(zone) => zone,
            None => Rc::new(make(name, owner, size).map_err(|e| ClaimError::Map(name.to_owned(), e))?),
        };
        self.current.push(zone.clone());
        Ok(zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_binary_takes_over_what_it_would_make_alike() {
        let mut old = Zones::default();
        for name in ["same", "larger", "gone"] {
            old.claim_lasting(name, "cache", 1, MIN_SIZE).unwrap().lock().set_root(0, 5);
        }
        old.claim("own", "limit", MIN_SIZE).unwrap().lock().set_root(0, 5);
        let files = old.files();
        assert_eq!(files.len(), 3);
        let made = |format| {
            let mut new = Zones::default();
            new.take_over(&files, "cache", format);
            let sizes = [("same", 1), ("larger", 2), ("fresh", 1)];
            let roots = sizes.map(|(name, times)| new.claim_lasting(name, "cache", format, times * MIN_SIZE).unwrap().lock().root(0));
            assert_eq!((new.claim("own", "limit", MIN_SIZE).unwrap().lock().root(0), new.files().len()), (0, 3));
            roots
        };
        assert_eq!((made(1), made(2)), ([5, 0, 0], [0, 0, 0]));
        // Both use it from then on.
        let mut new = Zones::default();
        new.take_over(&files, "cache", 1);
        new.claim_lasting("same", "cache", 1, MIN_SIZE).unwrap().lock().set_root(0, 6);
        assert_eq!(old.find("same").unwrap().lock().root(0), 6);
        new.drop_unclaimed();
        assert!(new.previous("gone", "cache").is_none() && new.files().len() == 1);
    }

    #[test]
    fn a_zone_lives_on_if_nothing_changes() {
        let mut first = Zones::default();
        first.claim("a", "limit", MIN_SIZE).unwrap().lock().set_root(0, 5);
        first.claim("b", "limit", MIN_SIZE).unwrap().lock().set_root(0, 6);
        assert!(matches!(first.claim("a", "limit", MIN_SIZE), Err(ClaimError::Bound(_))));
        assert!(matches!(first.claim("a", "dict", MIN_SIZE), Err(ClaimError::OtherUse(_))));
        assert!(matches!(first.claim("a", "limit", 1 << 20), Err(ClaimError::OtherSize(..))));
        let mut second = first.successor();
        assert!(second.find("a").is_none());
        assert_eq!(second.claim("a", "limit", MIN_SIZE).unwrap().lock().root(0), 5);
        assert_eq!(second.claim("b", "limit", MIN_SIZE * 2).unwrap().lock().root(0), 0);
        assert!(matches!(second.claim("c", "limit", 100), Err(ClaimError::TooSmall(_))));
        let mut third = second.successor();
        assert_eq!(third.previous("a", "limit").unwrap().lock().root(0), 5);
        assert_eq!(third.claim_fresh("a", "limit", MIN_SIZE).unwrap().lock().root(0), 0);
        assert!(matches!(third.claim_fresh("a", "limit", MIN_SIZE), Err(ClaimError::Bound(_))));
    }
}
