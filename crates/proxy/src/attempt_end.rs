//! The end of an attempt.

use crate::retry::Failure;
use http::{Outcome, Step};
use std::future::Future;
use std::pin::Pin;
use sys::boxed::pinned;

/// How a try ended.
pub enum End {
    /// The upstream answered; the client has what there is.
    Answered(Outcome),
    /// The client is the reason.
    Client(Outcome),
    /// The server failed.
    Failed(Failure),
}

/// The end of a try, once the response's head is here. Most responses are here whole by then, and nothing has to be waited for: what a
/// longer one needs is a future of its own, for which requests have no place.
pub enum AttemptEnd<'a> {
    /// Now.
    Now(End),
    /// Later.
    Later(Pin<Box<dyn Future<Output = End> + 'a>>),
}

impl<'a> AttemptEnd<'a> {
    /// When the future that `make` returns is done.
    pub fn later<F: Future<Output = End> + 'a>(make: impl FnOnce() -> F) -> AttemptEnd<'a> {
        AttemptEnd::Later(pinned(make))
    }

    /// The end of a response that has been passed on.
    #[must_use]
    pub fn answered(step: Step) -> AttemptEnd<'a> {
        match step {
            Step::Now(outcome) => AttemptEnd::Now(End::Answered(outcome)),
            Step::Wait(future) => AttemptEnd::later(|| async move { End::Answered(future.await) }),
        }
    }

    /// The end, waiting for it if need be.
    pub async fn end(self) -> End {
        match self {
            AttemptEnd::Now(end) => end,
            AttemptEnd::Later(future) => future.await,
        }
    }
}
