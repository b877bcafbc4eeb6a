//! The life cycle of an HTTP/1 connection: reads heads, runs requests, writes responses, until it is closed or parked.

mod head;
mod idle;
mod unanswered;

use super::arrival::{self, ParsedHead};
use super::connection::H1;
use super::head_cache::{HeadCache, KnownHead};
use super::linger::{discard_body, linger};
use crate::active::{Activity, NEVER};
use crate::protocol::{Accepted, Detection, Front, Listener, Protocol};
use crate::request::{Refusal, check_tls};
use head::HeadOutcome;
use http::core::default;
use http::{BoxFuture, Downstream, Request};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use sys::boxed::pinned;
use wire::h1::request::{Head, Limits};

/// Answers to pipelined requests are gathered up to this many bytes.
const GATHER: u64 = 64 * 1024;

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
