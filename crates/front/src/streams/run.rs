//! The run of a request on a stream, from its head to its end.

use super::arrival;
use super::carrier::Carrier;
use super::stream::Stream;
use http::core::default;
use http::line::Version;
use http::{BoxFuture, Downstream, Request};
use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use wire::h2::request::RequestHead;

/// A request that has come and does not run yet.
pub(crate) struct PendingRequest<C: Carrier> {
    /// Its stream.
    pub stream: Rc<Stream<C>>,
    /// The request.
    pub request: Rc<Request>,
    refused: Option<u16>,
}

impl<C: Carrier> PendingRequest<C> {
    /// A request on stream `id`, which has ended with its head if `end`; `size` is the length of that.
    pub(crate) fn new(conn: &Rc<C>, id: C::Id, end: bool, size: usize) -> Self {
        let hub = conn.hub();
        let worker = &hub.front.worker;
        let info = hub.info();
        info.requests.set(info.requests.get() + 1);
        worker.observers.request_began();
        let stream = Stream::open(conn, id, end);
        let request = worker.spare.take(worker, &hub.listener.http, info, stream.clone(), hub.listener.server.clone());
        request.request_length.set(size as u64);
        PendingRequest { stream, request, refused: None }
    }

    /// Takes over what its head says. `again`: that is what the connection's last one said.
    pub(crate) fn fill(mut self, head: &RequestHead, end: bool, again: bool) -> Self {
        self.refused = arrival::fill(&self.stream, &self.request, head, end, again).err().map(|refusal| refusal.status);
        self
    }

    /// It is answered with this status.
    pub(crate) fn refuse(mut self, status: u16) -> Self {
        self.refused = Some(status);
        self
    }

    /// Runs it: at once as far as it need not wait, then in a task of its own.
    pub(crate) fn run(self) {
        let PendingRequest { stream, request, refused } = self;
        let Some(engine) = stream.conn.hub().front.worker.engine() else { return stream.finish(true) };
        let waiting = match refused {
            None => engine.run(&request),
            Some(status) => engine.refuse(&request, status),
        };
        match waiting {
            None => finish(&stream, request),
            Some(future) => drop(tokio::task::spawn_local(drive(stream, request, future))),
        }
    }
}

/// Polls a waiting request in a task of its own, and has sent what it queues meanwhile, until the worker waits no longer.
async fn drive<C: Carrier>(stream: Rc<Stream<C>>, request: Rc<Request>, mut future: BoxFuture<()>) {
    let ended = poll_fn(|cx| {
        stream.set_waker(cx);
        if Pin::new(&mut future).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // `worker_shutdown_timeout` has passed.
        if stream.conn.hub().watch.evicted() && request.worker.exiting.get() {
            return Poll::Ready(false);
        }
        let postpone = request.with_location(|l| l.core.postpone_output.unwrap_or(default::POSTPONE_OUTPUT));
        if stream.should_send(postpone) {
            stream.ready();
        } else if stream.conn.has_unsent() {
            stream.conn.hub().kick();
        }
        if request.flags.watch_client.get() && !request.flags.client_gone.get() && stream.poll_gone(cx).is_ready() {
            request.flags.client_gone.set(true);
            // The handler looks at the flag.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    drop(future);
    if !ended && let Some(engine) = stream.conn.hub().front.worker.engine() {
        engine.abandon(&request, 499);
    }
    finish(&stream, request);
}

fn finish<C: Carrier>(stream: &Rc<Stream<C>>, request: Rc<Request>) {
    if request.response.borrow().status == 444 {
        stream.refuse();
    }
    if request.version() == Version::Http09 && request.flags.header_only.get() {
        // No head said that nothing follows.
        stream.complete();
    }
    stream.finish(request.flags.abort.get());
    stream.conn.hub().front.worker.spare.put(request);
}
