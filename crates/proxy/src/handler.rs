//! The content handler of a location with an upstream: body, target, then one attempt after the other.

use crate::attempt::Attempt;
use crate::attempt_end::End;
use crate::balancer::BalanceError;
use crate::caching::facts::{Background, Facts};
use crate::caching::{fill, lookup, serve};
use crate::exchange::Exchange;
use crate::lease::Lease;
use crate::outgoing::{EarlyBody, choose_body};
use crate::pass;
use crate::record::{Record, State};
use crate::route::{HasRoute, Route};
use crate::settings::next;
use crate::upstream::Upstream;
use ::upstream::url::Url;
use balance::{Timing, Verdict};
use base::clock;
use base::log::Level;
use base::saturated::Saturated;
use http::body::{self, BodyState};
use http::cache_report::CacheCounter;
use http::connection::BodyRead;
use http::core::default;
use http::{Outcome, Request, Step, log_request};
use session::BoxFuture;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use sys::boxed::pinned;

/// The content handler of a location with an upstream.
pub fn handle(request: &Rc<Request>, route: Rc<Route>) -> Step {
    Step::wait(|| run(request.clone(), route))
}

/// As [`handle`] by the settings of type `V`: a block within the location (`if`) may have put its own in force since `chosen` was.
pub(crate) fn handle_current<V: HasRoute>(request: &Rc<Request>, chosen: &Rc<Route>) -> Step {
    let current = request.with_location(|l| l.conf.get::<V>().and_then(|values| values.route().get().cloned()));
    handle(request, current.unwrap_or_else(|| chosen.clone()))
}

async fn run(request: Rc<Request>, route: Rc<Route>) -> Outcome {
    if let Err(outcome) = route.dialect.check_request(&request) {
        return outcome;
    }
    if let Some(refused) = read_body(&request, &route).await {
        return refused;
    }
    let state = request.worker.state::<State>();
    let record = request.find_lasting::<Record>().unwrap_or_else(|| {
        let made = state.record();
        request.set_lasting(made.clone());
        made
    });
    record.clear_head();
    let found = match pass::fixed(&route.pass) {
        Some(found) => found,
        // Boxed, as every request's future would have room for it otherwise.
        None => pinned(|| find(&request, &route, &state, &record)).await,
    };
    let (evaluated, upstream) = match found {
        Ok(found) => found,
        Err(outcome) => {
            if outcome == Outcome::Status(502) {
                mark(&request);
            }
            return outcome;
        }
    };
    let body = match choose_body(&request, &route) {
        Ok(chosen) => chosen,
        Err(outcome) => return outcome,
    };
    let mut exchange = Exchange::new(request, route, record, upstream, state, evaluated, body);
    // Boxed, as every request's future would have room for it otherwise.
    let cached = if exchange.route.plan.caching.is_some() { pinned(|| lookup::lookup(&mut exchange, rerun)).await } else { None };
    let outcome = match cached {
        Some(outcome) => outcome,
        None => drive(&mut exchange).await,
    };
    if exchange.route.plan.caching.is_some() {
        observe_cache(&exchange);
    }
    mark(&exchange.request);
    exchange.state.put_record(&exchange.record);
    exchange.state.put_scratch(exchange.scratch);
    outcome
}

/// The upstream's part is over. With nginx the requests of a connection share this word, so that a subrequest's leaves its mark on all of them.
fn mark(request: &Rc<Request>) {
    let mut marked = Some(request);
    while let Some(request) = marked {
        request.action.set("sending to client");
        marked = request.parent.as_ref();
    }
}

/// The upstream that variables name. A name server may take its time, in which the client may leave.
async fn find(request: &Rc<Request>, route: &Route, state: &State, record: &Record) -> Result<(Option<Url>, Rc<Upstream>), Outcome> {
    let finding = pass::find(&route.pass, request, state, record, route.dialect.default_port());
    let plan = &route.plan;
    if plan.ignore_client_abort || plan.caching.is_some() || plan.store.is_some() || streams_body(request, route) {
        return finding.await;
    }
    tokio::select! {
        biased;
        found = finding => found,
        () = std::future::poll_fn(|cx| request.wire.poll_gone(cx)) => {
            request.flags.client_gone.set(true);
            request.log(Level::Info, b"client prematurely closed connection");
            Err(Outcome::Status(499))
        }
    }
}

/// Counts the result of the cache lookup, for requests of clients.
fn observe_cache(exchange: &Exchange) {
    let request = &exchange.request;
    let Some(facts) = request.find_lasting::<Facts>().filter(|_| request.find_lasting::<Background>().is_none()) else { return };
    let Some(status) = facts.status.get() else { return };
    request.worker.observers.cache_answered(status);
    let Some(caching) = &exchange.caching else { return };
    let received = || exchange.record.tries.borrow().last().map_or(0, |last| last.received);
    let bytes = if status.is_from_cache() { facts.read.get() } else { received() };
    caching.store.meter.add(CacheCounter::Responses.of(status), 1);
    caching.store.meter.add(CacheCounter::Bytes.of(status), bytes);
}

