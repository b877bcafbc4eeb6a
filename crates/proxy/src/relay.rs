//! Forwards a response body, at the client's pace or ahead of it.

mod delivery;

use crate::attempt_end::{AttemptEnd, End};
use crate::buffer::ResponseBuffer;
use crate::connection::UpstreamConnection;
use crate::dialect::Framing;
use crate::exchange::Exchange;
use crate::lease::Lease;
use crate::limits::TIMED_OUT;
use crate::pace::Pace;
use crate::sender::{SendError, Sender};
use crate::tee::Tee;
use ::upstream::secure::handshake::error_line;
use base::clock;
use base::log::Level;
use delivery::{complete, emit, send_stored};
use http::{BoxFuture, Outcome};
use std::io::IoSlice;
use std::task::{Context, Poll};
use wire::chunked::Step;

/// What is needed to relay a body.
pub struct Relay<'a> {
    /// The exchange; its input begins with the head.
    pub exchange: &'a mut Exchange,
    /// The server.
    pub lease: &'a Lease,
    /// The connection.
    pub connection: Box<UpstreamConnection>,
    /// It may serve another request after the body.
    pub keep_alive: bool,
    /// The rest of the request, if the response came early.
    pub sender: Sender,
    /// The upstream still takes bytes.
    pub can_send: bool,
    /// The body's framing.
    pub framing: Framing,
    /// Notice when the client goes.
    pub watch: bool,
    /// It has gone in the middle of its body.
    pub client_gone: bool,
    /// Read ahead of the client.
    pub buffering: bool,
    /// A copy for the cache.
    pub tee: Option<Tee>,
    /// The client is gone, and the cache alone takes the rest.
    pub client_left: bool,
    /// What the client still has to get.
    pub store: ResponseBuffer,
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    /// It was whole.
    Whole,
    /// The upstream failed in the middle.
    Broken,
    /// The client is gone.
    ClientGone,
}

enum Event {
    Data,
    Closed,
    Drained,
    Failed,
    ClientGone,
    /// A pause ordered by `limit_rate` is over.
    Resume,
}

/// How far the bytes at hand go.
enum Decoded {
    /// All of them are passed on.
    More,
    /// The next of them begin here.
    On(usize),
    /// A filter waits; then it goes on so.
    Waits { step: BoxFuture<Outcome>, then: Box<Decoded> },
    /// The body has ended; clean: the connection stands at the end of the response.
    Over { finish: BodyEnd, clean: bool },
}

impl Decoded {
    const BROKEN: Decoded = Decoded::Over { finish: BodyEnd::Broken, clean: false };
    const STOPPED: Decoded = Decoded::Over { finish: BodyEnd::ClientGone, clean: false };
}

/// What the log says while a body is read.
pub(crate) const READING: &str = "reading upstream";
/// What it says while the body passes the filters.
const SENDING: &str = "sending to client";
/// Most runs of a body that are passed on together.
const RUNS: usize = 12;

