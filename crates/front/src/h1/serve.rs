//! The life cycle of an HTTP/1 connection: reads heads, runs requests, writes responses, until it is closed or parked.

use super::arrival::{self, ParsedHead};
use super::connection::H1;
use super::departure;
use super::head_cache::{HeadCache, KnownHead};
use super::linger::{discard_body, linger};
use crate::active::{Activity, NEVER};
use crate::compact::Compact;
use crate::protocol::{Accepted, Detection, Front, Listener, Parked, Protocol};
use crate::request::{Refusal, check_tls};
use base::clock;
use base::log::Level;
use http::core::default;
use http::{BoxFuture, Downstream, Request, log_request};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use sys::boxed::pinned;
use wire::h1::error::HeadError;
use wire::h1::request::{Head, Limits, Status};

/// How long a connection stays active without a byte before it is parked, milliseconds.
const PARK_AFTER: u64 = 1000;
/// Answers to pipelined requests are gathered up to this many bytes.
const GATHER: u64 = 64 * 1024;

/// The result of waiting for a head.
enum HeadOutcome {
    /// A head of this many bytes.
    Head(usize),
    /// A head that is known.
    Known(Rc<KnownHead>),
    /// A head that is no head.
    Bad(HeadError),
    /// The client closed, or the error that reading met.
    Closed(Option<std::io::Error>),
    /// Idle for a while.
    Idle,
    /// `client_header_timeout`, or evicted, in the middle of a head.
    TimedOut,
}

/// HTTP/1: what any connection speaks that says nothing else.
pub const PROTOCOL: Protocol = Protocol {
    name: "http/1.1",
    parameter: None,
    alone: false,
    instead: None,
    alpn: &[b"http/1.1", b"http/1.0", b"http/0.9"],
    begins: |_| Detection::Mine,
    start,
    close_parked: |_, _| {},
};

/// A request that has to wait, itself or its connection behind it.
struct Unfinished {
    request: Rc<Request>,
    /// What it waits for.
    waiting: Option<BoxFuture<()>>,
    /// Whether the next request came with it, where that is known from its head.
    follows: Option<bool>,
}

struct Loop {
    front: Rc<Front>,
    head_cache: Rc<HeadCache>,
    conn: Rc<H1>,
    listener: Listener,
    head: Head,
    limits: Limits,
    /// Limits of the host that the head being read has named, where they differ from those of the address.
    host_limits: Option<Limits>,
    /// When `keepalive_timeout` ends; before the first request, `client_header_timeout`.
    idle_until: u64,
    first: bool,
    /// The next request came before the last one was answered.
    pipelined: bool,
}

fn start(front: &Rc<Front>, opened: Accepted) {
    // Boxed: tasks are moved when they are made and when they end.
    tokio::task::spawn_local(pinned(|| serve(Loop::new(front, opened))));
}

/// Serves a connection until it ends.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold its argument twice")]
fn serve(mut state: Loop) -> impl Future<Output = ()> {
    async move {
        loop {
            let (length, seen) = match state.next_head().await {
                HeadOutcome::Head(length) => (length, None),
                HeadOutcome::Known(seen) => (seen.length(), Some(seen)),
                // Boxed, as every connection would have room for it otherwise.
                HeadOutcome::Bad(error) => return pinned(|| state.refuse(error)).await,
                HeadOutcome::Closed(error) => return state.client_closed(error.as_ref()),
                HeadOutcome::TimedOut => return state.timed_out(),
                HeadOutcome::Idle => match state.idle() {
                    Some(again) => {
                        state = again;
                        continue;
                    }
                    None => return,
                },
            };
            let goes_on = match state.run(length, seen) {
                Ok(goes_on) => goes_on,
                Err(unfinished) => state.complete(unfinished).await,
            };
            if !goes_on {
                return state.conn.say_goodbye();
            }
        }
    }
}

impl Loop {
    fn new(front: &Rc<Front>, opened: Accepted) -> Loop {
        let listener = opened.listener.clone();
        let limits = Limits { by_host: listener.endpoint.limits_by_host, ..arrival::limits(&listener.server.core) };
        let (first, idle_until) = (!opened.resumed, opened.request_by);
        let conn = H1::new(opened);
        conn.watch.set_activity(if first { Activity::Fresh } else { Activity::Idle });
        Loop {
            front: front.clone(),
            head_cache: front.worker.state(),
            conn: Rc::new(conn),
            listener,
            head: Head::new(),
            limits,
            host_limits: None,
            idle_until,
            first,
            pipelined: false,
        }
    }

