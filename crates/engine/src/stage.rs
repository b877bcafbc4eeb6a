//! The position of a request: nginx's phases and the stages between them.

use http::{Outcome, Phase};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    PostRead,
    ServerRewrite,
    FindConfig,
    Rewrite,
    PostRewrite,
    Preaccess,
    Access,
    PostAccess,
    Precontent,
    ContentHandler,
    Content,
    Finalize(Outcome),
    Drain,
    Log,
    Done,
}

impl Stage {
    /// The phase whose handlers run here.
    pub(crate) fn phase(self) -> Option<Phase> {
        Some(match self {
            Stage::PostRead => Phase::PostRead,
            Stage::ServerRewrite => Phase::ServerRewrite,
            Stage::Rewrite => Phase::Rewrite,
            Stage::Preaccess => Phase::Preaccess,
            Stage::Access => Phase::Access,
            Stage::Precontent => Phase::Precontent,
            Stage::ContentHandler | Stage::Content => Phase::Content,
            _ => return None,
        })
    }
}
