//! One cache: its files, its keys in shared memory, and how it is looked after.

use base::log::Level;
use cache::purges::Purges;
use cache::{Digest, Index, Shelf};
use conf::scope::Config;
use http::Request;
use http::log_request;
use std::cell::OnceCell;
use std::rc::Rc;

/// What owns the zones of caches.
pub const OWNER: &str = "cache";

/// How much the loader or the manager does at a time.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
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
    /// Its files.
    pub shelf: Shelf,
    /// Its keys.
    pub index: Index,
    /// Its purges by prefix, as this process knows them.
    pub purges: Purges,
    /// New files are written where the upstream's temporary files are.
    pub use_temp_path: bool,
    /// Seconds after which a file that nobody asks for goes.
    pub inactive: i64,
    /// Bytes that must stay free on the file system.
    pub min_free: u64,
    /// `loader_*`
    pub loader: Portion,
    /// `manager_*`
    pub manager: Portion,
}

impl Store {
    /// Whether a purge by prefix covers what was stored under a key.
    #[must_use]
    pub fn is_purged(&self, key: &[u8], stored_ms: i64) -> bool {
        self.purges.cover(&self.shelf.root, self.index.purges(), key, stored_ms)
    }

    /// Removes the files of keys that are gone.
    pub fn drop_files(&self, request: &Request, gone: &[Digest]) {
        for digest in gone {
            if let Err(error) = self.shelf.remove(digest) {
                let path = self.shelf.path(digest);
                log_request!(request, Level::Crit, "unlink() \"{}\" failed {}", path.display(), base::errno::describe(&error));
            }
        }
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
    /// The place called `name`, made if nobody named it yet.
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
