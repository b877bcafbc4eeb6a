//! What becomes of a response whose head has come: it is refused, answered from the cache, passed on, or a tunnel.

use super::Attempt;
use crate::attempt_end::{AttemptEnd, End};
use crate::buffer::ResponseBuffer;
use crate::caching::fill;
use crate::caching::serve;
use crate::connection::UpstreamConnection;
use crate::dialect::{Framing, UpstreamResponse};
use crate::headers;
use crate::relay::Relay;
use crate::retry::Failure;
use crate::tee::Tee;
use crate::tunnel;
use base::log::Level;
use http::{Outcome, Step};

impl Attempt<'_> {
    /// Notes the response's head; it may send the request on to another server.
    fn accept_head(&mut self, answer: &UpstreamResponse) -> Option<Failure> {
        let exchange = &mut *self.exchange;
        exchange.note_head(answer);
        let failure = exchange.status_goes_on(answer.status, self.sender.sent > 0, self.sender.consumed);
        if failure.is_some() {
            return failure;
        }
        self.lease.head_received(exchange.record.header_time());
        exchange.learn_session(&self.lease.peer, true);
        exchange.show_dialect(answer);
        if let Some(outdating) = &exchange.outdating {
            outdating.answered(&exchange.request, answer.status);
        }
        None
    }

    pub(super) fn pass_on(&mut self, connection: Box<UpstreamConnection>, answer: UpstreamResponse) -> AttemptEnd<'_> {
        if let Some(failure) = self.accept_head(&answer) {
            self.finish(0);
            return AttemptEnd::Now(End::Failed(failure));
        }
        if !self.exchange.has_stale() {
            return self.announce(connection, answer);
        }
        AttemptEnd::later(|| async move {
            let Some(outcome) = serve::serve_stored(self.exchange, answer.status).await else {
                return self.announce(connection, answer).end().await;
            };
            self.release_connection(connection, &answer);
            self.finish(0);
            End::Answered(outcome)
        })
    }

    /// Sends the client the head, unless something else answers it, and then the body.
    fn announce(&mut self, connection: Box<UpstreamConnection>, answer: UpstreamResponse) -> AttemptEnd<'_> {
        if self.is_intercepted(answer.status) {
            fill::note_intercepted(self.exchange, answer.status);
            headers::keep_challenge(&self.exchange.request, &self.exchange.record);
            self.release_connection(connection, &answer);
            self.finish(0);
            return AttemptEnd::Now(End::Answered(Outcome::Status(answer.status)));
        }
        let exchange = &mut *self.exchange;
        let (request, route, record) = (&exchange.request, &exchange.route, &exchange.record);
        let orders = headers::orders(request, route, record);
        if let Some(target) = orders.redirect {
            let outcome = headers::redirect(request, route, record, &target);
            self.finish(0);
            return AttemptEnd::Now(End::Answered(outcome));
        }
        headers::copy(request, route, record, &answer);
        let buffering = orders.buffering.unwrap_or(route.plan.buffering);
        let tee = Tee::prepare(exchange, &answer, buffering);
        if answer.tunnel {
            // Others that wait for a response to keep wait no longer.
            drop(Tee::begin(tee, exchange, &answer, buffering));
            return AttemptEnd::later(|| async move { End::Answered(self.tunnel(connection, answer.length).await) });
        }
        match self.exchange.request.send_header() {
            Step::Now(Outcome::Ok) => self.relay(connection, answer, buffering, tee),
            Step::Now(outcome) => {
                self.finish(0);
                AttemptEnd::Now(End::Answered(outcome))
            }
            Step::Wait(sent) => AttemptEnd::later(|| async move {
                match sent.await {
                    Outcome::Ok => self.relay(connection, answer, buffering, tee).end().await,
                    outcome => {
                        self.finish(0);
                        End::Answered(outcome)
                    }
                }
            }),
        }
    }

    /// Keeps the connection of a response that needs no reading.
    fn release_connection(&self, connection: Box<UpstreamConnection>, answer: &UpstreamResponse) {
        let bare = match answer.body {
            Framing::Empty => true,
            Framing::Frames(_) => connection.channel.is_clean(),
            _ => false,
        };
        let bare = bare && self.exchange.scratch.holds_only(answer.length);
        if bare && answer.keep_alive && self.sender.is_done() {
            self.exchange.release(&self.lease.peer, connection);
        }
    }

    fn is_intercepted(&self, status: u16) -> bool {
        if status == 404 && self.exchange.route.plan.intercept_404 {
            return true;
        }
        if !self.exchange.route.plan.intercept_errors || status < 300 {
            return false;
        }
        let core = self.request().core();
        core.error_pages.as_ref().is_some_and(|pages| pages.iter().any(|page| page.status == status))
    }

    fn relay(
        &mut self,
        connection: Box<UpstreamConnection>,
        answer: UpstreamResponse,
        buffering: bool,
        tee: Option<Tee>,
    ) -> AttemptEnd<'_> {
        let tee = Tee::begin(tee, self.exchange, &answer, buffering);
        let head = self.exchange.scratch.end_of(answer.length);
        let relay = Relay {
            exchange: &mut *self.exchange,
            lease: self.lease,
            connection,
            keep_alive: answer.keep_alive,
            sender: std::mem::take(&mut self.sender),
            can_send: self.send_error.is_none(),
            framing: answer.body,
            watch: self.watch && tee.is_none(),
            client_gone: false,
            buffering,
            tee,
            client_left: false,
            store: ResponseBuffer::default(),
        };
        relay.pass(head)
    }

    async fn tunnel(&mut self, connection: Box<UpstreamConnection>, head: usize) -> Outcome {
        let exchange = &*self.exchange;
        let request = exchange.request.clone();
        request.flags.keepalive.set(false);
        let sent = request.send_header().finish().await;
        if sent != Outcome::Ok {
            self.finish(0);
            return sent;
        }
        // The client speaks first in some protocols, and only after the head.
        if request.flush().finish().await != Outcome::Ok {
            self.finish(0);
            return Outcome::Error;
        }
        let Some(client) = request.wire.clone().tunnel(&request) else {
            request.log(Level::Error, b"the client's connection cannot be upgraded");
            self.finish(0);
            return Outcome::Error;
        };
        let plan = &exchange.route.plan;
        let first = exchange.scratch.input.get(exchange.scratch.end_of(head)..).unwrap_or_default();
        let passed = tunnel::run(&request, client, connection, first, plan.buffer_size, exchange.limits().read).await;
        exchange.record.update(0, |t, _| {
            t.received += passed.down.saturating_sub(first.len() as u64);
            t.length = passed.down;
        });
        self.finish(0);
        exchange.record.update(0, |t, _| t.sent += passed.up);
        request.bytes_sent.set(request.bytes_sent.get() + passed.down);
        Outcome::Ok
    }
}
