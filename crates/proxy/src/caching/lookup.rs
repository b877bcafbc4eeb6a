//! Consults the cache before the upstream.

use crate::caching::conf::UPDATING;
use crate::caching::facts::Background;
use crate::caching::find::{Caching, LookupResult};
use crate::caching::invalidation::Invalidation;
use crate::caching::plan::{CachePlan, is_any_true};
use crate::caching::purge;
use crate::caching::serve;
use crate::caching::stored::Stored;
use crate::exchange::Exchange;
use crate::route::Route;
use crate::uri::{UriRule, push_uri};
use base::clock;
use base::log::Level;
use cache::rfc9111::Reuse;
use http::discard::Discard;
use http::metrics::CacheStatus;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{Outcome, Request};
use session::BoxFuture;
use session::alarms::Alarms;
use std::rc::Rc;
use std::time::Duration;

/// Runs a request through its upstream from the beginning.
pub(crate) type Restart = fn(Rc<Request>, Rc<Route>) -> BoxFuture<Outcome>;

/// Pauses between looks while another request fetches: short at first.
const PAUSE: (u64, u64) = (2, 50);

/// Answers from the cache, if it can; `None` sends the request on to the upstream, with what the cache must know of its answer.
pub async fn lookup(exchange: &mut Exchange, again: Restart) -> Option<Outcome> {
    let plan = exchange.route.plan.caching.clone()?;
    let store = match plan.store(&exchange.request) {
        Ok(store) => store?,
        Err(outcome) => return Some(outcome),
    };
    let request = exchange.request.clone();
    if purge::is_wanted(&request, &plan) {
        return Some(purge::run(&request, &plan, &store, &key(exchange, &plan)?));
    }
    if !plan.caches_method(request.method()) {
        if plan.rfc9111 {
            exchange.outdating = Invalidation::of(&request, store, key(exchange, &plan)?);
        }
        return None;
    }
    let mut caching = Box::new(Caching::new(&request, plan.clone(), store, key(exchange, &plan)?));
    let no_store = caching.wishes.is_some_and(|wishes| wishes.no_store);
    if no_store || is_any_true(&plan.bypass, &request) {
        caching.facts.status.set(Some(CacheStatus::Bypass));
        caching.cacheable &= !no_store;
    } else {
        caching.facts.status.set(Some(CacheStatus::Miss));
        let found = find(&mut caching, &request, &exchange.route, again).await;
        match found {
            Next::Serve(stored) => {
                caching.record_hit(&stored);
                exchange.caching = Some(caching);
                return Some(serve::serve(exchange, &stored).await);
            }
            Next::Answer(outcome) => return Some(outcome),
            Next::Ask => {}
        }
    }
    if caching.wishes.is_some_and(|wishes| wishes.only_if_cached) {
        return Some(Outcome::Status(504));
    }
    caching.start_fetch();
    caching.cacheable &= range_fits(&request, &plan);
    exchange.caching = Some(caching);
    None
}

/// What is done.
enum Next {
    Serve(Rc<Stored>),
    Answer(Outcome),
    Ask,
}

async fn find(caching: &mut Caching, request: &Rc<Request>, route: &Rc<Route>, again: Restart) -> Next {
    let background = request.find_lasting::<Background>().is_some();
    let mut waited = Waiting { began: clock::monotonic_ms(), pause: PAUSE.0 };
    let mut damaged = false;
    loop {
        let mut found = caching.find(request);
        if let LookupResult::Answer(stored) = &found
            && (damaged || !caching.verify(request, stored).await)
        {
            // A file that cannot be removed is found again and again.
            damaged = true;
            found = LookupResult::None;
        }
        match found {
            LookupResult::Error(status) => {
                caching.facts.status.set(Some(CacheStatus::Hit));
                return Next::Answer(Outcome::Status(status));
            }
            LookupResult::Scarce => {
                caching.cacheable = false;
                return Next::Ask;
            }
            LookupResult::Answer(stored) if matches!(caching.evaluate(&stored), Reuse::Fresh | Reuse::Stale) => {
                caching.facts.status.set(if caching.evaluate(&stored) == Reuse::Fresh {
                    Some(CacheStatus::Hit)
                } else {
                    Some(CacheStatus::Stale)
                });
                return Next::Serve(stored);
            }
            LookupResult::Answer(stored) => return old(caching, request, route, stored, background, again),
            // A fetch beside a client's request has the right to it from there.
            LookupResult::None if background || !caching.plan.lock || caching.begin() => return Next::Ask,
            LookupResult::None => {}
        }
        if caching.plan.lock_timeout <= clock::monotonic_ms().saturating_sub(waited.began) {
            if caching.plan.lock_timeout > 0 {
                request.log(Level::Info, b"cache lock timeout");
            }
            caching.cacheable = false;
            return Next::Ask;
        }
        if !waited.pause(request, caching.plan.lock_timeout).await {
            request.flags.client_gone.set(true);
            return Next::Answer(Outcome::Status(499));
        }
    }
}