    fn next_head(&mut self) -> impl Future<Output = HeadOutcome> {
        let watch = &self.conn.watch;
        watch.set_activity(if self.first { Activity::Fresh } else { Activity::Idle });
        let now = clock::monotonic_ms();
        let park = if self.first { NEVER } else { now.saturating_add(PARK_AFTER).max(watch.kept_until()) };
        let mut armed = false;
        poll_fn(move |cx| self.poll_head(cx, park, &mut armed))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, park: u64, armed: &mut bool) -> Poll<HeadOutcome> {
        let conn = &self.conn;
        loop {
            let has_bytes = {
                let input = conn.input.borrow();
                let rest = input.unread();
                if !rest.is_empty() {
                    if self.head.is_new()
                        && let Some(seen) = self.head_cache.find(rest, &self.listener.endpoint)
                    {
                        return Poll::Ready(HeadOutcome::Known(seen));
                    }
                    match self.head.parse(rest, self.host_limits.as_ref().unwrap_or(&self.limits)) {
                        Ok(Status::Complete { len }) => return Poll::Ready(HeadOutcome::Head(len)),
                        Ok(Status::Partial) => {}
                        Ok(Status::Named) => {
                            self.host_limits = Some(arrival::limits_of_host(&self.head, rest, &self.listener.endpoint));
                            continue;
                        }
                        Err(error) => return Poll::Ready(HeadOutcome::Bad(error)),
                    }
                }
                !rest.is_empty()
            };
            match conn.poll_send(cx, 0) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(HeadOutcome::Closed(Some(error))),
            }
            if has_bytes && conn.watch.activity() < Activity::Head {
                conn.watch.set_activity(Activity::Head);
                // The time of a first head runs since the client came.
                if !self.first {
                    let timeout = self.listener.server.core.client_header_timeout.unwrap_or(default::TIMEOUT);
                    conn.watch.read_by(clock::monotonic_ms().saturating_add(timeout));
                    *armed = true;
                }
            }
            if conn.watch.evicted() || conn.watch.read_expired() {
                return Poll::Ready(if has_bytes || self.first { HeadOutcome::TimedOut } else { HeadOutcome::Idle });
            }
            match conn.poll_fill(cx) {
                Poll::Pending => {
                    if !*armed {
                        *armed = true;
                        conn.watch.read_by(self.idle_until.min(park));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(closed) => return Poll::Ready(HeadOutcome::Closed(closed.err())),
            }
        }
    }

    /// Runs one request. True: the connection goes on. Most requests wait for nothing, so that the connection's future stays untouched.
    fn run(&mut self, length: usize, seen: Option<Rc<KnownHead>>) -> Result<bool, Unfinished> {
        let request = self.take_request();
        self.first = false;
        let conn = self.conn.clone();
        conn.watch.read_by(NEVER);
        conn.watch.set_activity(Activity::Answering);
        request.request_length.set(length as u64);
        request.flags.pipelined.set(self.pipelined);
        let filled = match seen {
            Some(seen) => {
                seen.meaning.enter(&conn.body, &request);
                Ok(())
            }
            None => self.fill_request(&request, length),
        };
        let filled = if self.listener.endpoint.tls { filled.and_then(|()| self.check_tls(&request)) } else { filled };
        conn.input.borrow_mut().advance(length);
        // With a body of known length only what came with the head counts: what nginx would have read.
        let follows = request.body.borrow().length().map(|body| conn.input.borrow().unread().len() as u64 > body);
        self.front.worker.observers.request_began();
        let Some(engine) = self.front.worker.engine() else { return Ok(false) };
        let waiting = match filled {
            Ok(()) => engine.run(&request),
            Err(refusal) => {
                request.flags.keepalive.set(false);
                engine.refuse(&request, refusal.status)
            }
        };
        if waiting.is_some() || !self.is_finished(&request) {
            return Err(Unfinished { request, waiting, follows });
        }
        self.keep_alive(&request);
        self.leave(request, follows);
        Ok(true)
    }

    /// As [`Loop::run`], from where something has to be waited for.
    async fn complete(&mut self, unfinished: Unfinished) -> bool {
        let Unfinished { request, waiting, follows } = unfinished;
        if let Some(future) = waiting
            && !drive(&self.conn, &request, future).await
            && let Some(engine) = self.front.worker.engine()
        {
            let status = request.response.borrow().status;
            engine.abandon(&request, if request.flags.header_sent.get() { status } else { 0 });
        }
        let goes_on = self.finish(&request).await;
        self.leave(request, follows);
        goes_on
    }

    fn leave(&mut self, request: Rc<Request>, follows: Option<bool>) {
        self.pipelined = follows.unwrap_or_else(|| !self.conn.input.borrow().unread().is_empty());
        self.front.worker.spare.put(request);
    }

    fn check_tls(&self, request: &Request) -> Result<(), Refusal> {
        request.action.set("reading client request headers");
        if let Some(info) = request.connection.tls_info().filter(|info| info.early.get()) {
            let early = self.conn.stream.borrow().tls().and_then(|tls| tls.server().map(|session| session.is_early()));
            info.early.set(early.unwrap_or(false));
        }
        check_tls(request).inspect(|()| request.action.set(""))
    }

    /// Fills the request from a head that was parsed.
    fn fill_request(&mut self, request: &Rc<Request>, length: usize) -> Result<(), Refusal> {
        let input = self.conn.input.borrow();
        let bytes = input.unread().get(..length).unwrap_or_default();
        let filled = arrival::fill(&self.conn.body, request, &self.head, bytes, &self.listener.endpoint);
        // What does not fit into the first buffer depends on more than its bytes.
        if let Ok(framed) = &filled
            && length <= self.limits.first as usize
            && arrival::is_constant(request, &self.head, &self.listener.endpoint)
        {
            self.head_cache.insert(bytes, &self.listener.endpoint, || ParsedHead::of(request, framed));
        }
        self.head.reset();
        self.host_limits = None;
        filled.map(|_| ())
    }

    fn take_request(&mut self) -> Rc<Request> {
        self.conn.info.requests.set(self.conn.info.requests.get() + 1);
        let worker = &self.front.worker;
        worker.spare.take(worker, &self.listener.http, self.conn.info.clone(), self.conn.clone(), self.listener.server.clone())
    }

    /// Whether nothing is left to do for the request before the connection carries another one.
    fn is_finished(&self, request: &Request) -> bool {
        let (conn, flags) = (&self.conn, &request.flags);
        let is_cut = flags.abort.get() || conn.broken.get();
        flags.keepalive.get() && !is_cut && conn.queued() <= GATHER && conn.body.borrow().is_done()
    }

    /// Brings the response on its way. True: the connection may carry another request.
    async fn finish(&mut self, request: &Rc<Request>) -> bool {
        let conn = &self.conn;
        if request.flags.abort.get() || conn.broken.get() {
            self.cut(request);
            return false;
        }
        let core = request.core();
        let body_done = conn.body.borrow().is_done();
        if !request.flags.keepalive.get() {
            if poll_fn(|cx| conn.poll_send(cx, 0)).await.is_ok() {
                let unread = !body_done || conn.input.borrow().unread().len() > 1;
                linger(conn, &core, unread || request.flags.lingers.get()).await;
            }
            return false;
        }
        if conn.queued() > GATHER && poll_fn(|cx| conn.poll_send(cx, 0)).await.is_err() {
            return false;
        }
        if !body_done && !discard_body(conn, &core).await {
            return false;
        }
        self.keep_alive(request);
        true
    }

    /// The connection waits for another request.
    fn keep_alive(&mut self, request: &Request) {
        let (conn, core) = (&self.conn, request.core());
        if !conn.no_delay.replace(true) && core.tcp_nodelay.unwrap_or(true) {
            // Only costs latency if it fails.
            let _ = conn.stream.borrow().set_no_delay(true);
        }
        let timeout = core.keepalive_timeout.unwrap_or(default::KEEPALIVE_TIMEOUT);
        let now = clock::monotonic_ms();
        self.idle_until = now.saturating_add(timeout);
        let least = core.keepalive_min_timeout.unwrap_or(0);
        if least > 0 {
            conn.watch.keep_until(now.saturating_add(least.min(timeout)));
        }
    }

    /// Ends a connection whose response is not whole.
    fn cut(&self, request: &Request) {
        let mut output = self.conn.output.borrow_mut();
        if request.flags.filter_failed.get() && output.queued() >= request.bytes_sent.get() {
            // Nothing of this response has left, and a part of it could be taken for all.
            output.truncate_end(request.bytes_sent.get());
        }
        drop(output);
        // What else is queued belongs to the client; what the socket does not take is lost.
        let _ = self.conn.try_send();
        let status = request.response.borrow().status;
        if (status == 408 || status == 444) && request.with_location(|l| l.core.reset_timedout_connection.unwrap_or(false)) {
            // A reset frees the kernel's buffers at once.
            let stream = self.conn.stream.borrow();
            let _ = stream.set_linger_reset();
        }
    }

    async fn refuse(mut self, error: HeadError) {
        let request = self.take_request();
        self.front.worker.observers.request_began();
        let buffer = self.conn.input.borrow().unread().to_vec();
        arrival::fill_unparsed(&request, &self.head, &buffer, &self.listener.endpoint);
        request.action.set(self.among_others(error.action()));
        if request.log_enabled(Level::Info) {
            request.log(Level::Info, &error.message(&buffer));
        }
        self.conn.watch.read_by(NEVER);
        self.conn.watch.set_activity(Activity::Answering);
        request.flags.keepalive.set(false);
        let Some(engine) = self.front.worker.engine() else { return };
        if let Some(future) = engine.refuse(&request, error.status()) {
            drive(&self.conn, &request, future).await;
        }
        if request.flags.abort.get() {
            return self.cut(&request);
        }
        if poll_fn(|cx| self.conn.poll_send(cx, 0)).await.is_ok() {
            linger(&self.conn, &request.core(), error.lingers()).await;
        }
        self.conn.say_goodbye();
    }

    fn client_closed(mut self, error: Option<&std::io::Error>) {
        if self.conn.input.borrow().unread().is_empty() {
            return departure::log(&self.front, &self.listener, &self.conn.info, self.first, error);
        }
        let request = self.take_request();
        self.front.worker.observers.request_began();
        self.fill_unparsed(&request);
        request.action.set(self.reading());
        log_request!(request, Level::Info, "client prematurely closed connection");
        self.log_unanswered(&request, 400);
    }

    fn timed_out(mut self) {
        let idle = self.conn.input.borrow().unread().is_empty();
        let request = self.take_request();
        self.fill_unparsed(&request);
        request.action.set(if idle { "waiting for request" } else { self.reading() });
        log_request!(request, Level::Info, "client timed out (110: Connection timed out)");
        if !idle {
            self.front.worker.observers.request_began();
            self.log_unanswered(&request, 408);
        }
    }

    /// The log shows the request's result.
    fn fill_unparsed(&self, request: &Rc<Request>) {
        arrival::fill_unparsed(request, &self.head, self.conn.input.borrow().unread(), &self.listener.endpoint);
    }

    /// What was under way when a head did not come to its end.
    fn reading(&self) -> &'static str {
        self.among_others(if self.head.has_line() { "reading client request headers" } else { "reading client request line" })
    }

