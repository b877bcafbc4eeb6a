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

/// The end of a try, once the answer's head is here. Most answers are here whole by then, and nothing has to be waited for: what a
/// longer one needs is a future of its own, for which requests have no place.
pub enum Ending<'a> {
    /// Now.
    Now(End),
    /// Later.
    Later(Pin<Box<dyn Future<Output = End> + 'a>>),
}

impl<'a> Ending<'a> {
    /// When the future that `make` returns is done.
    pub fn later<F: Future<Output = End> + 'a>(make: impl FnOnce() -> F) -> Ending<'a> {
        Ending::Later(pinned(make))
    }

    /// The end of an answer that has been passed on.
    #[must_use]
    pub fn answered(step: Step) -> Ending<'a> {
        match step {
            Step::Now(outcome) => Ending::Now(End::Answered(outcome)),
            Step::Wait(future) => Ending::later(|| async move { End::Answered(future.await) }),
        }
    }

    /// The end, waiting for it if need be.
    pub async fn end(self) -> End {
        match self {
            Ending::Now(end) => end,
            Ending::Later(future) => future.await,
        }
    }
}
