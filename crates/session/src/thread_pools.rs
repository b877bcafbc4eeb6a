//! The thread pools of the configuration.

use conf::tree::Error;

/// Threads of the pool `default`, where the configuration does not define it.
const DEFAULT_THREADS: u64 = 32;

/// `thread_pool`, and the names that directives ask for; kept in the global scope.
#[derive(Default)]
pub struct Pools {
    /// Name and number of threads of each `thread_pool`.
    pub defined: Vec<(Vec<u8>, u64)>,
    /// Names that other directives mention, each with the place for an error.
    pub referenced: Vec<(Vec<u8>, Error)>,
}

impl Pools {
    /// Names and numbers of threads of those there are: `default` is there if something asks for it.
    #[must_use]
    pub fn existing(&self) -> Vec<(Vec<u8>, u64)> {
        let mut list = self.defined.clone();
        let default = b"default".as_slice();
        if self.referenced.iter().any(|(name, _)| name == default) && !list.iter().any(|(name, _)| name == default) {
            list.push((default.to_vec(), DEFAULT_THREADS));
        }
        list
    }
}
