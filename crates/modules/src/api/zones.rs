//! Parts of the API that are maps of names to counters.

use super::value::{Value, object};
use super::{ApiResult, Call, Reply};
use crate::ssl::SESSION_ZONES;
use crate::zones::{self, ZoneKind};
use http::Method;
use http::cache_report::CacheReports;
use shm::{Dict, Zone, Zones};
use std::cell::RefCell;
use std::rc::Rc;
use upstream::live::ApiError;

/// How it is told that there is no such name: code and text.
type NotFound = (&'static str, &'static str);

/// A map of names, an entry of it, or its reset.
fn entries<T>(call: &Call<'_>, missing: NotFound, all: &[(&str, T)], read: impl Fn(&T) -> Value, reset: impl Fn(&T)) -> ApiResult {
    let (name, call) = call.next();
    let Some(name) = name else {
        call.only_read()?;
        return Ok(Reply::Value(Value::Object(all.iter().map(|(name, entry)| ((*name).to_owned(), read(entry))).collect()), 1));
    };
    let (code, text) = missing;
    let found = all.iter().find(|(known, _)| *known == name);
    let (_, entry) = found.ok_or_else(|| ApiError { status: 404, code, text: text.to_owned() })?;
    if call.method == Method::DELETE && call.path.is_empty() {
        reset(entry);
        return Ok(Reply::Empty(204));
    }
    call.leaf(|| read(entry))
}

/// Zones of one kind.
pub(super) fn counters(call: &Call<'_>, kind: &ZoneKind, missing: NotFound) -> ApiResult {
    let zones = zones::meters(&call.request.worker, kind);
    let named: Vec<_> = zones.iter().map(|zone| (zone.name(), zone)).collect();
    entries(call, missing, &named, |zone| (kind.value)(zone), |zone| zone.reset())
}

/// Caches.
pub(super) fn caches(call: &Call<'_>) -> ApiResult {
    let caches = call.request.http.main.get::<CacheReports>().map(CacheReports::all).unwrap_or_default();
    let named: Vec<_> = caches.iter().map(|cache| (cache.meter().name(), cache)).collect();
    entries(call, ("CacheNotFound", "cache not found"), &named, |cache| zones::cache(&***cache), |cache| cache.meter().reset())
}

/// Shared memory.
pub(super) fn slabs(call: &Call<'_>) -> ApiResult {
    let zones = call.request.worker.state::<RefCell<Zones>>().borrow().all().to_vec();
    let named: Vec<_> = zones.iter().filter(|zone| pages(zone).is_some()).map(|zone| (zone.name(), zone)).collect();
    entries(call, ("SlabNotFound", "slab not found"), &named, |zone| slab(zone), |zone| zone.forget_requests())
}

/// Used and free pages of a zone in which memory is allocated.
fn pages(zone: &Rc<Zone>) -> Option<(u64, u64)> {
    const PAGE: u64 = 4096;
    let dictionaries = [shm::dict::OWNER, shm::dict::STREAM_OWNER, crate::keyval::OWNER, crate::keyval::STREAM_OWNER];
    if dictionaries.iter().chain(&SESSION_ZONES).any(|owner| *owner == zone.owner()) {
        let free = Dict::new(zone).free_space() / PAGE;
        return Some(((zone.size() as u64 / PAGE).saturating_sub(free), free));
    }
    zone.usage().map(|usage| (usage.used, usage.free))
}

fn slab(zone: &Rc<Zone>) -> Value {
    let (used, free) = pages(zone).unwrap_or_default();
    let chunks = zone.usage().map(|usage| usage.chunks).unwrap_or_default();
    let slot = |of: &shm::zone::slab::usage::Chunks| {
        object([("used", of.used.into()), ("free", of.free.into()), ("reqs", of.requests.into()), ("fails", of.failures.into())])
    };
    let slots = chunks.iter().map(|of| (of.size.to_string(), slot(of))).collect();
    object([("pages", object([("used", used.into()), ("free", free.into())])), ("slots", Value::Object(slots))])
}
