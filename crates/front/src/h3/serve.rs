//! The life cycle of a connection: accepts streams, runs requests, sends responses, until it is closed.

use super::connection::{Application, H3, StreamState};
use crate::active::{Activity, NEVER};
use crate::protocol::Front;
use crate::quic::{Opened, Protocol, words};
use crate::streams::carrier::Carrier;
use base::clock;
use base::log::Level;
use http::core::default;
use http::http3::Http3;
use http::quic::Quic;
use net::quic::{Dir, Event, StreamId};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use sys::boxed::pinned;
use wire::h3::error::{Code, Failure};
use wire::h3::{Codec, Config};
use wire::hpack::Limits;

/// HTTP/3.
pub const PROTOCOL: Protocol = Protocol {
    name: "h3",
    alpn: &[b"h3"],
    speaks: |server| server.conf.share::<Http3>().unwrap_or_default().is_on(),
    start: |front, opened| start(front, opened, Application::H3),
};

/// HTTP/0.9 on streams of QUIC.
pub const HQ: Protocol = Protocol {
    name: "hq",
    alpn: &[b"hq-interop"],
    speaks: |server| server.conf.share::<Http3>().unwrap_or_default().is_hq(),
    start: |front, opened| start(front, opened, Application::Hq),
};

/// So many events are followed in a row.
const EVENTS: usize = 256;
/// How long a connection keeps what helps its next requests, milliseconds.
const SHRINK_AFTER: u64 = 1000;
/// How long the last words of a connection may take to arrive, milliseconds, and how often that is looked at.
const LINGER: u64 = 2000;
const LOOK: u64 = 100;

fn start(front: &Rc<Front>, opened: Opened, speech: Application) {
    // Boxed: tasks are moved when they are made and when they end.
    tokio::task::spawn_local(pinned(|| serve(front.clone(), opened, speech)));
}

fn config(opened: &Opened) -> Config {
    let core = &opened.listener.server.core;
    let (number, size) = core.large_client_header_buffers.unwrap_or(default::LARGE_HEADER_BUFFERS);
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    // The transport's limit is that of the address's default server.
    let quic = opened.listener.endpoint.default.conf.share::<Quic>().unwrap_or_default();
    let usual = Config::default();
    Config {
        max_streams: quic.max_streams.map_or(usual.max_streams, narrow),
        headers: Limits {
            string: narrow(size),
            total: narrow(size.saturating_mul(number)),
            fields: narrow(core.max_headers.unwrap_or(default::MAX_HEADERS)),
        },
        connect_protocol: true,
    }
}

async fn serve(front: Rc<Front>, opened: Opened, speech: Application) {
    let codec = Codec::new(config(&opened));
    let conn = Rc::new(H3::new(front, opened, speech, codec));
    conn.hub.watch.set_activity(Activity::Fresh);
    conn.flush_own();
    let core = &conn.hub.listener.server.core;
    let idle_until = clock::monotonic_ms().saturating_add(core.client_header_timeout.unwrap_or(default::TIMEOUT));
    let mut serving = Serving {
        conn,
        idle_until,
        shrink_at: clock::monotonic_ms().saturating_add(SHRINK_AFTER),
        last_words: NEVER,
        reason: "connection shutdown",
    };
    poll_fn(|cx| serving.poll(cx)).await;
    serving.conn.break_off();
}

struct Serving {
    conn: Rc<H3>,
    /// When a connection without requests ends; monotonic milliseconds. NEVER while there are some.
    idle_until: u64,
    /// When it gives memory back; NEVER: it has done so, or there are requests.
    shrink_at: u64,
    /// When it closes whatever has not arrived.
    last_words: u64,
    /// The error code sent to the client on close.
    reason: &'static str,
}

