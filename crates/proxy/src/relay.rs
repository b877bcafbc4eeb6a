//! Passes an answer's body on, at the client's pace or ahead of it.

use crate::buffer::Store;
use crate::connection::UpstreamConnection;
use crate::dialect::Framing;
use crate::limits::TIMED_OUT;
use crate::pace::Pace;
use crate::record::{Record, Scratch};
use crate::sender::{SendError, Sender};
use crate::settings::Plan;
use crate::tee::Tee;
use ::upstream::secure::handshake::trouble;
use base::log::Level;
use bytes::Bytes;
use http::{Chain, Outcome, Piece, Request};
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::chunked::Step;
use wire::h1::header::{Rules, parse_section};

/// What is needed to relay a body.
pub struct Relay<'a> {
    /// The client's request.
    pub request: &'a Rc<Request>,
    /// The location's settings.
    pub plan: &'a Plan,
    /// How long the upstream may send nothing, milliseconds.
    pub read_timeout: u64,
    /// Where bytes are counted.
    pub record: &'a Record,
    /// Buffers; `input` begins with the head.
    pub scratch: &'a mut Scratch,
    /// The connection.
    pub connection: Box<UpstreamConnection>,
    /// The rest of the request, if the answer came early.
    pub sender: Sender,
    /// The upstream still takes bytes.
    pub can_send: bool,
    /// The body's framing.
    pub framing: Framing,
    /// Notice when the client goes.
    pub watch: bool,
    /// It has gone in the middle of its body.
    pub lost: bool,
    /// Read ahead of the client.
    pub buffering: bool,
    /// A copy for the cache.
    pub tee: Option<Tee>,
    /// The client is gone, and the cache alone takes the rest.
    pub client_left: bool,
}

/// What remains after the upstream has said everything.
pub struct Relayed {
    /// The connection, if it is clean.
    pub connection: Option<Box<UpstreamConnection>>,
    /// Bytes sent upstream.
    pub sent: u64,
    /// What the client still has to get, and how it ends.
    pub rest: Rest,
}

/// How a relay ended.
pub struct Ended {
    store: Store,
    end: End,
    /// The connection stands at the end of the answer.
    clean: bool,
}

/// The tail of an answer.
pub struct Rest {
    store: Store,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The body was whole.
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
    More,
    Done { clean: bool },
    Bad,
    Stopped,
}