    /// nginx says of a request line if it came behind an earlier request.
    fn among_others(&self, action: &'static str) -> &'static str {
        if self.pipelined && action == "reading client request line" { "reading client pipelined request line" } else { action }
    }

    /// The access log shows requests that got no response.
    fn log_unanswered(&self, request: &Rc<Request>, status: u16) {
        if let Some(engine) = self.front.worker.engine() {
            engine.abandon(request, status);
        }
        if status == 408 {
            self.cut(request);
        }
    }

    /// Idle for a second: close if the time is up, else move to the parking lot. Gives itself back if it cannot leave.
    fn idle(mut self) -> Option<Loop> {
        let now = clock::monotonic_ms();
        let leaves = self.front.worker.exiting.get() && now >= self.conn.watch.kept_until();
        if self.conn.watch.evicted() || leaves || now >= self.idle_until {
            self.conn.say_goodbye();
            return None;
        }
        // If it cannot leave, another wait begins: the end of this one must not be seen again at once.
        self.conn.watch.read_by(NEVER);
        if !self.conn.stream.borrow().can_park() {
            return Some(self);
        }
        let left = (self.idle_until - now).div_ceil(1000);
        let info = self.conn.info.clone();
        match Rc::try_unwrap(self.conn) {
            Ok(conn) => {
                let parked = Parked {
                    listen: self.listener.index,
                    protocol: self.front.index_of(PROTOCOL.name),
                    info: Compact::of(&info),
                    no_delay: conn.no_delay.get(),
                    state: None,
                    session: None,
                };
                drop(info);
                self.front.park(conn.stream.into_inner(), parked, u32::try_from(left).unwrap_or(u32::MAX));
                None
            }
            Err(conn) => {
                // A log handler still holds the last request.
                self.conn = conn;
                Some(self)
            }
        }
    }
}

/// Polls a waiting request, and sends what it queues meanwhile. False: the worker waits no longer.
async fn drive(conn: &Rc<H1>, request: &Rc<Request>, mut future: BoxFuture<()>) -> bool {
    poll_fn(|cx| {
        if Pin::new(&mut future).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        conn.watch.wake_on_expiry(cx.waker());
        // `worker_shutdown_timeout` has passed.
        if conn.watch.evicted() && request.worker.exiting.get() {
            return Poll::Ready(false);
        }
        let postpone = request.with_location(|l| l.core.postpone_output.unwrap_or(default::POSTPONE_OUTPUT));
        let queued = conn.queued();
        if queued > 0 && (conn.flush.get() || queued >= postpone) {
            // Errors show to whoever waits for the queue or for the client.
            let _ = conn.poll_send(cx, 0);
        }
        if request.flags.watch_client.get() && !request.flags.client_gone.get() && conn.poll_gone(cx).is_ready() {
            request.flags.client_gone.set(true);
            // The handler looks at the flag.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}
