//! The idle timeout of a session: `proxy_timeout`.

use base::clock;
use net::deadline::Limit;
use std::task::{Context, Poll};
use stream::Session;

/// The time since something was last sent or received. It moves on with each of them at no cost: the limit that was entered rings
/// where it would have rung, and is entered again if it does.
pub struct Idle {
    timeout_ms: u64,
    deadline_ms: u64,
    limit: Option<Limit>,
}

impl Idle {
    /// Begins now.
    #[must_use]
    pub fn new(timeout_ms: u64) -> Idle {
        Idle { timeout_ms, deadline_ms: clock::monotonic_ms().saturating_add(timeout_ms), limit: None }
    }

    /// Something was sent or received.
    pub fn moved(&mut self) {
        self.deadline_ms = clock::monotonic_ms().saturating_add(self.timeout_ms);
    }

    /// Ready once it has been silent for too long.
    pub fn poll(&mut self, session: &Session, cx: &Context<'_>) -> Poll<()> {
        loop {
            let left = self.deadline_ms.saturating_sub(clock::monotonic_ms());
            let limit = self.limit.get_or_insert_with(|| session.limit(left));
            if limit.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.limit = None;
            clock::update();
            if clock::monotonic_ms() >= self.deadline_ms {
                return Poll::Ready(());
            }
        }
    }
}