/// An answer that is no longer fresh: who fetches it anew, and who gets it meanwhile.
fn old(caching: &mut Caching, request: &Rc<Request>, route: &Rc<Route>, stored: Rc<Stored>, background: bool, again: Restart) -> Next {
    let within = stored.head.is_within(stored.head.updating, clock::now().sec);
    let may_give = !background && caching.may_give_stale(&stored) && (caching.plan.use_stale & UPDATING != 0 || within);
    if may_give && !caching.begin() {
        caching.facts.status.set(Some(CacheStatus::Updating));
        return Next::Serve(stored);
    }
    // Under RFC 9111 `stale-while-revalidate` is the origin's order, not an allowance.
    let beside = caching.plan.background_update || (caching.plan.rfc9111 && within);
    if may_give && beside && update(caching, request, route, again) {
        caching.facts.status.set(Some(CacheStatus::Stale));
        return Next::Serve(stored);
    }
    if !background {
        // Somebody else may fetch it too; then this request does as well.
        caching.begin();
    }
    caching.facts.status.set(Some(CacheStatus::Expired));
    if caching.plan.revalidate || caching.plan.rfc9111 {
        caching.facts.last_modified.set(stored.head.last_modified);
        caching.facts.etag.borrow_mut().clone_from(&stored.head.etag);
    }
    caching.stale = Some(stored);
    Next::Ask
}

/// Updates a response in the background of the client's request.
fn update(caching: &mut Caching, request: &Rc<Request>, route: &Rc<Route>, again: Restart) -> bool {
    let child = {
        let line = request.line.borrow();
        let what = Subrequest {
            uri: &line.uri,
            args: &line.args,
            method: Some((line.method, &line.method_name)),
            wire: Rc::new(Discard),
            body: SubrequestBody::Parents,
            variables: SubrequestVariables::Shared,
        };
        Rc::new(Request::child(request, what))
    };
    // It is the client's request once more: its URI leaves in the same form.
    child.line.borrow_mut().copy_from(&request.line.borrow());
    child.flags.internal.set(request.flags.internal.get());
    child.set_location(request.location());
    child.set_lasting(Rc::new(Background));
    let (worker, route) = (request.worker.clone(), route.clone());
    // The right to fetch goes along, and with it the time that nobody else does.
    let fetch = caching.fetch.take();
    request.worker.spawn(Box::pin(async move {
        let held = worker.hold();
        again(child.clone(), route).await;
        drop(fetch);
        child.run_cleanups();
        drop(held);
    }));
    true
}

struct Waiting {
    began: u64,
    pause: u64,
}

impl Waiting {
    /// Waits a moment; false: the client is gone.
    async fn pause(&mut self, request: &Rc<Request>, limit: u64) -> bool {
        let left = limit.saturating_sub(clock::monotonic_ms().saturating_sub(self.began)).max(1);
        let pause = Duration::from_millis(self.pause.min(left));
        self.pause = (self.pause * 2).min(PAUSE.1);
        tokio::select! {
            () = Alarms::after(&request.worker, pause) => true,
            () = std::future::poll_fn(|cx| request.wire.poll_gone(cx)) => false,
        }
    }
}

/// The key of a request; `None` where there can be none.
fn key(exchange: &Exchange, plan: &CachePlan) -> Option<Vec<u8>> {
    let request = &*exchange.request;
    if let Some(key) = &plan.key {
        let key = key.to_vec(request);
        return (!key.is_empty() && !key.contains(&b'\n')).then_some(key);
    }
    // As nginx: scheme and host as the configuration has them, and the URI as it goes out.
    let url = exchange.url().filter(|_| exchange.route.dialect.scheme() == b"http://")?;
    let mut key = exchange.route.dialect.scheme().to_vec();
    key.extend_from_slice(&url.host_header);
    let rule = UriRule { uri: &url.uri, evaluated: exchange.evaluated.is_some(), location: exchange.route.pass.location() };
    push_uri(request, &rule, &mut key);
    Some(key)
}

/// Whether the answer to a request for a range is fetched whole (`*_cache_max_range_offset`).
fn range_fits(request: &Request, plan: &CachePlan) -> bool {
    let Some(limit) = plan.max_range_offset else { return true };
    let headers = request.headers.borrow();
    let Some(range) = headers.get(b"Range") else { return true };
    if limit == 0 {
        return false;
    }
    let Some((_, rest)) = range.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes=")) else { return true };
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    match rest.get(..digits).and_then(base::text::parse_number) {
        None => rest.first() != Some(&b'-'),
        Some(start) => start < limit || rest.get(digits..).is_none_or(|rest| rest.trim_ascii_start().first() != Some(&b'-')),
    }
}