/// Runs a request from the beginning.
fn rerun(request: Rc<Request>, route: Rc<Route>) -> BoxFuture<Outcome> {
    pinned(|| run(request, route))
}

/// Answers a request that no server has answered: from the cache, if it may, or with the failure's status.
async fn finish_failed(exchange: &Exchange, condition: u32, status: u16) -> Outcome {
    if exchange.caching.is_none() {
        return Outcome::Status(status);
    }
    if let Some(outcome) = pinned(|| serve::serve_stale(exchange, condition, false)).await {
        return outcome;
    }
    fill::note_failure(exchange, status);
    Outcome::Status(status)
}

/// Reads the whole body where the location wants that; an outcome refuses the request.
async fn read_body(request: &Rc<Request>, route: &Route) -> Option<Outcome> {
    if streams_body(request, route) {
        body::send_continue(request);
        return take_early(request);
    }
    match body::read(request).finish().await {
        Outcome::Ok => None,
        refused => Some(refused),
    }
}

/// A small body that came with its head is a body like any other, also where bodies are passed on as they come.
fn take_early(request: &Rc<Request>) -> Option<Outcome> {
    let core = request.core();
    let limit = usize::saturated(core.client_body_buffer_size.unwrap_or(default::BODY_BUFFER));
    let max = core.client_max_body_size.unwrap_or(default::MAX_BODY);
    let mut data = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let refused = loop {
        match request.wire.poll_body(&mut cx, request, &mut data, limit) {
            Poll::Pending => break None,
            Poll::Ready(Ok(BodyRead::End)) => {
                body::replace(request, body::Body::from_bytes(data));
                return None;
            }
            Poll::Ready(Ok(BodyRead::Data(n))) => {
                let refused = body::too_large(request, data.len() as u64, n as u64, max);
                if refused.is_some() || data.len() >= limit {
                    break refused;
                }
            }
            Poll::Ready(Err(error)) => break Some(body::refusal(request, error)),
        }
    };
    if refused.is_none() && !data.is_empty() {
        request.set_lasting(Rc::new(EarlyBody(RefCell::new(data))));
    }
    refused
}

/// Whether the client's body goes to the upstream as it comes.
fn streams_body(request: &Request, route: &Route) -> bool {
    let body = request.body.borrow();
    !route.plan.request_buffering
        && route.plan.pass_request_body
        && body.state() == BodyState::Unread
        && (body.length().is_some() || route.dialect.can_stream())
}

/// Tries servers until one answers.
async fn drive(exchange: &mut Exchange) -> Outcome {
    exchange.choose_secure();
    if !exchange.encode() {
        return Outcome::Status(500);
    }
    if !exchange.is_allowed() {
        exchange.log_target(&exchange.upstream.name.clone());
        exchange.request.log(Level::Error, b"access to upstream denied");
        return Outcome::Status(502);
    }
    exchange.choose_local();
    exchange.prepare_selection();
    let mut first = true;
    loop {
        let asked = match exchange.upstream.balancer.clone() {
            None => None,
            Some(balancer) => match exchange.query_balancer(&balancer, first).await {
                Ok(asked) => asked,
                Err(BalanceError::Answer(Outcome::Status(502))) => return finish_failed(exchange, next::ERROR, 502).await,
                Err(BalanceError::Answer(outcome)) => return outcome,
                Err(BalanceError::Failed(failure)) if exchange.goes_on(&failure) => {
                    first = false;
                    continue;
                }
                Err(BalanceError::Failed(failure)) => return finish_failed(exchange, failure.condition, failure.status).await,
            },
        };
        let choice = match asked.or_else(|| exchange.choose()) {
            Some(choice) => choice,
            // Boxed, as every request's future would have room for it otherwise.
            None => match pinned(|| exchange.wait(first)).await {
                Ok(choice) => choice,
                Err(Outcome::Status(502)) => return finish_failed(exchange, next::ERROR, 502).await,
                Err(outcome) => return outcome,
            },
        };
        let peer = choice.peer.clone();
        exchange.scratch.selection.tries = exchange.scratch.selection.tries.saturating_sub(1);
        exchange.record.begin(&peer.server.name, first, clock::monotonic_ms());
        first = false;
        exchange.log_target(&peer.server.name);
        exchange.set_cookie(&peer);
        let lease = Lease::new(exchange.upstream.clone(), choice);
        match Attempt::run(exchange, &lease).await {
            End::Answered(outcome) => {
                exchange.learn_session(&lease.peer, false);
                exchange.count(&lease.peer);
                lease.end(&exchange.request, Verdict::Good, exchange.timing());
                return outcome;
            }
            End::Client(outcome) => {
                lease.end(&exchange.request, Verdict::Neutral, Timing::default());
                return outcome;
            }
            End::Failed(failure) => {
                exchange.count(&lease.peer);
                lease.end(&exchange.request, exchange.verdict(&failure), Timing::default());
                exchange.report_failure(&failure);
                log_request!(exchange.request, Level::Debug, "http next upstream, {:x}", failure.condition << 1);
                if !exchange.goes_on(&failure) {
                    return finish_failed(exchange, failure.condition, failure.status).await;
                }
            }
        }
    }
}