impl<'a> Relay<'a> {
    /// Relays the body behind the head, which ends at `head` of the input.
    pub fn pass(mut self, head: usize) -> AttemptEnd<'a> {
        // Without buffering what came with the head counts as read with it.
        if self.buffering {
            self.exchange.request.action.set(READING);
        }
        if self.exchange.request.flags.header_only.get() && self.tee.is_none() {
            let clean = self.skip(head);
            return AttemptEnd::answered(self.end(BodyEnd::Whole, clean));
        }
        match self.decode(head) {
            Decoded::Over { finish, clean } => AttemptEnd::answered(self.end(finish, clean)),
            decoded => AttemptEnd::later(|| async move { End::Answered(self.run(head, decoded).await) }),
        }
    }

    /// Goes on after what was here with the head.
    async fn run(mut self, head: usize, mut decoded: Decoded) -> Outcome {
        self.exchange.request.action.set(READING);
        let mut pace = self.pace();
        pace.read = (self.exchange.scratch.input.len().saturating_sub(head)) as u64;
        loop {
            match decoded {
                Decoded::Over { finish, clean } => return self.end(finish, clean).finish().await,
                Decoded::On(at) => {
                    decoded = self.decode(at);
                    continue;
                }
                Decoded::Waits { step, then } => {
                    decoded = if step.await == Outcome::Ok || self.goes_on() { *then } else { Decoded::STOPPED };
                    continue;
                }
                Decoded::More => {}
            }
            if pace.is_limited() {
                self.exchange.scratch.input.clear();
            } else {
                self.exchange.state.take_input(&mut self.exchange.scratch.input);
            }
            if !self.buffering && !self.flush().await {
                decoded = Decoded::STOPPED;
                continue;
            }
            if !send_stored(&self.exchange.request, &self.exchange.route.plan, &mut self.store).await && !self.goes_on() {
                decoded = Decoded::STOPPED;
                continue;
            }
            self.prepare_read(&mut pace);
            decoded = match std::future::poll_fn(|cx| self.poll_event(cx, &mut pace)).await {
                Event::Data => self.decode(0),
                Event::Drained | Event::Resume => Decoded::More,
                Event::Closed => self.closed(),
                Event::Failed => Decoded::BROKEN,
                Event::ClientGone if self.goes_on() => Decoded::More,
                Event::ClientGone => Decoded::STOPPED,
            };
        }
    }

    /// The client is gone: whether the rest is read for the cache.
    fn goes_on(&mut self) -> bool {
        if !self.tee.as_ref().is_some_and(Tee::is_open) {
            return false;
        }
        self.store = ResponseBuffer::default();
        self.client_left = true;
        true
    }

    /// The body is not wanted: the connection is abandoned in the middle of it, unless there is none or its records have arrived already.
    fn skip(&mut self, head: usize) -> bool {
        let mut at = head;
        loop {
            let rest = self.exchange.scratch.input.get(at..).unwrap_or_default();
            let step = self.connection.channel.next(&mut self.framing, rest);
            if let Some((level, line)) = self.framing.log_line() {
                self.exchange.request.log(level, &line);
            }
            match step {
                Ok(Step::Data { end, .. }) if matches!(self.framing, Framing::Records(_) | Framing::Frames(_)) => at += end,
                Ok(Step::Done { end }) => return rest.len() == end && self.is_clean(),
                _ => return false,
            }
        }
    }

    fn is_clean(&self) -> bool {
        self.framing.is_clean() && self.connection.channel.is_clean()
    }

    fn pace(&self) -> Pace {
        let limit = self.exchange.route.plan.limit_rate.as_ref().filter(|_| self.buffering);
        let rate = limit.and_then(|value| base::text::parse_size(&value.to_vec(&*self.exchange.request), false)).unwrap_or(0);
        Pace::new(rate)
    }

    /// Under a rate there is no more room for the next read than that allows, or a pause.
    fn prepare_read(&mut self, pace: &mut Pace) {
        if !pace.is_limited() {
            return;
        }
        let size = pace.allow(self.exchange.route.plan.read_size, &self.exchange.request.worker);
        if size > 0 && self.exchange.scratch.input.capacity() != size {
            self.exchange.scratch.input = Vec::with_capacity(size);
        }
    }

    /// The body is over: the connection is kept or closed, and the client gets the rest.
    fn end(self, finish: BodyEnd, clean: bool) -> http::Step {
        let Relay { exchange, connection, sender, store, .. } = self;
        if let Some(tee) = self.tee.filter(|_| finish == BodyEnd::Whole) {
            tee.commit();
        }
        exchange.record.update(clock::monotonic_ms(), |t, elapsed| {
            t.response = Some(elapsed);
            t.sent = sender.sent;
        });
        if clean && self.keep_alive && sender.is_done() {
            exchange.release(&self.lease.peer, connection);
        }
        let finish = if self.client_left { BodyEnd::ClientGone } else { finish };
        if finish == BodyEnd::Whole && store.is_empty() {
            exchange.request.action.set(SENDING);
            return exchange.request.output_end();
        }
        exchange.state.take_input(&mut exchange.scratch.input);
        http::Step::wait(|| complete(exchange.request.clone(), exchange.route.clone(), store, finish))
    }

    /// Passes on what the input holds from `from` on.
    fn decode(&mut self, from: usize) -> Decoded {
        let mut decoded = Decoded::On(from);
        while let Decoded::On(at) = decoded {
            decoded = self.decode_some(at);
        }
        decoded
    }

    /// Passes on the next runs of what the input holds, together.
    fn decode_some(&mut self, mut at: usize) -> Decoded {
        let input = &self.exchange.scratch.input;
        let (mut runs, mut count, mut length) = ([IoSlice::new(&[]); RUNS], 0, 0);
        let next = loop {
            let Some(slot) = runs.get_mut(count) else { break Decoded::On(at) };
            let rest = input.get(at..).unwrap_or_default();
            let step = self.connection.channel.next(&mut self.framing, rest);
            if let Some((level, line)) = self.framing.log_line() {
                self.exchange.request.log(level, &line);
            }
            match step {
                Ok(Step::Data { start, end }) if start == end => at += end,
                Ok(Step::Partial) => break Decoded::More,
                Ok(Step::Data { start, end }) => {
                    let run = rest.get(start..end).unwrap_or_default();
                    (*slot, count, length) = (IoSlice::new(run), count + 1, length + run.len());
                    at += end;
                    if let Some(tee) = &mut self.tee {
                        tee.write(run);
                    }
                }
                Ok(Step::Done { end }) => {
                    let extra = rest.len() > end;
                    if extra {
                        let (level, line) = self.framing.excess_log(rest.get(end..).unwrap_or_default());
                        self.exchange.request.log(level, &line);
                    }
                    self.take_trailers();
                    break Decoded::Over { finish: BodyEnd::Whole, clean: !extra && self.is_clean() };
                }
                Err(line) => {
                    self.exchange.request.log(Level::Error, &line);
                    break Decoded::BROKEN;
                }
            }
        };
        if count == 0 {
            return next;
        }
        self.exchange.record.update(0, |t, _| t.length += length as u64);
        if self.client_left {
            return next;
        }
        match emit(self.exchange, self.buffering, &mut self.store, runs.get(..count).unwrap_or_default()) {
            http::Step::Now(outcome) => {
                if outcome == Outcome::Ok || self.goes_on() {
                    next
                } else {
                    Decoded::STOPPED
                }
            }
            http::Step::Wait(step) => Decoded::Waits { step, then: Box::new(next) },
        }
    }

    /// Waits until the client has everything, sending the rest of the request meanwhile.
    async fn flush(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            self.poll_send(cx);
            match self.exchange.request.wire.poll_drain(cx, 0) {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) {
        if self.can_send && !self.sender.is_done() {
            let poll = self.sender.poll(cx, &mut self.connection.channel, &self.exchange.scratch.out, &self.exchange.request);
            // The response is here already; that the rest of the request was not wanted is its own affair.
            self.can_send = !matches!(poll, Poll::Ready(Err(_)));
            self.client_gone = matches!(poll, Poll::Ready(Err(SendError::Client(_)))) && self.exchange.request.flags.client_gone.get();
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, pace: &mut Pace) -> Poll<Event> {
        self.poll_send(cx);
        if std::mem::take(&mut self.client_gone) && self.watch {
            return Poll::Ready(Event::ClientGone);
        }
        let mut may_read = self.store.has_room(&self.exchange.route.plan);
        if pace.is_paused() {
            may_read = false;
            if pace.poll_pause(cx).is_ready() {
                self.connection.set_timer(self.exchange.limits().read);
                return Poll::Ready(Event::Resume);
            }
        }
        if may_read {
            let size = if pace.is_limited() { 0 } else { self.exchange.route.plan.read_size };
            match self.exchange.poll_receive(cx, &mut self.connection.channel, size) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Event::Closed),
                Poll::Ready(Ok(n)) => {
                    pace.read += n as u64;
                    self.exchange.record.update(0, |t, _| t.received += n as u64);
                    self.connection.set_timer(self.exchange.limits().read);
                    return Poll::Ready(Event::Data);
                }
                Poll::Ready(Err(error)) => {
                    let call = if self.buffering { "readv()" } else { "recv()" };
                    self.exchange.request.log(Level::Error, &error_line(call, "SSL_read()", &error));
                    return Poll::Ready(Event::Failed);
                }
                Poll::Pending => {}
            }
        }
        if !self.client_left && (self.exchange.request.wire.queued() > 0 || !self.store.is_empty()) {
            let below = if self.store.is_empty() { 0 } else { self.exchange.route.plan.busy / 2 };
            match self.exchange.request.wire.poll_drain(cx, below) {
                Poll::Ready(Err(_)) => return Poll::Ready(Event::ClientGone),
                Poll::Ready(Ok(())) if !self.store.is_empty() => return Poll::Ready(Event::Drained),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        // While nothing may be read, silence is ours, not the upstream's.
        if may_read && self.connection.poll_timer(cx).is_ready() {
            self.exchange.request.log(Level::Error, TIMED_OUT);
            return Poll::Ready(Event::Failed);
        }
        let coming = self.can_send && self.sender.takes_from_client();
        if self.watch && !coming && self.exchange.request.wire.poll_gone(cx).is_ready() {
            return Poll::Ready(Event::ClientGone);
        }
        Poll::Pending
    }

    fn closed(&self) -> Decoded {
        if self.framing.ends_with_connection() {
            return Decoded::Over { finish: BodyEnd::Whole, clean: false };
        }
        self.exchange.request.log(Level::Error, b"upstream prematurely closed connection");
        Decoded::BROKEN
    }

    fn take_trailers(&self) {
        let raw = match &self.framing {
            Framing::Chunked(decoder) => decoder.trailers(),
            Framing::Frames(_) => self.connection.channel.trailers(),
            _ => return,
        };
        if raw.is_empty() {
            return;
        }
        let passes = self.exchange.route.plan.pass_trailers;
        let pass = |name: &[u8], value: &[u8]| {
            if passes {
                self.exchange.request.response.borrow_mut().trailers.push(name, value);
            }
        };
        if !self.exchange.record.store_trailers(raw, pass) {
            self.exchange.request.log(Level::Error, b"upstream sent invalid trailer");
        }
    }
}
