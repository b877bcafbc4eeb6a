//! What the client gets of a response's body: at once, or from the store when it is behind.

use super::{BodyEnd, READING, SENDING};
use crate::buffer::ResponseBuffer;
use crate::exchange::Exchange;
use crate::route::Route;
use crate::settings::Plan;
use bytes::Bytes;
use http::{Chain, Outcome, Piece, Request};
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Waker};

/// Gives data to the client, or to the store when the client is behind.
pub(super) fn emit(exchange: &Exchange, buffering: bool, store: &mut ResponseBuffer, data: &[IoSlice<'_>]) -> http::Step {
    let (request, plan) = (&exchange.request, &exchange.route.plan);
    if buffering && (!store.is_empty() || !keeps_up(request, plan)) {
        data.iter().for_each(|run| store.push(request, plan, run));
        return http::Step::Now(Outcome::Ok);
    }
    if !request.has_body_filters() {
        return request.output_slices(data);
    }
    request.action.set(SENDING);
    let step = if buffering {
        request.output_slices(data)
    } else {
        let pieces = data.iter().map(|run| Piece::Bytes(Bytes::copy_from_slice(run))).collect();
        request.output(Chain { pieces, flush: true, ..Chain::default() })
    };
    if matches!(step, http::Step::Now(_)) {
        request.action.set(READING);
    }
    step
}

/// Whether the client has taken what it was sent, as far as it may be behind: what is queued is offered to it first.
fn keeps_up(request: &Request, plan: &Plan) -> bool {
    // A client that has gone takes everything: the next write tells. Who waits for it asks again, with a waker.
    request.wire.queued() <= plan.busy || request.wire.poll_drain(&mut Context::from_waker(Waker::noop()), plan.busy).is_ready()
}

/// Moves what is stored to the client as far as it takes it; false: the client is gone.
pub(super) async fn send_stored(request: &Rc<Request>, plan: &Plan, store: &mut ResponseBuffer) -> bool {
    while !store.is_empty() && request.wire.queued() <= plan.busy {
        let Some(piece) = store.take(plan.busy) else { return true };
        if !send(request, piece).await {
            return false;
        }
    }
    true
}

async fn send(request: &Rc<Request>, piece: Piece) -> bool {
    let chain = Chain { pieces: vec![piece], ..Chain::default() };
    request.output(chain).finish().await == Outcome::Ok
}

/// Gives the client the rest of a response and ends it, or ends the connection if there is no whole response.
pub(super) async fn complete(request: Rc<Request>, route: Rc<Route>, mut store: ResponseBuffer, finish: BodyEnd) -> Outcome {
    let plan = &route.plan;
    if finish == BodyEnd::ClientGone {
        request.flags.client_gone.set(true);
        return Outcome::Error;
    }
    request.action.set(SENDING);
    while !store.is_empty() {
        if !send_stored(&request, plan, &mut store).await || request.drain(plan.busy / 2).finish().await != Outcome::Ok {
            return Outcome::Error;
        }
    }
    if finish == BodyEnd::Broken {
        // What came is the client's; that it is not whole shows in how the connection ends.
        request.flags.keepalive.set(false);
        let _ = request.flush().finish().await;
        return Outcome::Error;
    }
    request.output_end().finish().await
}
