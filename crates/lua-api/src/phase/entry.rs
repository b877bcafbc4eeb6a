//! A handler's run: from the request to the chunk, and from the chunk's end to the phase's answer.

use crate::abort;
use crate::code::Code;
use crate::dev_page;
use crate::exit;
use crate::host::Host;
use crate::machines::machine_for;
use crate::options::Options;
use crate::state::State;
use base::log::Level;
use http::location::Handler;
use http::output::then;
use http::{Attach, BoxFuture, Outcome, Request, Step, body};
use lua::{Job, LuaError, LuaPhase, Stack, Started};
use lua_lib::Machine;
use lua_lib::Runtime;
use std::cell::RefCell;
use std::rc::Rc;

/// What a handler's end means for its phase.
pub type Finish = fn(&Rc<Request>, &Rc<State>, lua::Completion) -> Step;

/// A handler's code at one location.
pub struct Entry {
    runtime: Rc<Runtime>,
    options: Rc<Options>,
    code: Rc<Code>,
    phase: LuaPhase,
    /// Hosts for the next requests.
    hosts: RefCell<Vec<Rc<Host>>>,
    /// What hosts without a request hold in the place of its state.
    blank: Rc<State>,
}

/// What [`Entry::run_waiting`] gives.
pub enum Run<T> {
    /// The code did not wait.
    Now(T),
    /// It waits.
    Wait(BoxFuture<T>),
    /// It cannot be loaded; that has been logged.
    Refused(LuaError),
}

fn with_leave(phase: LuaPhase, options: &Options) -> LuaPhase {
    if options.yield_everywhere == Some(true) && !phase.yields { phase.waiting() } else { phase }
}

/// Says at debug level which code is about to run.
fn note(request: &Request, phase: LuaPhase) {
    if !request.purpose.get().is_empty() {
        return;
    }
    let name = match phase.bit {
        bit if bit == LuaPhase::HEADER_FILTER.bit => "header filter",
        bit if bit == LuaPhase::BODY_FILTER.bit => "body filter",
        bit if bit == LuaPhase::SET.bit => return,
        _ => "",
    };
    let uri = String::from_utf8_lossy(&request.line.borrow().uri).into_owned();
    let line = match name {
        "" => format!("lua {} handler, uri:\"{uri}\" c:1", phase.name.trim_end_matches("_by_lua*").replace('_', " ")),
        filter => format!("lua {filter} for user lua code, uri \"{uri}\""),
    };
    request.log(Level::Debug, line.as_bytes());
}

/// Code that cannot run, which has been logged: what to answer, and why.
struct Refusal {
    status: u16,
    error: LuaError,
}

impl Refusal {
    fn outcome(&self) -> Outcome {
        Outcome::Status(self.status)
    }
}

/// Most hosts that a handler keeps.
const IDLE_HOSTS: usize = 64;

impl Entry {
    /// The handler of `code` in `phase`.
    pub fn new(place: &Attach<'_>, code: Rc<Code>, phase: LuaPhase) -> Rc<Entry> {
        let options = place.conf::<Options>();
        let phase = with_leave(phase, &options);
        Rc::new(Entry { runtime: place.main_conf::<Runtime>(), options, code, phase, hosts: RefCell::default(), blank: Rc::default() })
    }

