//! The life cycle of an HTTP/2 connection: reads frames, runs requests, writes frames, until it is closed or parked.

mod waits;

use super::connection::{GATHER, H2, NAME};
use crate::active::{Activity, NEVER};
use crate::protocol::{Accepted, Detection, Front, Parked, Protocol};
use crate::streams::received::BodyPart;
use crate::streams::run::PendingRequest;
use base::clock;
use base::log::Level;
use http::core::default;
use http::http2::Http2;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use sys::boxed::pinned;
use wire::h2::error::ErrorCode;
use wire::h2::{Codec, Config, Event, reset_message};
use wire::hpack::Limits;

/// HTTP/2: by ALPN over TLS, with prior knowledge in clear text.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    parameter: Some("http2"),
    alone: false,
    instead: Some("http2"),
    alpn: &[b"h2"],
    begins: |bytes| match Codec::recognize(bytes) {
        Some(true) => Detection::Mine,
        Some(false) => Detection::Foreign,
        None => Detection::Unclear,
    },
    start,
    close_parked: goaway,
};

/// How long a connection stays active without a frame before it is parked, milliseconds.
const PARK_AFTER: u64 = 1000;
/// How long a client may take to answer that it has seen the first GOAWAY, milliseconds.
const DRAIN: u64 = 1000;

/// So often a connection reads in a row.
const READS: usize = 16;

/// How a connection ended.
enum ConnectionEnd {
    /// Closed by either side, or broken.
    Closed,
    /// The protocol is over: what is queued has left, and the client may still send.
    Over,
    /// Idle for a while.
    Idle,
}

fn start(front: &Rc<Front>, opened: Accepted) {
    // Boxed: tasks are moved when they are made and when they end.
    tokio::task::spawn_local(pinned(|| serve(front.clone(), opened)));
}

/// A parked client learns that its connection ends.
fn goaway(parked: &mut Parked, words: &mut Vec<u8>) {
    if let Some(codec) = parked.state.as_mut().and_then(|state| state.downcast_mut::<Codec>()) {
        codec.goaway(ErrorCode::NO_ERROR, words);
    }
}

fn config(opened: &Accepted) -> Config {
    let core = &opened.listener.server.core;
    let own = opened.listener.server.conf.share::<Http2>().unwrap_or_default();
    let (number, size) = core.large_client_header_buffers.unwrap_or(default::LARGE_HEADER_BUFFERS);
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let usual = Config::default();
    Config {
        max_streams: own.max_streams.map_or(usual.max_streams, narrow),
        window: own.preread.map_or(usual.window, |n| u32::try_from(n).unwrap_or(i32::MAX as u32)),
        headers: Limits {
            string: narrow(size),
            total: narrow(size.saturating_mul(number)),
            fields: narrow(core.max_headers.unwrap_or(default::MAX_HEADERS)),
        },
        connect_protocol: true,
    }
}

struct Serving {
    conn: Rc<H2>,
    /// When waiting for the next request ends; monotonic milliseconds.
    idle_until: u64,
    idle: bool,
    drain_until: u64,
    /// When the rest of a header block must be there (`client_header_timeout`); NEVER between blocks.
    head_until: u64,
    /// Input is left because much waited to be sent.
    paused: bool,
}

async fn serve(front: Rc<Front>, mut opened: Accepted) {
    let state = opened.state.take().and_then(|state| state.downcast::<Codec>().ok());
    let mut out = Vec::new();
    let codec = match state {
        Some(codec) => *codec,
        None => Codec::new(config(&opened), &mut out),
    };
    let idle_until = opened.request_by;
    let conn = Rc::new(H2::new(front, opened, codec, out));
    conn.hub.watch.set_activity(Activity::Fresh);
    let mut serving = Serving { conn, idle_until, idle: false, drain_until: NEVER, head_until: NEVER, paused: false };
    loop {
        match poll_fn(|cx| serving.poll(cx)).await {
            ConnectionEnd::Closed => return serving.conn.break_off(),
            ConnectionEnd::Over => {
                serving.conn.hub.lose_streams();
                return serving.linger().await;
            }
            ConnectionEnd::Idle => match serving.park() {
                Some(again) => serving = again,
                None => return,
            },
        }
    }
}

