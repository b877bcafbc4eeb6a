//! Registry of purgeable caches by name, through which other code, such as Lua, can purge the proxy's caches.

use cache::Purge;
use conf::scope::Config;
use std::io;
use std::rc::Rc;

/// A cache as those see it that purge.
pub trait Purgeable {
    /// Purges what is meant; false if it is a key that nothing stands under.
    ///
    /// # Errors
    /// The purge could not be written down.
    fn purge(&self, purge: &Purge<'_>) -> io::Result<bool>;
}

/// The caches of a configuration.
#[derive(Default)]
pub struct Purgeables(Vec<(Box<str>, Rc<dyn Purgeable>)>);

impl Config for Purgeables {
    fn inherit(&mut self, _: &Self) {}
}

impl Purgeables {
    /// Adds one.
    pub fn add(&mut self, name: &str, cache: Rc<dyn Purgeable>) {
        self.0.push((name.into(), cache));
    }

    /// The cache called `name`.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Rc<dyn Purgeable>> {
        self.0.iter().find(|(own, _)| own.as_bytes() == name).map(|(_, cache)| cache)
    }
}
