//! The results of handlers, and how handlers wait.

use std::future::Future;
use std::pin::Pin;
use sys::boxed::pinned;

/// A future of one worker's thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// A phase handler's answer; nginx's return codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `NGX_OK`: this phase is satisfied (content: the response is complete).
    Ok,
    /// `NGX_DECLINED`: not mine, the next handler please.
    Declined,
    /// `NGX_DONE`: the request goes on elsewhere; a jump was set on it.
    Done,
    /// `NGX_ERROR`: give up on the connection.
    Error,
    /// An HTTP status. From 300 on a special response, below it the end of the request.
    Status(u16),
}

/// A handler's answer, now or later. Only a handler that must wait allocates.
pub enum Step {
    /// The outcome.
    Now(Outcome),
    /// Drive this to get it.
    Wait(BoxFuture<Outcome>),
}

impl Step {
    /// Waits for the future that `make` returns.
    #[inline]
    pub fn wait<F: Future<Output = Outcome> + 'static>(make: impl FnOnce() -> F) -> Step {
        Step::Wait(pinned(make))
    }

    /// The response, waiting for it if need be.
    pub async fn finish(self) -> Outcome {
        match self {
            Step::Now(outcome) => outcome,
            Step::Wait(future) => future.await,
        }
    }
}

impl From<Outcome> for Step {
    fn from(outcome: Outcome) -> Step {
        Step::Now(outcome)
    }
}
