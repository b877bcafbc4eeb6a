//! How far a stream has come.

use super::Stream;
use crate::streams::carrier::Carrier;

/// How far the request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyState {
    /// More may come.
    Open,
    /// It is complete.
    Complete,
    /// It is not what was announced.
    Invalid,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ResponseState {
    /// More may follow.
    Open,
    /// All of it is in the queue.
    Complete,
    /// END_STREAM was sent.
    Ended,
}

/// Who looks after a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Its request.
    Request,
    /// Nobody: the request is finished, and nothing more is written.
    Finished,
    /// The connection, until the response has left.
    Sending,
    /// The connection, until the client has ended the body.
    Lingering,
}

impl<C: Carrier> Stream<C> {
    /// No more is written of the response.
    pub(super) fn is_complete(&self) -> bool {
        self.response_state.get() >= ResponseState::Complete
    }

    /// END_STREAM was sent.
    pub(super) fn is_ended(&self) -> bool {
        self.response_state.get() == ResponseState::Ended
    }

    /// No more is written of the response. True: that was so before.
    pub(super) fn complete(&self) -> bool {
        let before = self.is_complete();
        if !before {
            self.response_state.set(ResponseState::Complete);
        }
        before
    }

    /// The request is finished.
    pub(super) fn is_finished(&self) -> bool {
        self.stage.get() >= Stage::Finished
    }
}
