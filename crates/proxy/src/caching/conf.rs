//! The directives of `*_cache*`.

use crate::caching::store::NamedCache;
use conf::tree::SettingError;
use http::Complex;
use std::rc::Rc;

/// Statuses and how long their responses are fresh, in seconds; status 0 is any.
pub type ValidTimes = Vec<(u16, i64)>;

/// The bit of `*_cache_use_stale updating`.
pub const UPDATING: u32 = 1 << 12;

/// Which cache `*_cache` means.
#[derive(Clone)]
pub enum Zone {
    /// `off`
    Off,
    /// A name.
    Named(Rc<NamedCache>),
    /// A name with variables.
    Varying(Complex),
}

/// Bits of `*_cache_methods`.
pub mod method {
    /// GET
    pub const GET: u32 = 1;
    /// HEAD
    pub const HEAD: u32 = 2;
    /// POST
    pub const POST: u32 = 4;
    /// The words of the directive.
    pub const WORDS: [(&str, u32); 3] = [("GET", GET), ("HEAD", HEAD), ("POST", POST)];
}

/// The directives of one block.
#[derive(Clone, Default)]
pub struct CacheConf {
    /// `*_cache`
    pub zone: Option<Zone>,
    /// `*_cache_key`
    pub key: Option<Complex>,
    /// `*_cache_valid`, in order
    pub valid: Option<Rc<ValidTimes>>,
    /// `*_cache_methods`
    pub methods: Option<u32>,
    /// `*_cache_min_uses`
    pub min_uses: Option<u64>,
    /// `*_cache_bypass`
    pub bypass: Option<Rc<Vec<Complex>>>,
    /// `*_no_cache`
    pub no_cache: Option<Rc<Vec<Complex>>>,
    /// `*_cache_purge`
    pub purge: Option<Rc<Vec<Complex>>>,
    /// `*_cache_purge_method`
    pub purge_method: Option<Rc<[u8]>>,
    /// `*_cache_purge_tag`
    pub purge_tag: Option<Rc<Vec<Complex>>>,
    /// `*_cache_purge_soft`
    pub purge_soft: Option<Rc<Vec<Complex>>>,
    /// `*_cache_rfc9111`
    pub rfc9111: Option<bool>,
    /// `*_cache_use_stale`
    pub use_stale: Option<u32>,
    /// `*_cache_background_update`
    pub background_update: Option<bool>,
    /// `*_cache_lock`
    pub lock: Option<bool>,
    /// `*_cache_lock_timeout`, milliseconds
    pub lock_timeout: Option<u64>,
    /// `*_cache_lock_age`, milliseconds
    pub lock_age: Option<u64>,
    /// `*_cache_revalidate`
    pub revalidate: Option<bool>,
    /// `*_cache_convert_head`
    pub convert_head: Option<bool>,
    /// `*_cache_max_range_offset`, bytes
    pub max_range_offset: Option<u64>,
}

impl CacheConf {
    /// Whether there is a cache.
    #[must_use]
    pub(crate) fn has_cache(&self) -> bool {
        matches!(self.zone, Some(Zone::Named(_) | Zone::Varying(_)))
    }

    /// Whether the cache is there.
    ///
    /// # Errors
    /// No `*_cache_path` makes it.
    pub fn check(&self, prefix: &str) -> Result<(), SettingError> {
        match &self.zone {
            Some(Zone::Named(place)) if place.store.get().is_none() => {
                Err(format!("\"{prefix}_cache\" zone \"{}\" is unknown", place.name).into())
            }
            _ => Ok(()),
        }
    }

    /// Takes over what this block does not say.
    pub fn inherit(&mut self, parent: &CacheConf) {
        conf::inherit!(
            self, parent;
            zone, key, valid, methods, min_uses, bypass, no_cache, purge, purge_method, purge_tag, purge_soft, rfc9111, use_stale, background_update, lock, lock_timeout, lock_age,
            revalidate, convert_head, max_range_offset
        );
    }
}
