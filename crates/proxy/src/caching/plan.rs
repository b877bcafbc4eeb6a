//! The merged settings of a location with a cache.

use crate::caching::conf::{CacheConf, ValidTimes, Zone, method};
use crate::caching::store::{Caches, Store};
use base::log::Level;
use conf::tree::SettingError;
use http::{Complex, Method, Outcome, Request, log_request};
use std::rc::Rc;

/// The protocol that has a key of its own accord, and asks for GET where the client says HEAD.
pub const PROXY: &str = "proxy";

/// The settings, with their defaults.
pub struct CachePlan {
    zone: Zone,
    /// `*_cache_key`
    pub key: Option<Complex>,
    valid: Rc<ValidTimes>,
    methods: u32,
    /// `*_cache_min_uses`
    pub min_uses: u32,
    /// `*_cache_bypass`
    pub bypass: Rc<Vec<Complex>>,
    /// `*_no_cache`
    pub no_cache: Rc<Vec<Complex>>,
    /// `*_cache_purge`
    pub purge: Rc<Vec<Complex>>,
    /// `*_cache_purge_method`
    pub purge_method: Option<Rc<[u8]>>,
    /// `*_cache_purge_tag`
    pub purge_tag: Rc<Vec<Complex>>,
    /// `*_cache_purge_soft`
    pub purge_soft: Rc<Vec<Complex>>,
    /// `*_cache_rfc9111`
    pub rfc9111: bool,
    /// `*_cache_use_stale`
    pub use_stale: u32,
    /// `*_cache_background_update`
    pub background_update: bool,
    /// `*_cache_lock`
    pub lock: bool,
    /// `*_cache_lock_timeout`, milliseconds
    pub lock_timeout: u64,
    /// `*_cache_lock_age`, milliseconds
    pub lock_age: u64,
    /// `*_cache_revalidate`
    pub revalidate: bool,
    /// `*_cache_convert_head`
    pub convert_head: bool,
    /// `*_cache_max_range_offset`, bytes
    pub max_range_offset: Option<u64>,
}

impl CachePlan {
    /// The plan of a location, if it has a cache.
    ///
    /// # Errors
    /// A cache that no `*_cache_path` makes.
    pub fn new(conf: &CacheConf, prefix: &str) -> Result<Option<CachePlan>, SettingError> {
        conf.check(prefix)?;
        let zone = match &conf.zone {
            None | Some(Zone::Off) => return Ok(None),
            Some(zone) => zone.clone(),
        };
        Ok(Some(CachePlan {
            zone,
            key: conf.key.clone(),
            valid: conf.valid.clone().unwrap_or_default(),
            methods: conf.methods.unwrap_or(0) | method::GET | method::HEAD,
            min_uses: conf.min_uses.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            bypass: conf.bypass.clone().unwrap_or_default(),
            no_cache: conf.no_cache.clone().unwrap_or_default(),
            purge: conf.purge.clone().unwrap_or_default(),
            purge_method: conf.purge_method.clone(),
            purge_tag: conf.purge_tag.clone().unwrap_or_default(),
            purge_soft: conf.purge_soft.clone().unwrap_or_default(),
            rfc9111: conf.rfc9111.unwrap_or(false),
            use_stale: conf.use_stale.unwrap_or(0),
            background_update: conf.background_update.unwrap_or(false),
            lock: conf.lock.unwrap_or(false),
            lock_timeout: conf.lock_timeout.unwrap_or(5000),
            lock_age: conf.lock_age.unwrap_or(5000),
            revalidate: conf.revalidate.unwrap_or(false),
            convert_head: conf.convert_head.unwrap_or(prefix == PROXY),
            max_range_offset: conf.max_range_offset,
        }))
    }

    /// The cache that a request uses, if any.
    ///
    /// # Errors
    /// 500 for a name that is no cache's; it has been logged.
    pub fn store(&self, request: &Request) -> Result<Option<Rc<Store>>, Outcome> {
        let name = match &self.zone {
            Zone::Off => return Ok(None),
            Zone::Named(place) => return Ok(place.store.get().cloned()),
            Zone::Varying(name) => name.to_vec(request),
        };
        if name.is_empty() || name == b"off" {
            return Ok(None);
        }
        let found = request.http.main.get::<Caches>().and_then(|caches| caches.find(&name));
        found.map(Some).ok_or_else(|| {
            log_request!(request, Level::Error, "cache \"{}\" not found", String::from_utf8_lossy(&name));
            Outcome::Status(500)
        })
    }

    /// Whether answers to this method are looked for.
    #[must_use]
    pub fn caches_method(&self, wanted: Method) -> bool {
        let bit = match wanted {
            Method::GET => method::GET,
            Method::HEAD => method::HEAD,
            Method::POST => method::POST,
            _ => 0,
        };
        self.methods & bit != 0
    }

    /// How many seconds a response of this status is fresh that does not say it itself.
    #[must_use]
    pub(crate) fn valid_for(&self, status: u16) -> Option<i64> {
        let found = self.valid.iter().find(|(code, _)| *code == 0 || *code == status);
        found.map(|(_, seconds)| *seconds).filter(|seconds| *seconds > 0)
    }
}

/// Whether a value is neither empty nor `0`.
#[must_use]
pub(crate) fn is_any_true(values: &[Complex], request: &Request) -> bool {
    values.iter().any(|value| {
        let value = value.to_vec(request);
        !value.is_empty() && value != b"0"
    })
}
