//! The run of a handler that may wait: the code, its output, and the detection of a client that disconnects.

use crate::host::Sessions;
use crate::state::{Client, State};
use base::log::Level;
use lua::{Completion, Job, LuaPhase, Started};
use lua_lib::socket::state::Direction;
use lua_session::entry::has_failed;
use lua_session::{Code, Entry};
use session::{Outcome, Step};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use stream::{Attach, Session, log_session, status};

/// `ngx.ERROR`
pub(crate) const ERROR: i32 = -1;

/// What the end of code means for its phase.
pub(crate) type Finish = fn(&Completion) -> Outcome;

/// A handler that may wait.
pub(crate) struct Handler {
    entry: Rc<Entry<Sessions>>,
    watches_client: bool,
    finish: Finish,
}

impl Handler {
    /// The handler of `code` in `phase`; `finish` says what its end means.
    pub(crate) fn new(place: &Attach<'_>, code: Rc<Code<Session>>, phase: LuaPhase, finish: Finish) -> Rc<Handler> {
        let entry = Entry::new(place, code, phase);
        let watches_client = entry.options().check_client_abort == Some(true);
        Rc::new(Handler { entry, watches_client, finish })
    }

    /// Runs it for a session.
    pub(crate) fn run(self: &Rc<Self>, session: &Rc<Session>) -> Step {
        let state = State::of(session);
        let Ok((host, chunk)) = self.entry.prepare(session, state.clone()) else {
            return Step::Now(Outcome::Status(status::INTERNAL_SERVER_ERROR));
        };
        let job = match Job::start(&host.machine.vm, chunk, self.entry.phase(), host.clone()) {
            Started::Done(ended) => {
                self.entry.end(host, has_failed(&ended));
                state.waiting.try_send(session);
                if state.waiting.is_empty() || has_failed(&ended) {
                    return Step::Now(self.outcome(session, &state, &ended));
                }
                let (handler, session) = (self.clone(), session.clone());
                return Step::wait(|| async move {
                    drain(&session, &state).await;
                    handler.outcome(&session, &state, &ended)
                });
            }
            Started::Waiting(job) => job,
        };
        let (handler, session) = (self.clone(), session.clone());
        Step::wait(|| async move {
            let ended = RunningCode { job, session: &session, state: &state, watches: handler.watches_client && !session.is_udp() }.await;
            handler.entry.end(host, has_failed(&ended));
            match has_failed(&ended) {
                // Nobody waits for a client of code that is broken.
                true => state.waiting.try_send(&session),
                false => drain(&session, &state).await,
            }
            handler.outcome(&session, &state, &ended)
        })
    }

    fn outcome(&self, session: &Session, state: &State, ended: &Completion) -> Outcome {
        if let Completion::Failed(error) = ended {
            session.log(Level::Error, &[b"lua entry thread aborted: ".as_slice(), &error.log_text()].concat());
        }
        let code = match ended {
            Completion::Returned => 0,
            Completion::Finished(code) => *code,
            Completion::Failed(_) => status::INTERNAL_SERVER_ERROR.into(),
        };
        if (self.entry.phase() == LuaPhase::CONTENT || code > 0) && session.log_enabled(Level::Debug) {
            log_session!(session, Level::Debug, "finalize stream request: {code}");
        }
        match state.cut_short.take() {
            Some(status) => Outcome::Status(status),
            None => (self.finish)(ended),
        }
    }
}

/// Sends what the code has said.
async fn drain(session: &Session, state: &State) {
    poll_fn(|cx| state.waiting.poll_send(session, cx)).await;
}

/// Code that waits.
struct RunningCode<'a> {
    job: Job,
    session: &'a Session,
    state: &'a State,
    /// `lua_check_client_abort`
    watches: bool,
}

impl Future for RunningCode<'_> {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completion> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut this.job).poll(cx) {
                return Poll::Ready(ended);
            }
            if this.state.cut_short.get().is_some() {
                return Poll::Ready(Completion::Finished(ERROR));
            }
            if !this.state.client.get().is_some_and(|client| client.is_sending()) {
                // Who waits for the end of it is woken by it.
                let _ = this.state.waiting.poll_send(this.session, cx);
            }
            if !this.watches || !is_gone(this.session, this.state, cx) {
                return Poll::Pending;
            }
            this.state.abort_known.set(true);
            log_session!(this.session, Level::Info, "stream client prematurely closed connection");
            if !this.job.wake_standby() {
                return Poll::Ready(Completion::Finished(ERROR));
            }
            log_session!(this.session, Level::Debug, "lua waking up the on_abort callback thread");
        }
    }
}

/// Whether the client has disconnected unnoticed. Received bytes that the code has not asked for are a sign of life, and
/// a reader finds out by itself.
fn is_gone(session: &Session, state: &State, cx: &mut Context<'_>) -> bool {
    let reading = |client: &Rc<Client>| client.socket.busy(&[Direction::Reading]).is_some() || client.has_ended();
    if state.abort_known.get() || state.client.get().is_some_and(reading) || (state.pulled.get() && !session.unread().is_empty()) {
        return false;
    }
    match session.poll_preread(cx) {
        Poll::Ready(Ok(0) | Err(_)) => true,
        Poll::Ready(Ok(_)) => {
            state.pulled.set(true);
            false
        }
        Poll::Pending => false,
    }
}
