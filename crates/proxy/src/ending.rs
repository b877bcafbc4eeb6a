//! The end of an attempt.

use crate::retry::Failure;
use http::{Outcome, Step};
use std::future::Future;
use std::pin::Pin;

/// How a try ended.
pub enum End {
    /// The upstream answered; the client has what there is.
    Answered(Outcome),
    /// The client is the reason.
    Client(Outcome),
    /// The server failed.
    Failed(Failure),
}

/// The end of a try, once the answer's head is here. Most answers are here whole by then, and nothing has to be waited for: what a
/// longer one needs is a future of its own, for which requests have no place.
pub enum AttemptEnd<'a> {
    /// Now.
    Now(End),
    /// Later.
    Later(Pin<Box<dyn Future<Output = End> + 'a>>),
}

impl<'a> AttemptEnd<'a> {
    /// Wraps a future.
    pub fn later(future: impl Future<Output = End> + 'a) -> AttemptEnd<'a> {
        AttemptEnd::Later(Box::pin(future))
    }

    /// The end of an answer that has been passed on.
    #[must_use]
    pub fn answered(step: Step) -> AttemptEnd<'a> {
        match step {
            Step::Now(outcome) => AttemptEnd::Now(End::Answered(outcome)),
            Step::Wait(future) => AttemptEnd::later(async move { End::Answered(future.await) }),
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
