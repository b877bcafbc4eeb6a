//! A connection between two requests: kept alive, parked, or closed.

use super::{Loop, PROTOCOL};
use crate::active::NEVER;
use crate::compact::Compact;
use crate::protocol::Parked;
use base::clock;
use http::Request;
use http::core::default;
use std::rc::Rc;

impl Loop {
    /// The connection waits for another request.
    pub(super) fn keep_alive(&mut self, request: &Request) {
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

    /// Idle for a second: close if the time is up, else move to the parking lot. Gives itself back if it cannot leave.
    pub(super) fn idle(mut self) -> Option<Loop> {
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