impl Relay<'_> {
    /// Relays the body; the head, `head` bytes of the input, has been dealt with. [`Relay::end`] follows.
    pub async fn run(&mut self, head: usize) -> Ended {
        let mut store = Store::default();
        if self.request.flags.header_only.get() && self.tee.is_none() {
            let clean = self.skip(head);
            return Ended { store, end: End::Whole, clean };
        }
        let mut pace = self.pace();
        pace.read = (self.scratch.input.len().saturating_sub(head)) as u64;
        let mut from = head;
        loop {
            match self.decode(from, &mut store).await {
                Decoded::More => {}
                Decoded::Done { clean } => {
                    self.take_trailers();
                    return Ended { store, end: End::Whole, clean };
                }
                Decoded::Bad => return Ended { store, end: End::Broken, clean: false },
                Decoded::Stopped => return Ended { store, end: End::ClientGone, clean: false },
            }
            from = 0;
            if !feed(self.request, self.plan, &mut store).await && !self.goes_on(&mut store) {
                return Ended { store, end: End::ClientGone, clean: false };
            }
            self.prepare_read(&mut pace);
            let end = match std::future::poll_fn(|cx| self.poll_event(cx, &store, &mut pace)).await {
                Event::Data | Event::Drained | Event::Resume => continue,
                Event::Closed => self.closed(),
                Event::Failed => End::Broken,
                Event::ClientGone if self.goes_on(&mut store) => continue,
                Event::ClientGone => End::ClientGone,
            };
            return Ended { store, end, clean: false };
        }
    }

    /// The client is gone: whether the rest is read for the cache.
    fn goes_on(&mut self, store: &mut Store) -> bool {
        if !self.tee.as_ref().is_some_and(Tee::is_open) {
            return false;
        }
        *store = Store::default();
        self.client_left = true;
        true
    }

    /// Nobody wants the body: the connection is left in the middle of it, unless there is none or its records are here already.
    fn skip(&mut self, head: usize) -> bool {
        let mut at = head;
        loop {
            let rest = self.scratch.input.get(at..).unwrap_or_default();
            let step = self.connection.channel.next(&mut self.framing, rest);
            if let Some((level, line)) = self.framing.remark() {
                self.request.log(level, &line);
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
        let limit = self.plan.limit_rate.as_ref().filter(|_| self.buffering);
        let rate = limit.and_then(|value| base::text::parse_size(&value.to_vec(&**self.request), false)).unwrap_or(0);
        Pace::new(rate)
    }

    /// Makes room for the next read; under a rate no more room than that allows, or a pause.
    fn prepare_read(&mut self, pace: &mut Pace) {
        let mut size = self.plan.read_size;
        if pace.is_limited() {
            size = pace.allow(size);
            if size > 0 && self.scratch.input.capacity() != size {
                self.scratch.input = Vec::with_capacity(size);
            }
            return;
        }
        if self.scratch.input.capacity() < size {
            self.scratch.input.reserve_exact(size);
        }
    }

    /// Takes it apart.
    pub fn end(self, ended: Ended) -> Relayed {
        let Ended { store, mut end, clean } = ended;
        let sent = self.sender.sent;
        if let Some(tee) = self.tee.filter(|_| end == End::Whole) {
            tee.keep();
        }
        if self.client_left {
            end = End::ClientGone;
        }
        let connection = (clean && self.sender.is_done()).then_some(self.connection);
        Relayed { connection, sent, rest: Rest { store, end } }
    }

    /// Passes on what the input holds from `from` on.
    async fn decode(&mut self, from: usize, store: &mut Store) -> Decoded {
        let mut at = from;
        let mut passed = false;
        loop {
            let rest = self.scratch.input.get(at..).unwrap_or_default();
            let step = self.connection.channel.next(&mut self.framing, rest);
            if let Some((level, line)) = self.framing.remark() {
                self.request.log(level, &line);
            }
            match step {
                Ok(Step::Data { start, end }) if start == end => at += end,
                Ok(Step::Partial) => break,
                Ok(Step::Data { start, end }) => {
                    let data = rest.get(start..end).unwrap_or_default();
                    let length = data.len() as u64;
                    self.record.update(0, |t, _| t.length += length);
                    passed = true;
                    if let Some(tee) = &mut self.tee {
                        tee.write(data);
                    }
                    if !self.client_left && !emit(self.request, self.plan, self.buffering, store, data).await {
                        if !self.tee.as_ref().is_some_and(Tee::is_open) {
                            return Decoded::Stopped;
                        }
                        *store = Store::default();
                        self.client_left = true;
                    }
                    at += end;
                }
                Ok(Step::Done { end }) => {
                    let extra = rest.len() > end;
                    if extra {
                        self.request.log(Level::Warn, &self.framing.excess(rest.get(end..).unwrap_or_default()));
                    }
                    return Decoded::Done { clean: !extra && self.is_clean() };
                }
                Err(line) => {
                    self.request.log(Level::Error, &line);
                    return Decoded::Bad;
                }
            }
        }
        self.scratch.input.clear();
        if passed && !self.buffering && !self.flush().await {
            return Decoded::Stopped;
        }
        Decoded::More
    }

    /// Waits until the client has everything, sending the rest of the request meanwhile.
    async fn flush(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            self.poll_send(cx);
            match self.request.wire.poll_drain(cx, 0) {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) {
        if self.can_send && !self.sender.is_done() {
            let poll = self.sender.poll(cx, &mut self.connection.channel, &self.scratch.out, self.request);
            // The answer is here already; that the rest of the request was not wanted is its own affair.
            self.can_send = !matches!(poll, Poll::Ready(Err(_)));
            self.lost = matches!(poll, Poll::Ready(Err(SendError::Client(_)))) && self.request.flags.client_gone.get();
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, store: &Store, pace: &mut Pace) -> Poll<Event> {
        self.poll_send(cx);
        if std::mem::take(&mut self.lost) && self.watch {
            return Poll::Ready(Event::ClientGone);
        }
        let mut may_read = store.has_room(self.plan);
        if pace.is_resting() {
            may_read = false;
            if pace.poll_rest(cx).is_ready() {
                self.connection.set_timer(self.read_timeout);
                return Poll::Ready(Event::Resume);
            }
        }
        if may_read {
            match self.connection.channel.poll_receive(cx, &mut self.scratch.input) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Event::Closed),
                Poll::Ready(Ok(n)) => {
                    pace.read += n as u64;
                    self.record.update(0, |t, _| t.received += n as u64);
                    self.connection.set_timer(self.read_timeout);
                    return Poll::Ready(Event::Data);
                }
                Poll::Ready(Err(error)) => {
                    self.request.log(Level::Error, &trouble("recv()", "SSL_read()", &error));
                    return Poll::Ready(Event::Failed);
                }
                Poll::Pending => {}
            }
        }
        if !self.client_left && (self.request.wire.queued() > 0 || !store.is_empty()) {
            let below = if store.is_empty() { 0 } else { self.plan.busy / 2 };
            match self.request.wire.poll_drain(cx, below) {
                Poll::Ready(Err(_)) => return Poll::Ready(Event::ClientGone),
                Poll::Ready(Ok(())) if !store.is_empty() => return Poll::Ready(Event::Drained),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        // While nothing may be read, silence is ours, not the upstream's.
        if may_read && self.connection.poll_timer(cx).is_ready() {
            self.request.log(Level::Error, TIMED_OUT);
            return Poll::Ready(Event::Failed);
        }
        let coming = self.can_send && self.sender.takes_from_client();
        if self.watch && !coming && self.request.wire.poll_gone(cx).is_ready() {
            return Poll::Ready(Event::ClientGone);
        }
        Poll::Pending
    }

    fn closed(&self) -> End {
        if self.framing.ends_with_connection() {
            return End::Whole;
        }
        self.request.log(Level::Error, b"upstream prematurely closed connection");
        End::Broken
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
        let mut lines = Vec::new();
        if parse_section(raw, Rules { underscores: true, upstream: true }, &mut lines).is_err() {
            self.request.log(Level::Error, b"upstream sent invalid trailer");
            return;
        }
        for line in &lines {
            let (name, value) = (line.name.of(raw), line.value.of(raw));
            self.record.trailers.borrow_mut().push(name, value);
            if self.plan.pass_trailers {
                self.request.response.borrow_mut().trailers.push(name, value);
            }
        }
    }
}

/// Gives data to the client, or to the store when the client is behind.
async fn emit(request: &Rc<Request>, plan: &Plan, buffering: bool, store: &mut Store, data: &[u8]) -> bool {
    if buffering && (!store.is_empty() || !keeps_up(request, plan).await) {
        store.push(request, plan, data);
        return true;
    }
    let step = if buffering || request.with_location(|l| l.body_filters.is_empty()) {
        request.output_slice(data)
    } else {
        let mut chain = Chain::bytes(Bytes::copy_from_slice(data));
        chain.flush = true;
        request.output(chain)
    };
    step.finish().await == Outcome::Ok
}

/// Whether the client has taken what it was sent, as far as it may be behind: what is queued is offered to it first.
async fn keeps_up(request: &Request, plan: &Plan) -> bool {
    if request.wire.queued() <= plan.busy {
        return true;
    }
    // A client that has gone takes everything: the next write tells.
    std::future::poll_fn(|cx| Poll::Ready(request.wire.poll_drain(cx, plan.busy).is_ready())).await
}

/// Moves what is stored to the client as far as it takes it; false: the client is gone.
async fn feed(request: &Rc<Request>, plan: &Plan, store: &mut Store) -> bool {
    while !store.is_empty() && request.wire.queued() <= plan.busy {
        let Some(piece) = store.take(plan.busy) else { return true };
        if !give(request, piece).await {
            return false;
        }
    }
    true
}

async fn give(request: &Rc<Request>, piece: Piece) -> bool {
    let chain = Chain { pieces: vec![piece], ..Chain::default() };
    request.output(chain).finish().await == Outcome::Ok
}

/// Gives the client the rest of an answer and ends it, or ends the connection if there is no whole answer.
pub async fn complete(request: &Rc<Request>, plan: &Plan, rest: Rest) -> Outcome {
    let Rest { mut store, end } = rest;
    if end == End::ClientGone {
        request.flags.client_gone.set(true);
        return Outcome::Error;
    }
    while !store.is_empty() {
        if !feed(request, plan, &mut store).await || request.drain(plan.busy / 2).finish().await != Outcome::Ok {
            return Outcome::Error;
        }
    }
    if end == End::Broken {
        // What came is the client's; that it is not whole shows in how the connection ends.
        request.flags.keepalive.set(false);
        let _ = request.flush().finish().await;
        return Outcome::Error;
    }
    request.output_end().finish().await
}
