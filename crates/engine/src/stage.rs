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
        if request.with_location(|own| own.is_idle_in(&[Phase::PostRead, Phase::ServerRewrite])) {
            Stage::FindConfig
        } else if request.flags.internal.get() {
            Stage::ServerRewrite
        } else {
            Stage::first_busy(request)
        }
    }

    /// The first stage at a server that does something before a location is searched. Hooks of the beginning alone are no reason to go through phases.
    #[inline(never)]
    fn first_busy(request: &Request) -> Stage {
        request.with_location(|own| {
            own.begin_hooks.iter().for_each(|hook| hook(request));
            if !own.handlers(Phase::PostRead).is_empty() {
                Stage::PostRead
            } else if !own.handlers(Phase::ServerRewrite).is_empty() {
                Stage::ServerRewrite
            } else {
                Stage::FindConfig
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
