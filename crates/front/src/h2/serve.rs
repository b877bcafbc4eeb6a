//! The life cycle of an HTTP/2 connection: reads frames, runs requests, writes frames, until it is closed or parked.

use super::connection::{GATHER, H2, NAME};
use crate::active::{Activity, NEVER};
use crate::compact::Compact;
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

    /// Sets the deadline of the wait that begins, or ends a wait whose time is up.
    fn check_time(&mut self) -> Option<ConnectionEnd> {
        let conn = self.conn.clone();
        let now = clock::monotonic_ms();
        let (busy, inside, head) = {
            let codec = conn.codec.borrow();
            // The beginning of a frame's head is still in the input.
            let inside = codec.is_inside_frame() || !conn.input.borrow().unread().is_empty();
            (codec.open() > 0, inside, codec.is_inside_head())
        };
        if head {
            return self.check_head(now);
        }
        if self.head_until != NEVER {
            (self.head_until, self.idle) = (NEVER, false);
            conn.hub.watch.read_by(self.drain_until);
        }
        if conn.hub.watch.read_expired() && !busy {
            let until = self.leaves_at(self.idle_until);
            if inside && now >= until {
                conn.hub.log(Level::Info, "client timed out (110: Connection timed out)");
                conn.with_codec(|codec, out| codec.abort(ErrorCode::PROTOCOL_ERROR, out));
                return None;
            }
            if !inside && self.drain_until == NEVER {
                return Some(ConnectionEnd::Idle);
            }
            // What has ended was a shorter wait.
            conn.hub.watch.read_by(until);
        }
        if busy {
            if !inside && self.drain_until == NEVER {
                conn.hub.watch.read_by(NEVER);
            }
            self.idle = false;
        } else if !self.idle {
            self.begin_idle(now, inside);
        }
        None
    }

    /// `client_header_timeout`: an incomplete header block costs its stream, and then the connection.
    fn check_head(&mut self, now: u64) -> Option<ConnectionEnd> {
        let conn = &self.conn;
        let late = now >= self.head_until;
        if late {
            conn.hub.log(Level::Info, "client timed out (110: Connection timed out)");
            conn.with_codec(|codec, out| {
                if codec.abandon_block(out).is_none() {
                    codec.abort(ErrorCode::PROTOCOL_ERROR, out);
                }
            });
        }
        if late || self.head_until == NEVER {
            let (own, core) = (&conn.hub.listener.server.core, &conn.hub.listener.server.own.core);
            let timeout = if late {
                core.keepalive_timeout.unwrap_or(default::KEEPALIVE_TIMEOUT)
            } else {
                own.client_header_timeout.unwrap_or(default::TIMEOUT)
            };
            self.head_until = now.saturating_add(timeout);
            conn.hub.watch.read_by(self.head_until.min(self.drain_until));
        } else if conn.hub.watch.read_expired() {
            // What has ended was the time to leave.
            conn.hub.watch.read_by(self.head_until);
        }
        None
    }

    fn begin_idle(&mut self, now: u64, inside: bool) {
        let conn = &self.conn;
        self.idle = true;
        let core = &conn.hub.listener.server.own.core;
        if conn.hub.info().requests.get() > 0 {
            self.idle_until = now.saturating_add(core.keepalive_timeout.unwrap_or(default::KEEPALIVE_TIMEOUT));
            conn.hub.watch.set_activity(Activity::Idle);
        }
        if !conn.no_delay.replace(true) && core.tcp_nodelay.unwrap_or(true) {
            // Only costs latency if it fails.
            let _ = conn.socket.borrow().set_no_delay(true);
        }
        let until = if inside { self.idle_until } else { self.idle_until.min(now.saturating_add(PARK_AFTER)) };
        conn.hub.watch.read_by(self.leaves_at(until));
    }

    /// When a wait without requests ends that would last until `time`. While the worker leaves, idle time does not count: the client
    /// has so long to say that it has seen GOAWAY.
    fn leaves_at(&self, time: u64) -> u64 {
        if self.drain_until == NEVER { time } else { self.drain_until }
    }

    /// Idle for a second: close if the time is up, else move to the parking lot. Gives itself back if it cannot leave.
    fn park(mut self) -> Option<Serving> {
        let now = clock::monotonic_ms();
        if now >= self.idle_until || self.conn.hub.watch.evicted() {
            self.conn.with_codec(|codec, out| codec.goaway(ErrorCode::NO_ERROR, out));
            // What the socket does not take now is lost.
            let _ = self.conn.try_send().and_then(|_| self.conn.socket.borrow().close_notify());
            return None;
        }
        // If it cannot leave, another wait begins: the end of this one must not be seen again at once.
        self.conn.hub.watch.read_by(self.idle_until.min(now.saturating_add(PARK_AFTER)));
        if !self.conn.socket.borrow().can_park() {
            return Some(self);
        }
        let seconds = u32::try_from((self.idle_until - now).div_ceil(1000)).unwrap_or(u32::MAX);
        match Rc::try_unwrap(self.conn) {
            Ok(conn) => {
                let mut codec = conn.codec.into_inner();
                codec.shrink();
                let parked = Parked {
                    listen: conn.hub.listener.index,
                    protocol: conn.hub.front.index_of(NAME),
                    info: Compact::of(&conn.hub.info()),
                    no_delay: conn.no_delay.get(),
                    state: Some(Box::new(codec)),
                    session: None,
                };
                conn.hub.front.park(conn.socket.into_inner(), parked, seconds);
                None
            }
            Err(conn) => {
                // A log handler still holds the last request.
                self.conn = conn;
                Some(self)
            }
        }
    }

    /// Our side is closed; what the client still sends is dropped, so that it gets to read the last frames.
    async fn linger(self) {
        let conn = &self.conn;
        let core = &conn.hub.listener.server.own.core;
        if conn.socket.borrow().shutdown_write().is_ok() {
            let now = clock::monotonic_ms();
            conn.hub.watch.set_activity(Activity::Idle);
            conn.hub.watch.read_by(now.saturating_add(core.lingering_timeout.unwrap_or(default::LINGERING_TIMEOUT)));
            poll_fn(|cx| {
                conn.hub.waits(cx);
                loop {
                    if conn.hub.watch.read_expired() || conn.hub.watch.evicted() {
                        return Poll::Ready(());
                    }
                    let all = conn.input.borrow().unread().len();
                    conn.input.borrow_mut().advance(all);
                    if !matches!(std::task::ready!(conn.poll_fill(cx)), Ok(1..)) {
                        return Poll::Ready(());
                    }
                }
            })
            .await;
        }
        conn.break_off();
    }
}
