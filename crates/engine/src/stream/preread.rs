//! The preread phase: handlers look at the first bytes, which stay there for what comes behind (`ngx_stream_core_preread_phase`).

use base::log::Level;
use session::Outcome;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use stream::server::PrereadHandler;
use stream::{Preread, Session, log_session, status};

/// Runs a handler until it has its answer.
///
/// # Errors
/// The status that the session ends with.
pub(super) async fn run(session: &Rc<Session>, handler: &PrereadHandler) -> Result<Outcome, u16> {
    session.action.set("prereading client data");
    let core = session.core();
    let most = core.preread_buffer_size();
    // More may have come at once than the buffer would hold; that is not looked at.
    session.show_preread(most);
    let outcome = look(session, handler, most, core.preread_timeout()).await;
    session.show_preread(usize::MAX);
    outcome
}

async fn look(session: &Rc<Session>, handler: &PrereadHandler, most: usize, timeout: u64) -> Result<Outcome, u16> {
    let mut limit = session.limit(timeout);
    loop {
        match (handler.run)(session) {
            Preread::Now(outcome) => return Ok(outcome),
            Preread::Wait(future) => return Ok(future.await),
            Preread::More => {}
        }
        if session.preread().len() >= most {
            log_session!(session, Level::Error, "preread buffer full");
            return Err(status::BAD_REQUEST);
        }
        let more = poll_fn(|cx| {
            if let Poll::Ready(read) = session.poll_preread(cx) {
                return Poll::Ready(Some(read));
            }
            ready!(limit.poll(cx));
            Poll::Ready(None)
        });
        match more.await {
            Some(Ok(1..)) => {}
            // Time is up, or the client has gone: nginx calls that an ordinary end.
            None | Some(Ok(0)) => return Err(status::OK),
            Some(Err(error)) => {
                log_session!(session, Level::Info, "recv() failed {}", base::errno::describe(&error));
                return Err(status::OK);
            }
        }
    }
}
