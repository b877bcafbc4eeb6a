//! One cache: its files, its index in shared memory, and its maintenance.

use base::clock;
use base::log::Level;
use cache::purges::{self, Purges};
use cache::{Digest, FileStore, Head, Index, LoadState, Purge, PurgeTarget, Purged, key};
use conf::scope::Config;
use http::Request;
use http::cache_report::{CacheReport, CacheUsage};
use http::log_request;
use http::purge_registry::Purgeable;
use shm::Meter;
use std::cell::OnceCell;
use std::io;
use std::rc::Rc;

/// What owns the zones of caches.
pub const OWNER: &str = "cache";

/// How much the loader or the manager does at a time.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Files.
    pub files: u64,
    /// Pause between two portions, milliseconds.
    pub sleep: u64,
    /// The longest that a portion takes, milliseconds.
    pub threshold: u64,
}

/// A cache.
#[derive(Debug)]
pub struct Store {
    /// What its responses are told by in a worker's memory.
    pub number: u64,
    /// Its files.
    pub files: FileStore,
    /// Its keys.
    pub index: Index,
    /// The purges in its list, as this process knows them.
    pub purges: Purges,
    /// New files are written where the upstream's temporary files are.
    pub use_temp_path: bool,
    /// Seconds after which an inactive file is removed.
    pub inactive: i64,
    /// Bytes that must stay free on the file system.
    pub min_free: u64,
    /// `loader_*`
    pub loader: BatchLimits,
    /// `manager_*`
    pub manager: BatchLimits,
    /// What is counted of requests that ask it.
    pub meter: Rc<Meter>,
}

impl Store {
    /// What purges say of a stored response.
    #[must_use]
    pub fn purged(&self, head: &Head) -> Purged {
        self.purges.apply(&self.files.root, self.index.purges(), &head.key, &head.text, head.stored_ms)
    }

    /// Purges what is meant, in all workers at once; whether there was something, as far as that is known.
    ///
    /// # Errors
    /// The purge could not be written down.
    pub fn purge(&self, purge: &Purge<'_>) -> io::Result<bool> {
        let now_ms = clock::epoch_ms();
        if let Purge { target: PurgeTarget::Key(key), soft: false } = purge {
            let digest = key::digest(key);
            let existed = self.has(&digest, key);
            let mut gone = vec![digest];
            self.index.purge(&digest, now_ms, &mut gone);
            // What cannot be removed is covered by the list.
            let failed = gone.iter().any(|digest| self.files.remove(digest).is_err());
            if failed {
                self.note_purge(purge, now_ms)?;
            }
            return Ok(existed);
        }
        let existed = match purge.target {
            PurgeTarget::Key(key) => self.has(&key::digest(key), key),
            PurgeTarget::Prefix(_) | PurgeTarget::Tag(_) => true,
        };
        self.note_purge(purge, now_ms)?;
        Ok(existed)
    }

    fn note_purge(&self, purge: &Purge<'_>, now_ms: u64) -> io::Result<()> {
        purges::add(&self.files.root, i64::try_from(now_ms).unwrap_or(i64::MAX), purge)?;
        self.index.add_purge(now_ms);
        Ok(())
    }

    fn has(&self, digest: &Digest, key: &[u8]) -> bool {
        self.files.open(digest, key).is_ok_and(|(_, head)| self.purged(&head) != Purged::Hard)
    }

    /// Removes the files of keys that are gone.
    pub(crate) fn drop_files(&self, request: &Request, gone: &[Digest]) {
        for digest in gone {
            if let Err(error) = self.files.remove(digest) {
                let path = self.files.path(digest);
                log_request!(request, Level::Crit, "unlink() \"{}\" failed {}", path.display(), base::errno::describe(&error));
            }
        }
    }
}

impl Purgeable for Store {
    fn purge(&self, purge: &Purge<'_>) -> io::Result<bool> {
        Store::purge(self, purge)
    }
}

impl CacheReport for Store {
    fn usage(&self) -> CacheUsage {
        let (_, blocks) = self.index.totals();
        let max_size = Some(self.index.max_size()).filter(|blocks| *blocks > 0);
        CacheUsage { size: blocks * 512, max_size: max_size.map(|blocks| blocks * 512), cold: self.index.load_state() == LoadState::Cold }
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }
}

/// A cache by name: a place that `*_cache_path` fills.
pub struct NamedCache {
    /// Its name.
    pub name: Box<str>,
    /// The cache.
    pub store: OnceCell<Rc<Store>>,
}

/// All caches that a configuration names.
#[derive(Default)]
pub struct Caches(Vec<Rc<NamedCache>>);

impl Config for Caches {
    fn inherit(&mut self, _: &Self) {}
}

impl Caches {
    /// The cache called `name`, created at its first use.
    pub fn named(&mut self, name: &str) -> Rc<NamedCache> {
        if let Some(place) = self.0.iter().find(|place| *place.name == *name) {
            return place.clone();
        }
        let place = Rc::new(NamedCache { name: name.into(), store: OnceCell::new() });
        self.0.push(place.clone());
        place
    }

    /// The cache called `name`.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Rc<Store>> {
        self.0.iter().find(|place| place.name.as_bytes() == name)?.store.get().cloned()
    }

    /// All caches.
    pub fn all(&self) -> impl Iterator<Item = &Rc<Store>> {
        self.0.iter().filter_map(|place| place.store.get())
    }
}
