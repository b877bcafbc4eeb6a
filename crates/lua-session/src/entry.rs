//! A handler's run: from the session to the chunk, and from the chunk's end to what its phase makes of it.

use crate::code::Code;
use crate::host::Host;
use crate::machines::machine_for;
use crate::options::RunOptions;
use crate::protocol::Protocol;
use base::log::Level;
use lua::{ChunkId, Completion, Job, LuaError, LuaPhase, Stack, Started};
use lua_lib::{Machine, Runtime};
use session::{BoxFuture, Client, Configured, Join};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use sys::boxed::pinned;

/// A handler's code at one location or server.
pub struct Entry<P: Protocol> {
    runtime: Rc<Runtime>,
    options: Rc<RunOptions>,
    code: Rc<Code<P::Session>>,
    phase: LuaPhase,
    /// Hosts for the next sessions.
    hosts: RefCell<Vec<Rc<Host<P>>>>,
    /// What hosts without a session hold in the place of its state.
    blank: Rc<P::State>,
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

/// Code that cannot run, which has been logged: what to answer, and why.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The cause.
    pub error: LuaError,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

fn with_leave(phase: LuaPhase, options: &RunOptions) -> LuaPhase {
    if options.yield_everywhere == Some(true) && !phase.yields { phase.waiting() } else { phase }
}

/// Most hosts that a handler keeps.
const IDLE_HOSTS: usize = 64;

impl<P: Protocol> Entry<P> {
    /// The handler of `code` in `phase`.
    pub fn new(place: &impl Join<P::Session>, code: Rc<Code<P::Session>>, phase: LuaPhase) -> Rc<Entry<P>> {
        Entry::create(place.main_conf(), place.conf(), code, phase)
    }

    /// A handler whose location is known only when it runs (`set_by_lua*`).
    pub fn of_session(session: &P::Session, code: Rc<Code<P::Session>>, phase: LuaPhase) -> Rc<Entry<P>> {
        Entry::create(session.main_conf(), session.conf(), code, phase)
    }

    fn create(runtime: Rc<Runtime>, options: Rc<RunOptions>, code: Rc<Code<P::Session>>, phase: LuaPhase) -> Rc<Entry<P>> {
        let phase = with_leave(phase, &options);
        Rc::new(Entry { runtime, options, code, phase, hosts: RefCell::default(), blank: Rc::default() })
    }

    /// The phase, with leave to wait where the configuration gives it.
    pub fn phase(&self) -> LuaPhase {
        self.phase
    }

    /// The switches in force.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// Whether the code may wait: always in some phases, by `lua_yield_in_all_phases` in the others.
    pub fn may_wait(&self) -> bool {
        self.phase.yields
    }

    /// A host for a run of `session`.
    fn host(&self, session: &Rc<P::Session>, machine: Rc<Machine>, state: Rc<P::State>) -> Rc<Host<P>> {
        let idle = self.hosts.borrow_mut().pop();
        let mut host = idle.unwrap_or_else(|| {
            let worker = P::worker_of(session);
            Rc::new(Host::<P>::without_session(self.runtime.clone(), machine.clone(), Some(worker.clone()), worker.log.clone()))
        });
        if let Some(host) = Rc::get_mut(&mut host) {
            host.enter(session.clone(), machine, state);
        }
        host
    }

    /// A run has ended: takes its host back, unless it is still referenced.
    pub fn end(&self, mut host: Rc<Host<P>>, failed: bool) {
        if let Some(worker) = &host.worker {
            P::ended(worker, failed);
        }
        let Some(inner) = Rc::get_mut(&mut host) else { return };
        inner.detach(&self.blank);
        if let Some(common) = self.runtime.machine.get().filter(|common| !Rc::ptr_eq(common, &inner.machine)) {
            // One session's own machine ends with it.
            inner.machine.clone_from(common);
        }
        let mut hosts = self.hosts.borrow_mut();
        if hosts.len() < IDLE_HOSTS {
            hosts.push(host);
        }
    }

    /// A host and the chunk for a run.
    ///
    /// # Errors
    /// The code cannot be loaded; that has been logged.
    pub fn prepare(&self, session: &Rc<P::Session>, state: Rc<P::State>) -> Result<(Rc<Host<P>>, ChunkId), Refusal> {
        if session.log_enabled(Level::Debug) {
            P::announce(session, self.phase);
        }
        let cached = self.options.is_cached();
        let machine = match machine_for::<P>(&self.runtime, session, (*state).as_ref(), cached) {
            Ok(machine) => machine,
            Err(error) => {
                session.log(Level::Error, &error.log_text());
                return Err(Refusal { status: 500, error });
            }
        };
        match self.code.load(&machine, Some(session), session.paths(), cached) {
            Ok(chunk) => Ok((self.host(session, machine, state), chunk)),
            Err(failed) => Err(Refusal { status: failed.report(&**session), error: failed.error }),
        }
    }

