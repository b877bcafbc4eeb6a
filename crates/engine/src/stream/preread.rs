//! The preread phase: handlers inspect the first bytes, which remain available to later phases.

use session::Outcome;
use std::rc::Rc;
use stream::PrereadHandler;
use stream::preread::PrereadLimits;
use stream::{Preread, Session};

/// Runs a handler until it has its response.
///
/// # Errors
/// The status that the session ends with.
pub(super) async fn run(session: &Rc<Session>, handler: &PrereadHandler) -> Result<Outcome, u16> {
    session.action.set("prereading client data");
    let mut patience = PrereadLimits::of(session, &session.core());
    // More may have come at once than the buffer would hold; that is not looked at.
    session.show_preread(patience.most);
    let outcome = wait_for(session, handler, &mut patience).await;
    session.show_preread(usize::MAX);
    outcome
}

async fn wait_for(session: &Rc<Session>, handler: &PrereadHandler, patience: &mut PrereadLimits) -> Result<Outcome, u16> {
    loop {
        match (handler.run)(session) {
            Preread::Now(outcome) => return Ok(outcome),
            Preread::Wait(future) => return Ok(future.await),
            Preread::More => patience.wait(session).await?,
        }
    }
}
