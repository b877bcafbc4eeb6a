//! A handler that answers its phase: from the request to the chunk, and from the chunk's end to the phase's answer.

use crate::abort;
use crate::code::Code;
use crate::dev_page;
use crate::exit;
use crate::host::Requests;
use crate::options::Options;
use crate::state::State;
use http::location::Handler;
use http::output::then;
use http::{Attach, Outcome, Request, Step, body};
use lua::{Job, LuaPhase, Started};
use lua_session::entry::{Refusal, has_failed};
use std::rc::Rc;

pub use lua_session::Run;

/// A handler's code at one location.
pub type Entry = lua_session::Entry<Requests>;

/// What a handler's end means for its phase.
pub type Finish = fn(&Rc<Request>, &Rc<State>, lua::Completion) -> Step;

/// A handler that answers its phase, and may wait.
pub(crate) struct PhaseHandler {
    entry: Rc<Entry>,
    need_body: bool,
    watches_client: bool,
}

fn outcome(refusal: &Refusal) -> Outcome {
    Outcome::Status(refusal.status)
}

impl PhaseHandler {
    /// The handler of `code` in `phase`.
    pub(crate) fn new(place: &Attach<'_>, code: Rc<Code>, phase: LuaPhase) -> Rc<PhaseHandler> {
        let entry = Entry::new(place, code, phase);
        let watches_client = entry.options().check_client_abort == Some(true);
        Rc::new(PhaseHandler { entry, need_body: place.conf::<Options>().need_body == Some(true), watches_client })
    }

    /// Joins a phase: last, or before all other handlers.
    pub(crate) fn join(self: Rc<Self>, place: &mut Attach<'_>, phase: http::Phase, finish: Finish, first: bool) {
        let run = move |request: &Rc<Request>| {
            if self.entry.phase() == LuaPhase::REWRITE && request.progress.uri_changed.get() {
                // A rewrite before it leads to another location.
                return Step::Now(Outcome::Declined);
            }
            self.run(request, finish)
        };
        if !first {
            return place.phase(phase, run);
        }
        if let Some(handlers) = place.parts.phases.get_mut(phase as usize) {
            handlers.insert(0, Handler { order: 0, run: Rc::new(run) });
        }
    }

    /// Runs a handler that may wait.
    pub(crate) fn run(self: &Rc<Self>, request: &Rc<Request>, finish: Finish) -> Step {
        if self.need_body && request.is_main() {
            let (entry, owned) = (self.clone(), request.clone());
            return then(body::read(request), move |read| match read {
                Outcome::Ok => entry.launch(&owned, finish),
                other => Step::Now(other),
            });
        }
        self.launch(request, finish)
    }

    fn launch(self: &Rc<Self>, request: &Rc<Request>, finish: Finish) -> Step {
        let phase = self.entry.phase();
        let (host, chunk) = match self.entry.prepare(request, State::of(request)) {
            Ok(ready) => ready,
            Err(refusal) if dev_page::is_wanted(request) => return dev_page::send(request, phase.name, &refusal.error),
            Err(refusal) => return Step::Now(outcome(&refusal)),
        };
        let state = host.state.clone();
        state.phase.set(phase.name);
        if phase == LuaPhase::CONTENT {
            state.in_content.set(true);
        }
        match Job::start(&host.machine.vm, chunk, phase, host.clone()) {
            // lua-nginx-module takes a content handler that declines without having waited for one that is done.
            Started::Done(lua::Completion::Finished(exit::DECLINED)) if phase == LuaPhase::CONTENT => {
                self.entry.end(host, false);
                Step::Now(Outcome::Ok)
            }
            Started::Done(ended) => {
                self.entry.end(host, has_failed(&ended));
                complete(request, state, ended, finish)
            }
            Started::Waiting(job) => {
                let (request, handler) = (request.clone(), self.clone());
                Step::wait(|| async move {
                    let ended = match handler.watches_client {
                        true => abort::watched(job, &request, &state).await,
                        false => job.await,
                    };
                    handler.entry.end(host, has_failed(&ended));
                    complete(&request, state, ended, finish).finish().await
                })
            }
        }
    }
}

/// Waits for output that began where nothing could wait, then answers the phase.
fn complete(request: &Rc<Request>, state: Rc<State>, ended: lua::Completion, finish: Finish) -> Step {
    let pending = state.pending.borrow_mut().take();
    match pending {
        None if state.refused.get() != 0 => Step::Now(Outcome::Status(state.refused.take())),
        None => finish(request, &state, ended),
        Some(output) => {
            let request = request.clone();
            Step::wait(|| async move {
                output.await;
                match state.refused.take() {
                    0 => finish(&request, &state, ended).finish().await,
                    status => Outcome::Status(status),
                }
            })
        }
    }
}