    /// Runs code that has leave to wait in a phase whose code cannot otherwise. `before` prepares the host, `push` the
    /// arguments, and `after` makes the phase's answer of the host; an error has been logged by then.
    pub fn run_waiting<T: 'static>(
        self: &Rc<Self>,
        session: &Rc<P::Session>,
        before: impl FnOnce(&Host<P>),
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        after: impl FnOnce(&Rc<P::Session>, &Host<P>, Result<(), LuaError>) -> T + 'static,
    ) -> Run<T> {
        let phase = self.phase;
        self.run_to_end(session, before, push, move |session, host, ended| after(session, host, check(&**session, phase, ended)))
    }

    /// As [`Entry::run_waiting`], for an `after` that evaluates the end itself. An error has not been logged by then.
    pub fn run_to_end<T: 'static>(
        self: &Rc<Self>,
        session: &Rc<P::Session>,
        before: impl FnOnce(&Host<P>),
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        after: impl FnOnce(&Rc<P::Session>, &Host<P>, Completion) -> T + 'static,
    ) -> Run<T> {
        let (host, chunk) = match self.prepare(session, P::state_of(session)) {
            Ok(ready) => ready,
            Err(refusal) => return Run::Refused(refusal.error),
        };
        before(&host);
        match Job::start_with(&host.machine.vm, chunk, self.phase, host.clone(), push) {
            Started::Done(ended) => {
                let failed = has_failed(&ended);
                let answer = after(session, &host, ended);
                self.end(host, failed);
                Run::Now(answer)
            }
            Started::Waiting(job) => {
                let (session, entry) = (session.clone(), self.clone());
                Run::Wait(pinned(|| async move {
                    let ended = job.await;
                    let failed = has_failed(&ended);
                    let answer = after(&session, &host, ended);
                    entry.end(host, failed);
                    answer
                }))
            }
        }
    }

    /// Runs code for which no client waits. Its end is the caller's to evaluate; that it cannot be loaded has been logged.
    pub(crate) fn run_beside(self: &Rc<Self>, session: &Rc<P::Session>) -> Run<Completion> {
        P::set_apart(session, Some(self.phase));
        let (host, chunk) = match self.prepare(session, P::state_of(session)) {
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
                Run::Wait(pinned(|| async move {
                    let ended = job.await;
                    entry.end(host, has_failed(&ended));
                    ended
                }))
            }
        }
    }

    /// Runs code that cannot wait: filters, `set_by_lua*`, logging. `before` prepares the host, `read` gets the
    /// results and the host; `state` is the session's.
    ///
    /// # Errors
    /// The code cannot be loaded or failed; the line has been logged.
    pub fn run_now<T>(
        &self,
        session: &Rc<P::Session>,
        state: Rc<P::State>,
        before: impl FnOnce(&Host<P>),
        push: impl FnOnce(&mut Stack<'_>) -> usize,
        read: impl FnOnce(&mut Stack<'_>) -> T,
        after: impl FnOnce(&Host<P>),
    ) -> Result<T, LuaError> {
        let (host, chunk) = self.prepare(session, state).map_err(|refusal| refusal.error)?;
        before(&host);
        let result = host.machine.vm.run_now(chunk, self.phase, Some(host.clone()), push, read);
        after(&host);
        self.end(host, result.is_err());
        result.inspect_err(|error| report(&**session, self.phase, error))
    }
}

/// Whether code has ended by an error.
pub fn has_failed(ended: &Completion) -> bool {
    matches!(ended, Completion::Failed(_))
}

fn check(session: &impl Client, phase: LuaPhase, ended: Completion) -> Result<(), LuaError> {
    match ended {
        Completion::Failed(error) => {
            report(session, phase, &error);
            Err(*error)
        }
        Completion::Returned | Completion::Finished(_) => Ok(()),
    }
}

/// Logs why code of `phase` failed.
pub fn report(session: &impl Client, phase: LuaPhase, error: &LuaError) {
    let mut line = b"failed to run ".to_vec();
    line.extend_from_slice(phase.name.as_bytes());
    line.extend_from_slice(b": ");
    line.extend_from_slice(&error.message);
    if !error.traceback.is_empty() {
        line.push(b'\n');
        line.extend_from_slice(&error.traceback);
    }
    session.log(Level::Error, &line);
}
