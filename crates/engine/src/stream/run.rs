//! Drives a session through its phases (`ngx_stream_core_run_phases`).

use super::{preread, proxy_protocol};
use base::log::Level;
use session::{Outcome, Step};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use stream::{Phase, Session, log_session, status};

/// Runs a session until its content handler is done; what comes of it is the status for [`finish`]. A panic ends this session, not
/// the worker.
pub async fn run(session: Rc<Session>) -> u16 {
    match guarded(&session, || serve(&session)).await {
        Some(Ok(status) | Err(status)) => status,
        None => status::INTERNAL_SERVER_ERROR,
    }
}

/// Ends a session: status, log phase, cleanups, and the connection is closed. One that was passed on goes on as another's.
pub async fn finish(session: &Rc<Session>, status: u16) {
    if status == status::PASSED {
        unwound(session, || session.run_cleanups());
        return;
    }
    log_session!(session, Level::Debug, "finalize stream session: {status}");
    session.status.set(status);
    guarded(session, || log(session)).await;
    unwound(session, || session.run_cleanups());
    session.close();
}

/// What `work` gives; `None` if a handler panicked, which has been logged.
async fn guarded<W: Future>(session: &Session, work: impl FnOnce() -> W) -> Option<W::Output> {
    let mut work = pin!(work());
    poll_fn(|cx| match unwound(session, || work.as_mut().poll(cx)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

/// The same for what does not wait.
fn unwound<T>(session: &Session, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        log_session!(session, Level::Alert, "a handler panicked, the session is given up");
        session.worker.note_panic();
    }
    done.ok()
}

async fn log(session: &Rc<Session>) {
    let server = session.server();
    for handler in server.handlers(Phase::Log) {
        if let Step::Wait(future) = (handler.run)(session) {
            future.await;
        }
    }
}

async fn serve(session: &Rc<Session>) -> Result<u16, u16> {
    if session.endpoint.proxy_protocol {
        proxy_protocol::read(session).await?;
    }
    for phase in [Phase::PostAccept, Phase::Preaccess, Phase::Access, Phase::Ssl] {
        generic(session, phase).await?;
    }
    prereading(session).await?;
    content(session).await
}

/// Runs the handlers of a phase in the order of their modules. One may choose another server: the rest are that one's.
async fn generic(session: &Rc<Session>, phase: Phase) -> Result<(), u16> {
    let mut next = 0;
    loop {
        let server = session.server();
        let Some(handler) = server.handlers(phase).iter().find(|handler| handler.order >= next) else { return Ok(()) };
        next = handler.order + 1;
        log_session!(session, Level::Debug, "generic phase: {phase:?}");
        match (handler.run)(session).finish().await {
            Outcome::Declined => {}
            Outcome::Ok => return Ok(()),
            other => return Err(ending(other)),
        }
    }
}

async fn prereading(session: &Rc<Session>) -> Result<(), u16> {
    let mut next = 0;
    loop {
        let server = session.server();
        let Some(handler) = server.preread.iter().find(|handler| handler.order >= next) else { return Ok(()) };
        next = handler.order + 1;
        match preread::run(session, handler).await? {
            Outcome::Declined => {}
            Outcome::Ok => return Ok(()),
            other => return Err(ending(other)),
        }
    }
}

async fn content(session: &Rc<Session>) -> Result<u16, u16> {
    session.action.set("");
    let server = session.server();
    if server.core.tcp_nodelay.unwrap_or(true)
        && let Some(Err(error)) = session.with_stream(|stream| stream.set_no_delay(true))
    {
        log_session!(session, Level::Info, "setsockopt(TCP_NODELAY) failed {}", base::errno::describe(&error));
        return Err(status::INTERNAL_SERVER_ERROR);
    }
    let Some(handler) = &server.content else {
        log_session!(session, Level::Debug, "no handler for server");
        return Err(status::INTERNAL_SERVER_ERROR);
    };
    match handler(session).finish().await {
        Outcome::Done => Ok(status::PASSED),
        other => Ok(ending(other)),
    }
}

/// The status that a handler's answer ends the session with.
fn ending(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::Ok | Outcome::Declined | Outcome::Done => status::OK,
        Outcome::Error => status::INTERNAL_SERVER_ERROR,
        Outcome::Status(status) => status,
    }
}
