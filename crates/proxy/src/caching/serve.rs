//! Sends a stored response to the client.

use crate::caching::rfc;
use crate::caching::stored::Stored;
use crate::dialect::{Framing, UpstreamResponse};
use crate::exchange::Exchange;
use crate::headers;
use crate::settings::next;
use base::clock;
use base::log::Level;
use http::metrics::CacheStatus;
use http::{Chain, Outcome, Request, log_request};
use std::rc::Rc;
use wire::known::Known;
use wire::span::Span;

/// Gives the client a stored response.
pub async fn serve(exchange: &Exchange, stored: &Stored) -> Outcome {
    let (request, route, record) = (&exchange.request, &exchange.route, &exchange.record);
    if let Some(caching) = &exchange.caching {
        caching.facts.read.set(stored.file_length());
    }
    record.set_head(&*route.dialect, &stored.head.text, &stored.lines);
    let orders = headers::orders(request, route, record);
    if let Some(target) = orders.redirect {
        return headers::redirect(request, route, record, &target);
    }
    let announced = stored.lines.iter().find(|line| line.known == Known::ContentLength);
    let answer = UpstreamResponse {
        length: 0,
        status: stored.head.status,
        status_line: Span::new(0, stored.status_line_end()),
        body: Framing::Empty,
        content_length: announced.and_then(|line| base::text::parse_number(line.value.of(&stored.head.text))),
        keep_alive: false,
        tunnel: false,
    };
    headers::copy(request, route, record, &answer);
    own_conditions(request);
    request.response.borrow_mut().single_range = false;
    if exchange.caching.as_ref().is_some_and(|caching| caching.plan.rfc9111) {
        let age = cache::rfc9111::current_age(&stored.head, clock::now().sec);
        let mut response = request.response.borrow_mut();
        response.headers.set(b"Age", age.to_string().as_bytes());
        // All of it is here, whatever the upstream can do.
        response.allow_ranges |= stored.head.status == 200;
    }
    request.action.set("sending to client");
    let sent = request.send_header().finish().await;
    if sent != Outcome::Ok || request.flags.header_only.get() {
        return sent;
    }
    let chain = Chain { pieces: vec![stored.piece()], last: true, ..Chain::default() };
    request.output(chain).finish().await
}

/// Conditions and ranges of a response that is kept are for this server to evaluate, whatever the upstream says of ranges.
pub fn own_conditions(request: &Request) {
    request.flags.unconditional.set(false);
    let mut response = request.response.borrow_mut();
    if response.headers.remove(b"Accept-Ranges") != 0 {
        (response.allow_ranges, response.single_range) = (true, true);
    }
}

/// The old response in place of a failure of this kind, if there may be one: by `*_cache_use_stale`, and where the upstream has not
/// `answered` by `stale-if-error` too; under RFC 9111 an error of its own is no response.
pub(crate) async fn serve_stale(exchange: &Exchange, condition: u32, answered: bool) -> Option<Outcome> {
    let stored = may_rescue(exchange, condition, answered)?;
    Some(serve(exchange, &stored).await)
}

fn may_rescue(exchange: &Exchange, condition: u32, answered: bool) -> Option<Rc<Stored>> {
    let caching = exchange.caching.as_ref()?;
    let stored = caching.stale.clone()?;
    // RFC 5861 counts these responses as errors; nginx does not.
    let failed = !answered || caching.plan.rfc9111 && condition & (next::HTTP_500 | next::HTTP_502 | next::HTTP_503 | next::HTTP_504) != 0;
    let still = failed && stored.head.is_within(stored.head.error, clock::now().sec);
    if (caching.plan.use_stale & condition == 0 && !still) || !caching.may_serve_stale(&stored) {
        return None;
    }
    caching.facts.status.set(Some(CacheStatus::Stale));
    caching.record_hit(&stored);
    Some(stored)
}

/// The old response in place of one that only confirms it, or of a failure that it may stand in for.
pub async fn serve_stored(exchange: &Exchange, status: u16) -> Option<Outcome> {
    if status == 304 { confirm(exchange).await } else { serve_stale(exchange, next::of_status(status)?, true).await }
}

/// The upstream says that the old response still holds.
async fn confirm(exchange: &Exchange) -> Option<Outcome> {
    let stored = confirmed(exchange)?;
    Some(serve(exchange, &stored).await)
}

fn confirmed(exchange: &Exchange) -> Option<Rc<Stored>> {
    let caching = exchange.caching.as_ref().filter(|caching| caching.plan.revalidate || caching.plan.rfc9111)?;
    let old = caching.stale.clone()?;
    if caching.plan.rfc9111 {
        caching.facts.status.set(Some(http::metrics::CacheStatus::Revalidated));
        return rfc::refresh(exchange, caching, &old).inspect(|fresh| caching.record_hit(fresh));
    }
    let now = clock::now().sec;
    caching.facts.status.set(Some(CacheStatus::Revalidated));
    let ignored = exchange.route.plan.uncounted();
    let said = |head: &[u8], lines: &[wire::h1::header::HeaderSpan]| {
        cache::freshness::evaluate(lines.iter().map(|line| (line.known, line.value.of(head))), ignored, now)
    };
    let mut judged = said(&exchange.record.head.borrow(), &exchange.record.lines.borrow());
    if judged.valid == 0 {
        judged = said(&old.head.text, &old.lines);
    }
    if judged.valid == 0 {
        judged.valid = caching.plan.valid_for(old.head.status).map_or(0, |seconds| now.saturating_add(seconds));
    }
    if judged.valid == 0 {
        caching.record_hit(&old);
        return Some(old);
    }
    let mut head = old.head.clone();
    (head.valid, head.updating, head.error, head.date) = (judged.valid, judged.updating, judged.error, now);
    // A soft purge from before the upstream was asked has had its effect.
    head.stored_ms = caching.asked_ms;
    if let Err(error) = caching.store.files.rewrite_head(&caching.digest, &head) {
        let path = caching.store.files.path(&caching.digest);
        log_request!(exchange.request, Level::Crit, "write() \"{}\" failed {}", path.display(), base::errno::describe(&error));
    }
    caching.store.index.changed(&caching.digest);
    let fresh = Rc::new(old.with_head(head));
    caching.record_hit(&fresh);
    Some(fresh)
}