impl Serving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let conn = self.conn.clone();
        conn.hub.waits(cx);
        conn.codec.borrow_mut().begin_turn(clock::monotonic_ms() / 1000);
        conn.hub.check_streams();
        let later = conn.hub.send_later();
        let result = self.poll_events(cx);
        if let Some(failure) = &*conn.failed.borrow() {
            conn.quic.close(failure.code.0, failure.reason.as_bytes());
            return Poll::Ready(());
        }
        let more = match result {
            Ok(Some(more)) => more,
            Ok(None) => return Poll::Ready(()),
            Err(failure) => {
                conn.hub.log(Level::Info, &failure.text);
                conn.failed.replace(Some(failure));
                // What says why must leave before the connection closes.
                conn.flush_own();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        self.shut_down_if_exiting();
        let ready = conn.send_pending(true);
        drop(later);
        if more || ready {
            cx.waker().wake_by_ref();
        }
        if self.check_time() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Follows the transport's events. True: there may be more; `None`: the connection is over.
    fn poll_events(&self, cx: &mut Context<'_>) -> Result<Option<bool>, Failure> {
        let conn = &self.conn;
        if conn.failed.borrow().is_some() {
            return Ok(None);
        }
        for _ in 0..EVENTS {
            match conn.quic.poll_event(cx) {
                Poll::Pending => {
                    self.go_on()?;
                    return Ok(Some(false));
                }
                Poll::Ready(Event::Closed(reason)) => {
                    if let Some(words) = words(&reason) {
                        conn.hub.log(Level::Info, &words);
                    }
                    return Ok(None);
                }
                Poll::Ready(event) => self.take(event)?,
            }
        }
        self.go_on()?;
        Ok(Some(true))
    }

    fn take(&self, event: Event) -> Result<(), Failure> {
        let conn = &self.conn;
        match event {
            Event::Opened(Dir::Bi) => {
                while let Some(id) = conn.quic.accept(Dir::Bi) {
                    conn.open_stream(id.0)?;
                }
            }
            Event::Opened(Dir::Uni) => {
                while let Some(id) = conn.quic.accept(Dir::Uni) {
                    conn.feed_uni(id)?;
                }
            }
            Event::Readable(id) => self.read(id)?,
            Event::Writable(id) => conn.queue_send(id.0),
            Event::Stopped(id, code) => conn.stopped_by_client(id, code)?,
            Event::Handshaken => conn.note_early(),
            Event::Finished(_) | Event::Available(_) | Event::Closed(_) => {}
        }
        Ok(())
    }

    fn read(&self, id: StreamId) -> Result<(), Failure> {
        match id.dir() {
            Dir::Bi => self.conn.read_stream(id.0),
            Dir::Uni => self.conn.feed_uni(id),
        }
    }

    /// Streams whose reading rested and need not rest any more.
    fn go_on(&self) -> Result<(), Failure> {
        let conn = &self.conn;
        let resume = std::mem::take(&mut *conn.resume.borrow_mut());
        for id in resume {
            self.read(StreamId(id))?;
        }
        loop {
            let next = conn.codec.borrow_mut().next_unblocked();
            let Some(id) = next else { break };
            conn.with_wire(id, StreamState::unblock);
            conn.read_stream(id)?;
        }
        loop {
            let mut codec = conn.codec.borrow_mut();
            let Some(id) = codec.next_changed() else { return Ok(()) };
            let priority = codec.priority(id);
            drop(codec);
            conn.set_priority(id, priority);
        }
    }

    /// The worker leaves, or the connection must make room: no new request is taken.
    fn shut_down_if_exiting(&self) {
        let hub = &self.conn.hub;
        if hub.front.worker.exiting.get() || hub.watch.evicted() {
            self.conn.codec.borrow_mut().goaway();
        }
    }

    /// Sets the deadline of the wait that begins. True: the connection is over.
    fn check_time(&mut self) -> bool {
        let conn = self.conn.clone();
        let now = clock::monotonic_ms();
        let mut next = self.check_wires(now);
        let busy = conn.codec.borrow().open() > 0;
        if busy {
            (self.idle_until, self.shrink_at) = (NEVER, NEVER);
        } else {
            if self.idle_until == NEVER {
                let core = &conn.hub.listener.server.own.core;
                self.idle_until = now.saturating_add(core.keepalive_timeout.unwrap_or(default::KEEPALIVE_TIMEOUT));
                self.shrink_at = now.saturating_add(SHRINK_AFTER);
                conn.hub.watch.set_activity(Activity::Idle);
            }
            if now >= self.shrink_at {
                conn.shrink();
                self.shrink_at = NEVER;
            }
            if now >= self.idle_until && !conn.codec.borrow().is_closing() {
                self.reason = "keepalive timeout";
                conn.codec.borrow_mut().goaway();
                conn.flush_own();
            }
            next = next.min(self.idle_until).min(self.shrink_at);
        }
        // Evicted by a worker that leaves: `worker_shutdown_timeout` has passed.
        let expired = conn.hub.watch.evicted() && conn.hub.front.worker.exiting.get();
        if conn.codec.borrow().is_over() || expired {
            self.last_words = self.last_words.min(now.saturating_add(LINGER));
            let gone = conn.wires.borrow().is_empty() && !conn.quic.is_sending();
            if gone || expired || now >= self.last_words {
                conn.quic.close(Code::NO_ERROR.0, self.reason.as_bytes());
                return true;
            }
            next = next.min(now.saturating_add(LOOK));
        }
        conn.hub.watch.read_by(next);
        false
    }

    /// Ends the wait for heads that are too slow and for bytes that nobody takes; when the next such wait ends.
    fn check_wires(&self, now: u64) -> u64 {
        let conn = &self.conn;
        let mut next = NEVER;
        let mut late = Vec::new();
        for (&id, wire) in &mut *conn.wires.borrow_mut() {
            if wire.request_over && wire.until == NEVER {
                let timeout = conn.hub.listener.server.own.core.send_timeout.unwrap_or(default::TIMEOUT);
                wire.until = now.saturating_add(timeout);
            }
            if wire.until <= now {
                late.push(id);
            } else {
                next = next.min(wire.until);
            }
        }
        for id in late {
            conn.hub.log(Level::Info, "client timed out (110: Connection timed out)");
            conn.close_stream(id, Some(Code::GENERAL_PROTOCOL_ERROR));
        }
        next
    }
}
