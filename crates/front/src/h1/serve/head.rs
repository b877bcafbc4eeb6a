//! Waits for the head of a connection's next request.

use super::Loop;
use crate::active::{Activity, NEVER};
use crate::h1::arrival;
use crate::h1::head_cache::KnownHead;
use base::clock;
use http::core::default;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll};
use wire::h1::error::HeadError;
use wire::h1::request::Status;

/// How long a connection stays active without a byte before it is parked, milliseconds.
const PARK_AFTER: u64 = 1000;

/// The result of waiting for a head.
pub(super) enum HeadOutcome {
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

impl Loop {
    pub(super) fn next_head(&mut self) -> impl Future<Output = HeadOutcome> {
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
}
