//! Requests that wait for a server of their group to become available (`queue`).

use balance::Choice;
use net::time::timeout_at;
use std::cell::Cell;
use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often waiters check by themselves: servers recover with time, and other workers of a zone release them.
const LOOK: Duration = Duration::from_millis(100);

/// A group's queue in one worker.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    timeout: Duration,
    waiting: Cell<usize>,
    freed: Notify,
}

/// How waiting ended without a server.
#[derive(Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The queue is full, or it took too long.
    NoServer,
    /// The client is gone.
    Gone,
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueueError::NoServer => "no server became free",
            QueueError::Gone => "the client is gone",
        })
    }
}

impl std::error::Error for QueueError {}

/// A place in the queue.
struct QueueSlot<'a>(&'a Cell<usize>);

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Queue {
    /// A queue for `limit` requests, each of which waits for at most `timeout` milliseconds.
    #[must_use]
    pub fn new(limit: usize, timeout: u64) -> Queue {
        Queue { limit, timeout: Duration::from_millis(timeout), waiting: Cell::new(0), freed: Notify::new() }
    }

    /// Whether there is a waiter, which newcomers must not overtake.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.waiting.get() > 0
    }

    /// To be called when a server has one request less.
    pub fn freed(&self) {
        if self.is_used() {
            self.freed.notify_one();
        }
    }

    /// Waits until `look` finds a server. `gone` is ready when the client is gone.
    ///
    /// # Errors
    /// Nothing was found.
    pub async fn wait(
        &self,
        mut look: impl FnMut() -> Option<Choice>,
        client_closed: impl Fn(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Choice, QueueError> {
        if self.waiting.get() >= self.limit {
            return Err(QueueError::NoServer);
        }
        self.waiting.set(self.waiting.get() + 1);
        let _place = QueueSlot(&self.waiting);
        let end = Instant::now() + self.timeout;
        loop {
            let now = Instant::now();
            if now >= end {
                return Err(QueueError::NoServer);
            }
            let mut woken = std::pin::pin!(timeout_at(end.min(now + LOOK), self.freed.notified()));
            let gone = std::future::poll_fn(|cx| match client_closed(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => woken.as_mut().poll(cx).map(|_| false),
            });
            if gone.await {
                return Err(QueueError::Gone);
            }
            if let Some(choice) = look() {
                return Ok(choice);
            }
        }
    }
}