    /// Joins a phase: last, or before all other handlers.
    pub fn join(self: Rc<Self>, place: &mut Attach<'_>, phase: http::Phase, finish: Finish, first: bool) {
        let run = move |request: &Rc<Request>| {
            if self.phase == LuaPhase::REWRITE && request.progress.uri_changed.get() {
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

    /// A handler whose location is known only when it runs (`set_by_lua*`).
    pub fn of_request(request: &Request, code: Rc<Code>, phase: LuaPhase) -> Rc<Entry> {
        let runtime = request.http.main.share::<Runtime>().unwrap_or_default();
        let options = request.conf::<Options>();
        let phase = with_leave(phase, &options);
        Rc::new(Entry { runtime, options, code, phase, hosts: RefCell::default(), blank: Rc::default() })
    }

    /// Whether the code may wait: always in some phases, by `lua_yield_in_all_phases` in the others.
    pub fn may_wait(&self) -> bool {
        self.phase.yields
    }

    /// A host for a run of `request`.
    fn lend(&self, request: &Rc<Request>, machine: Rc<Machine>, state: Rc<State>) -> Rc<Host> {
        let idle = self.hosts.borrow_mut().pop();
        let mut host = idle.unwrap_or_else(|| {
            let log = request.worker.log.clone();
            Rc::new(Host::without_request(self.runtime.clone(), machine.clone(), Some(request.worker.clone()), log))
        });
        if let Some(host) = Rc::get_mut(&mut host) {
            host.request = Some(request.clone());
            host.machine = machine;
            host.state = state;
        }
        host
    }

    /// A run has ended: takes its host back, unless somebody still looks at it.
    fn end(&self, mut host: Rc<Host>, failed: bool) {
        if let Some(worker) = &host.worker {
            worker.observers.lua_handler_ended(failed);
        }
        let Some(inner) = Rc::get_mut(&mut host) else { return };
        inner.request = None;
        inner.state.clone_from(&self.blank);
        if let Some(common) = self.runtime.machine.get().filter(|common| !Rc::ptr_eq(common, &inner.machine)) {
            // One request's own machine ends with it.
            inner.machine = common.clone();
        }
        let mut hosts = self.hosts.borrow_mut();
        if hosts.len() < IDLE_HOSTS {
            hosts.push(host);
        }
    }

    fn prepare(&self, request: &Rc<Request>, state: Rc<State>) -> Result<(Rc<Host>, lua::ChunkId), Refusal> {
        if request.log_enabled(Level::Debug) {
            note(request, self.phase);
        }
        let cached = self.options.code_cache.unwrap_or(true);
        let machine = match machine_for(&self.runtime, request, &state, cached) {
            Ok(machine) => machine,
            Err(error) => {
                request.log(Level::Error, &error.log_text());
                return Err(Refusal { status: 500, error });
            }
        };
        match self.code.load(&machine, Some(request), &request.http.paths, cached) {
            Ok(chunk) => Ok((self.lend(request, machine, state), chunk)),
            Err(failed) => Err(Refusal { status: failed.report(request), error: failed.error }),
        }
    }

    /// Runs a handler that may wait.
    pub fn run(self: &Rc<Self>, request: &Rc<Request>, finish: Finish) -> Step {
        if self.options.need_body == Some(true) && request.is_main() {
            let (entry, owned) = (self.clone(), request.clone());
            return then(body::read(request), move |read| match read {
                Outcome::Ok => entry.launch(&owned, finish),
                other => Step::Now(other),
            });
        }
        self.launch(request, finish)
    }

    fn launch(self: &Rc<Self>, request: &Rc<Request>, finish: Finish) -> Step {
        let (host, chunk) = match self.prepare(request, State::of(request)) {
            Ok(ready) => ready,
            Err(refusal) if dev_page::is_wanted(request) => return dev_page::send(request, self.phase.name, &refusal.error),
            Err(refusal) => return Step::Now(refusal.outcome()),
        };
        let state = host.state.clone();
        state.phase.set(self.phase.name);
        if self.phase == LuaPhase::CONTENT {
            state.in_content.set(true);
        }
        match Job::start(&host.machine.vm, chunk, self.phase, host.clone()) {
            // lua-nginx-module takes a content handler that declines without having waited for one that is done.
            Started::Done(lua::Completion::Finished(exit::DECLINED)) if self.phase == LuaPhase::CONTENT => {
                self.end(host, false);
                Step::Now(Outcome::Ok)
            }
            Started::Done(ended) => {
                self.end(host, has_failed(&ended));
                settle(request, state, ended, finish)
            }
            Started::Waiting(job) => {
                let (request, entry) = (request.clone(), self.clone());
                Step::wait(async move {
                    let ended = match entry.options.check_client_abort {
                        Some(true) => abort::watched(job, &request, &state).await,
                        _ => job.await,
                    };
                    entry.end(host, has_failed(&ended));
                    settle(&request, state, ended, finish).finish().await
                })
            }
        }
    }

    /// Runs code that has leave to wait in a phase whose code cannot otherwise. `before` prepares the host, `push` the
    /// arguments, and `after` makes the phase's answer of the host; an error has been logged by then.
    pub fn run_waiting<T: 'static>(
        self: &Rc<Self>,
        request: &Rc<Request>,
        before: impl FnOnce(&Host),
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        after: impl FnOnce(&Rc<Request>, &Host, Result<(), LuaError>) -> T + 'static,
    ) -> Run<T> {
        let phase = self.phase;
        self.run_to_end(request, before, push, move |request, host, ended| after(request, host, judge(request, phase, ended)))
    }

    /// As [`Entry::run_waiting`], for an `after` that judges the end itself. An error has not been logged by then.
    pub fn run_to_end<T: 'static>(
        self: &Rc<Self>,
        request: &Rc<Request>,
        before: impl FnOnce(&Host),
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        after: impl FnOnce(&Rc<Request>, &Host, lua::Completion) -> T + 'static,
    ) -> Run<T> {
        let (host, chunk) = match self.prepare(request, State::of(request)) {
            Ok(ready) => ready,
            Err(refusal) => return Run::Refused(refusal.error),
        };
        before(&host);
        match Job::start_with(&host.machine.vm, chunk, self.phase, host.clone(), push) {
            Started::Done(ended) => {
                let failed = has_failed(&ended);
                let answer = after(request, &host, ended);
                self.end(host, failed);
                Run::Now(answer)
            }
            Started::Waiting(job) => {
                let (request, entry) = (request.clone(), self.clone());
                Run::Wait(Box::pin(async move {
                    let ended = job.await;
                    let failed = has_failed(&ended);
                    let answer = after(&request, &host, ended);
                    entry.end(host, failed);
                    answer
                }))
            }
        }
    }

    /// Runs code for which no client waits. Its end is the caller's to judge; that it cannot be loaded has been logged.
    pub fn run_beside(self: &Rc<Self>, request: &Rc<Request>) -> Run<lua::Completion> {
        request.purpose.set(self.phase.name);
        let (host, chunk) = match self.prepare(request, State::of(request)) {
            Ok(ready) => ready,
            Err(refusal) => return Run::Refused(refusal.error),
        };
        match Job::start(&host.machine.vm, chunk, self.phase, host.clone()) {
            Started::Done(ended) => {
                self.end(host, has_failed(&ended));
                Run::Now(ended)
            }
            Started::Waiting(job) => {
                let entry = self.clone();
                Run::Wait(Box::pin(async move {
                    let ended = job.await;
                    entry.end(host, has_failed(&ended));
                    ended
                }))
            }
        }
    }

    /// Runs code that cannot wait: filters, `set_by_lua*`, logging. `before` prepares the host, `read` gets the
    /// results and the host; `state` is the request's.
    ///
    /// # Errors
    /// The code cannot be loaded or failed; the line has been logged.
    pub fn run_now<T>(
        &self,
        request: &Rc<Request>,
        state: Rc<State>,
        before: impl FnOnce(&Host),
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        read: impl FnOnce(&mut Stack<'_>) -> T,
        after: impl FnOnce(&Host),
    ) -> Result<T, LuaError> {
        let (host, chunk) = self.prepare(request, state).map_err(|refusal| refusal.error)?;
        before(&host);
        let result = host.machine.vm.run_now(chunk, self.phase, Some(host.clone()), push, read);
        after(&host);
        self.end(host, result.is_err());
        result.inspect_err(|error| report(request, self.phase, error))
    }
}

fn has_failed(ended: &lua::Completion) -> bool {
    matches!(ended, lua::Completion::Failed(_))
}

fn judge(request: &Request, phase: LuaPhase, ended: lua::Completion) -> Result<(), LuaError> {
    match ended {
        lua::Completion::Failed(error) => {
            report(request, phase, &error);
            Err(*error)
        }
        lua::Completion::Returned | lua::Completion::Finished(_) => Ok(()),
    }
}

/// Logs why code of `phase` failed.
pub fn report(request: &Request, phase: LuaPhase, error: &LuaError) {
    let mut line = b"failed to run ".to_vec();
    line.extend_from_slice(phase.name.as_bytes());
    line.extend_from_slice(b": ");
    line.extend_from_slice(&error.message);
    if !error.traceback.is_empty() {
        line.push(b'\n');
        line.extend_from_slice(&error.traceback);
    }
    request.log(Level::Error, &line);
}

/// Waits for output that began where nothing could wait, then answers the phase.
fn settle(request: &Rc<Request>, state: Rc<State>, ended: lua::Completion, finish: Finish) -> Step {
    let pending = state.pending.borrow_mut().take();
    match pending {
        None if state.refused.get() != 0 => Step::Now(Outcome::Status(state.refused.take())),
        None => finish(request, &state, ended),
        Some(output) => {
            let request = request.clone();
            Step::wait(async move {
                output.await;
                match state.refused.take() {
                    0 => finish(&request, &state, ended).finish().await,
                    status => Outcome::Status(status),
                }
            })
        }
    }
}
