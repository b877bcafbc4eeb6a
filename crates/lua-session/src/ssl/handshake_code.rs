//! Code that runs at one point of a handshake.

use crate::code::Code;
use crate::entry::{Entry, Run};
use crate::options::RunOptions;
use crate::protocol::Protocol;
use base::log::Level;
use lua::{Completion, LuaPhase};
use session::{Client, Configured, log_client};
use std::cell::OnceCell;
use std::rc::Rc;

/// How debug lines name it: before it runs, when it has ended, and what it answers.
pub(crate) type PhaseNames = (&'static str, &'static str, &'static str);

/// Code that runs at one moment of handshakes.
pub(crate) struct HandshakeCode<P: Protocol> {
    code: Option<Rc<Code<P::Session>>>,
    phase: LuaPhase,
    names: PhaseNames,
    entry: OnceCell<Rc<Entry<P>>>,
}

/// How code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is none.
    Absent,
    /// As it should.
    Well,
    /// By an error or `ngx.exit(ngx.ERROR)`.
    Badly,
}

/// Tells of a handshake that ends while its code waits.
struct Waiting<'a, S: Client> {
    session: &'a S,
    names: PhaseNames,
    is_over: bool,
}

impl<S: Client> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        if !self.is_over {
            let (_, name, callback) = self.names;
            log_client!(self.session, Level::Debug, "{name}: {callback} aborted");
        }
    }
}

impl<P: Protocol> HandshakeCode<P> {
    /// That of `code`, if there is any.
    pub(crate) fn new(code: &Option<Rc<Code<P::Session>>>, phase: LuaPhase, names: PhaseNames) -> HandshakeCode<P> {
        HandshakeCode { code: code.clone(), phase, names, entry: OnceCell::new() }
    }

    /// Whether there is code.
    pub(crate) fn has_code(&self) -> bool {
        self.code.is_some()
    }

    fn start(&self, session: &Rc<P::Session>, code: &Rc<Code<P::Session>>) -> Run<Completion> {
        let make = || Entry::of_session(&**session, code.clone(), self.phase);
        if self.phase == LuaPhase::PROXY_SSL_CERT || self.phase == LuaPhase::PROXY_SSL_VERIFY {
            // It runs for a client's request, in any of the locations that inherit it.
            let is_cached = session.conf::<RunOptions>().is_cached();
            let entry = if is_cached { self.entry.get_or_init(make).clone() } else { make() };
            return entry.run_to_end(session, |_| (), |_| 0, |_, _, ended| ended);
        }
        self.entry.get_or_init(make).run_beside(session)
    }

    /// Runs the code, if there is any.
    pub(crate) async fn run(&self, session: &Rc<P::Session>) -> Outcome {
        let Some(code) = &self.code else { return Outcome::Absent };
        let (before, name, callback) = self.names;
        log_client!(session, Level::Debug, "{before}: connection reusable: 0");
        let (outcome, waited) = match self.start(session, code) {
            Run::Now(outcome) => (outcome, false),
            Run::Wait(future) => {
                let mut waiting = Waiting { session: &**session, names: self.names, is_over: false };
                let outcome = future.await;
                waiting.is_over = true;
                (outcome, true)
            }
            Run::Refused(_) => return Outcome::Badly,
        };
        let result = match outcome {
            Completion::Returned => 0,
            Completion::Finished(code) => code,
            Completion::Failed(error) if self.phase == LuaPhase::SSL_SESS_STORE => {
                session.log(Level::Error, &[b"failed to run session_store_by_lua*: ".as_slice(), &error.message].concat());
                -1
            }
            Completion::Failed(error) => {
                session.log(Level::Error, &[b"lua entry thread aborted: ".as_slice(), &error.log_text()].concat());
                500
            }
        };
        P::set_apart(session, None);
        let well = (0..300).contains(&result);
        if self.phase == LuaPhase::SSL_SESS_STORE {
            // Whatever it says, the session stands.
            log_client!(session, Level::Debug, "{name}: handler return value: 0, {callback} exit code: 0");
        } else if waited {
            log_client!(session, Level::Debug, "{name}: {callback} exit code: {}", i32::from(well));
        } else {
            log_client!(session, Level::Debug, "{name}: handler return value: {result}, {callback} exit code: {}", i32::from(well));
        }
        if well { Outcome::Well } else { Outcome::Badly }
    }
}
