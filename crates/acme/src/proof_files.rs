//! Proofs by HTTP: every server answers requests for them (RFC 8555, 8.3).

use crate::challenge::ChallengeKind;
use crate::registry::Registry;
use crate::zone::Zone;
use base::log::Level;
use conf::tree::Error;
use http::method::Method;
use http::{Attach, Outcome, Phase, Request, Step, log_request};
use std::rc::Rc;

/// Where ACME servers look.
const FILES: &[u8] = b"/.well-known/acme-challenge/";

/// Answers requests for files in all servers, before anything else looks at them.
pub(crate) fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let registry = at.main_conf::<Registry>();
    if at.is_server
        && registry.uses_challenge(ChallengeKind::Http)
        && let Some(zone) = registry.zone()
    {
        at.phase(Phase::PostRead, move |request| serve(request, &zone));
    }
    Ok(())
}

fn serve(request: &Rc<Request>, zone: &Zone) -> Step {
    if request.method() != Method::GET || !request.is_main() {
        return Step::Now(Outcome::Declined);
    }
    let token = request.line.borrow().uri.strip_prefix(FILES).map(|token| String::from_utf8_lossy(token).into_owned());
    let Some(token) = token else { return Step::Now(Outcome::Declined) };
    match zone.token(&token) {
        Some(proof) => {
            log_request!(request, Level::Debug, "acme/http-01: challenge for {token}");
            request.respond(200, b"text/plain", proof)
        }
        None => {
            log_request!(request, Level::Debug, "acme/http-01: no challenge registered for {token}");
            Step::Now(Outcome::Declined)
        }
    }
}
