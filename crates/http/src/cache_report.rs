//! Registry of caches for those that tell of them, such as the API.

use crate::metrics::CacheStatus;
use conf::scope::Config;
use shm::Meter;
use shm::meter::Kind;
use std::rc::Rc;

/// What is counted of a cache: [`CacheCounter`]s of each result in the order of [`CacheStatus::ALL`].
pub static CACHES: Kind = Kind::new("cache", CacheCounter::COUNT * CacheStatus::ALL.len());

/// What is counted of requests by the result of their look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum CacheCounter {
    /// Responses that clients got.
    Responses,
    /// Bytes of them that were read from the cache, or else from the upstream.
    Bytes,
    /// Responses that were written to the cache.
    ResponsesWritten,
    /// Bytes of their files.
    BytesWritten,
}

impl CacheCounter {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// Where it stands among a cache's counters.
    #[must_use]
    pub fn of(self, status: CacheStatus) -> usize {
        status as usize * CacheCounter::COUNT + self as usize
    }
}

/// How full a cache is.
#[derive(Clone, Copy, Debug)]
pub struct CacheUsage {
    /// Bytes of its files.
    pub size: u64,
    /// `max_size`
    pub max_size: Option<u64>,
    /// The files from before the start are not all known yet.
    pub cold: bool,
}

/// A cache as those see it that tell of it.
pub trait CacheReport {
    /// How full it is.
    fn usage(&self) -> CacheUsage;
    /// What was counted.
    fn meter(&self) -> &Meter;
}

/// The caches of a configuration.
#[derive(Default)]
pub struct CacheReports(Vec<Rc<dyn CacheReport>>);

impl Config for CacheReports {
    fn inherit(&mut self, _: &Self) {}
}

impl CacheReports {
    /// Adds one.
    pub fn add(&mut self, cache: Rc<dyn CacheReport>) {
        self.0.push(cache);
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Rc<dyn CacheReport>] {
        &self.0
    }
}
