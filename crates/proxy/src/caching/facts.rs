//! `$upstream_cache_*`: results of a request's cache lookup.

use base::text::push_number;
use http::Request;
use http::Variables;
use http::metrics::CacheStatus;
use http::variables::define;
use session::variable::{EXTRA, NO_CACHE};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What variables tell of a cache. Outlives internal redirects.
#[derive(Default)]
pub struct Facts {
    /// The result; `None` if no cache was consulted.
    pub status: Cell<Option<CacheStatus>>,
    /// The key.
    pub key: RefCell<Vec<u8>>,
    /// When the stored answer was stored or last confirmed, seconds; 0 for none.
    pub date: Cell<i64>,
    /// The `Last-Modified` that a conditional request may name, or -1.
    pub last_modified: Cell<i64>,
    /// Bytes of the stored response that the client gets.
    pub read: Cell<u64>,
    /// The `ETag` that it may name.
    pub etag: RefCell<Vec<u8>>,
}

impl Facts {
    /// Those of a request, forgotten as it asks anew.
    #[must_use]
    pub fn of(request: &Request) -> Rc<Facts> {
        let facts = request.client_context::<Facts>();
        facts.status.set(None);
        facts.key.borrow_mut().clear();
        facts.date.set(0);
        facts.read.set(0);
        facts.last_modified.set(-1);
        facts.etag.borrow_mut().clear();
        facts
    }
}

/// A request that fetches anew what its parent's client gets old.
pub(crate) struct Background;

/// Defines the variables.
pub fn define_all(variables: &mut Variables) {
    define(variables, "upstream_cache_status", NO_CACHE, |request, out| {
        let found = request.find_lasting::<Facts>().and_then(|facts| facts.status.get());
        if let Some(status) = found {
            out.extend_from_slice(status.name().as_bytes());
        }
        found.is_some()
    });
    define(variables, "upstream_cache_key", NO_CACHE | EXTRA, |request, out| {
        with(request, |facts| !facts.key.borrow().is_empty(), |facts| out.extend_from_slice(&facts.key.borrow()))
    });
    define(variables, "upstream_cache_age", NO_CACHE | EXTRA, |request, out| {
        with(
            request,
            |facts| facts.date.get() > 0 && facts.status.get().is_some_and(CacheStatus::is_from_cache),
            |facts| push_number(out, (base::clock::now().sec - facts.date.get()).max(0).cast_unsigned()),
        )
    });
    define(variables, "upstream_cache_last_modified", NO_CACHE, |request, out| {
        with(request, |facts| facts.last_modified.get() >= 0, |facts| out.extend_from_slice(&wire::date::http(facts.last_modified.get())))
    });
    define(variables, "upstream_cache_etag", NO_CACHE, |request, out| {
        with(request, |facts| !facts.etag.borrow().is_empty(), |facts| out.extend_from_slice(&facts.etag.borrow()))
    });
}

fn with(request: &Request, has: impl Fn(&Facts) -> bool, push: impl FnOnce(&Facts)) -> bool {
    let Some(facts) = request.find_lasting::<Facts>() else { return false };
    let found = has(&facts);
    if found {
        push(&facts);
    }
    found
}
