//! The position of a request: nginx's phases and the stages between them.

use http::{Outcome, Phase, Request};

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
    /// Where a request begins. Phases that its server does not use are passed by in one step.
    pub(crate) fn first(request: &Request) -> Stage {
        let is_internal = request.flags.internal.get();
        request.with_location(|own| {
            if !is_internal {
                own.zones.begun(request);
            }
            if own.is_idle_in(&[Phase::PostRead, Phase::ServerRewrite]) {
                Stage::FindConfig
            } else if is_internal {
                Stage::ServerRewrite
            } else {
                Stage::PostRead
            }
        })
    }

    /// Where a request goes on in a location that was found: at the content, if the location uses no phase before it.
    pub(crate) fn in_location(request: &Request) -> Stage {
        const BEFORE_CONTENT: [Phase; 4] = [Phase::Rewrite, Phase::Preaccess, Phase::Access, Phase::Precontent];
        let idle = request.with_location(|location| location.is_idle_in(&BEFORE_CONTENT));
        if idle && request.progress.access_code.get() == 0 { Stage::ContentHandler } else { Stage::Rewrite }
    }

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
