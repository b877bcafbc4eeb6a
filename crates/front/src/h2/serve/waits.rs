//! What a connection waits for: the rest of a head, the next request, the client's end; and for how long.

use super::{ConnectionEnd, PARK_AFTER, Serving};
use crate::active::{Activity, NEVER};
use crate::compact::Compact;
use crate::h2::connection::NAME;
use crate::protocol::Parked;
use base::clock;
use base::log::Level;
use http::core::default;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use wire::h2::error::ErrorCode;

impl Serving {
    /// Sets the deadline of the wait that begins, or ends a wait whose time is up.
    pub(super) fn check_time(&mut self) -> Option<ConnectionEnd> {
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
    pub(super) fn park(mut self) -> Option<Serving> {
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
    pub(super) async fn linger(self) {
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