impl Serving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let conn = self.conn.clone();
        conn.hub.waits(cx);
        conn.hub.check_streams();
        let mut reads = 0;
        loop {
            // Evicted by a worker that leaves: `worker_shutdown_timeout` has passed.
            if conn.hub.broken.get() || (conn.hub.watch.evicted() && conn.hub.front.worker.exiting.get()) {
                return Poll::Ready(ConnectionEnd::Closed);
            }
            let later = conn.hub.send_later();
            self.take_input();
            self.shut_down_if_exiting();
            let more = conn.pump();
            let sent = conn.try_send();
            drop(later);
            match sent {
                Err(_) => return Poll::Ready(ConnectionEnd::Closed),
                Ok(true) => {}
                Ok(false) => {
                    if conn.hub.watch.write_expired() || conn.hub.watch.evicted() {
                        conn.hub.log(Level::Info, "client timed out (110: Connection timed out)");
                        return Poll::Ready(ConnectionEnd::Closed);
                    }
                    std::task::ready!(conn.socket.borrow_mut().poll_write_ready(cx)).ok();
                    continue;
                }
            }
            if conn.codec.borrow().is_over() {
                return Poll::Ready(ConnectionEnd::Over);
            }
            if self.paused {
                continue;
            }
            if let Some(end) = self.check_time() {
                return Poll::Ready(end);
            }
            if conn.unsent() > 0 {
                continue;
            }
            if reads == READS {
                // Others have their turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            match conn.poll_fill(cx) {
                Poll::Pending => {
                    conn.hub.check_streams();
                    if more {
                        // All of it has left, and no event of the socket tells that it takes the rest.
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(n)) if n > 0 => {
                    conn.codec.borrow_mut().begin_turn(clock::monotonic_ms() / 1000);
                }
                Poll::Ready(_) => return Poll::Ready(ConnectionEnd::Closed),
            }
        }
    }

    /// Takes what has arrived, event by event. Stops while much waits to be sent.
    fn take_input(&mut self) {
        let conn = self.conn.clone();
        let mut input = std::mem::take(&mut *conn.input.borrow_mut());
        while conn.unsent() < GATHER && !conn.hub.broken.get() {
            let polled = conn.with_codec(|codec, out| codec.poll(input.unread(), out));
            let (used, more) = match polled {
                Ok(wire::h2::Poll { event: Some(Event::Data { stream, data, end, fault: None }), used })
                    if used == data.len() && input.is_whole(used) =>
                {
                    if let Some(found) = conn.hub.stream(stream) {
                        found.take_body(BodyPart::Whole(std::mem::take(&mut input.buffer)), end, None);
                    }
                    (0, true)
                }
                Ok(step) => {
                    let more = step.event.is_some();
                    if let Some(event) = step.event {
                        self.take(event);
                    }
                    (step.used, more)
                }
                Err(failure) => {
                    conn.hub.log(Level::Info, &failure.text);
                    (input.unread().len(), false)
                }
            };
            input.advance(used);
            if !more {
                break;
            }
        }
        self.paused = !conn.hub.broken.get() && !input.unread().is_empty() && conn.unsent() >= GATHER;
        let ended = conn.input.borrow().ended;
        input.ended |= ended;
        conn.input.replace(input);
    }

    fn take(&mut self, event: Event<'_>) {
        let conn = &self.conn;
        match event {
            Event::Request { stream, head, end, size, again } => self.request(stream, &head, end, size, again),
            Event::Data { stream, data, end, fault } => {
                if let Some(found) = conn.hub.stream(stream) {
                    if fault.is_some() {
                        found.reset_later(ErrorCode::PROTOCOL_ERROR);
                    }
                    found.take_body(BodyPart::Slice(data), end, fault.map(|fault| fault.to_string()));
                }
            }
            Event::Trailers { stream, fault, body } => {
                conn.codec.borrow_mut().fields_read();
                if let Some(found) = conn.hub.stream(stream) {
                    let wrong = body.map(|fault| fault.to_string()).or_else(|| fault.map(|_| "client sent invalid trailers".to_owned()));
                    if wrong.is_some() {
                        found.reset_later(ErrorCode::PROTOCOL_ERROR);
                    }
                    found.take_body(BodyPart::Slice(&[]), true, wrong);
                }
            }
            Event::Reset { stream, code } => {
                conn.hub.log(Level::Info, &reset_message(stream, code));
                if let Some(stream) = conn.hub.stream(stream) {
                    stream.reset();
                }
            }
            Event::StreamError { stream, error, .. } => {
                conn.hub.log(Level::Info, &error.message(stream));
                if let Some(stream) = conn.hub.stream(stream) {
                    stream.reset();
                }
            }
            Event::Refused { reason: why, .. } => conn.hub.log(Level::Info, &why.to_string()),
            Event::GoAway { .. } | Event::Drained | Event::Unknown { .. } => {}
        }
    }

    fn request(&mut self, id: u32, head: &wire::h2::request::RequestHead, end: bool, size: usize, again: bool) {
        let conn = &self.conn;
        conn.hub.watch.read_by(NEVER);
        conn.hub.watch.set_activity(Activity::Answering);
        self.idle = false;
        PendingRequest::new(conn, id, end, size).fill(head, end, again).run();
        self.limit_requests();
    }

    /// `keepalive_requests`, `keepalive_time`
    fn limit_requests(&self) {
        let core = &self.conn.hub.listener.server.own.core;
        let age = clock::epoch_ms().saturating_sub(self.conn.hub.info().started_ms);
        let spent = self.conn.hub.info().requests.get() >= core.keepalive_requests.unwrap_or(default::KEEPALIVE_REQUESTS);
        if spent || age > core.keepalive_time.unwrap_or(default::KEEPALIVE_TIME) {
            self.conn.with_codec(|codec, out| codec.goaway(ErrorCode::NO_ERROR, out));
        }
    }

    /// The worker leaves, or the connection must make room: no new request is taken.
    fn shut_down_if_exiting(&mut self) {
        let conn = &self.conn;
        if conn.hub.front.worker.exiting.get() && self.drain_until == NEVER {
            self.drain_until = clock::monotonic_ms().saturating_add(DRAIN);
            conn.with_codec(|codec, out| codec.drain(out));
            conn.hub.watch.read_by(self.drain_until);
        }
        if conn.hub.watch.evicted() || clock::monotonic_ms() >= self.drain_until {
            conn.with_codec(|codec, out| codec.goaway(ErrorCode::NO_ERROR, out));
        }
    }
}
