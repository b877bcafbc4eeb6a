//! Code for one moment of handshakes.

use crate::code::Code;
use crate::options::Options;
use crate::phase::entry::{Entry, Run};
use base::log::Level;
use http::{Request, log_request};
use lua::{Completion, LuaPhase};
use std::cell::OnceCell;
use std::rc::Rc;

/// How debug lines name it: before it runs, when it has ended, and what it answers.
pub(crate) type Names = (&'static str, &'static str, &'static str);

/// Code that runs at one moment of handshakes.
pub(crate) struct Moment {
    code: Option<Rc<Code>>,
    phase: LuaPhase,
    names: Names,
    entry: OnceCell<Rc<Entry>>,
}

/// How code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There is none.
    Absent,
    /// As it should.
    Well,
    /// By an error or `ngx.exit(ngx.ERROR)`.
    Badly,
}

/// Tells of a handshake that ends while its code waits.
struct Waiting<'a> {
    request: &'a Request,
    names: Names,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let (_, name, callback) = self.names;
            log_request!(self.request, Level::Debug, "{name}: {callback} aborted");
        }
    }
}

impl Moment {
    /// That of `code`, if there is any.
    pub(crate) fn new(code: &Option<Rc<Code>>, phase: LuaPhase, names: Names) -> Moment {
        Moment { code: code.clone(), phase, names, entry: OnceCell::new() }
    }

    /// Whether there is code.
    pub(crate) fn has_code(&self) -> bool {
        self.code.is_some()
    }

    fn start(&self, request: &Rc<Request>, code: &Rc<Code>) -> Run<Completion> {
        let make = || Entry::of_request(request, code.clone(), self.phase);
        if self.phase == LuaPhase::PROXY_SSL_CERT || self.phase == LuaPhase::PROXY_SSL_VERIFY {
            // It runs for a client's request, in any of the locations that inherit it.
            let is_cached = request.conf::<Options>().code_cache.unwrap_or(true);
            let entry = if is_cached { self.entry.get_or_init(make).clone() } else { make() };
            return entry.run_to_end(request, |_| (), |_| 0, |_, _, ended| ended);
        }
        self.entry.get_or_init(make).run_beside(request)
    }

    /// Runs the code, if there is any.
    pub(crate) async fn run(&self, request: &Rc<Request>) -> Ended {
        let Some(code) = &self.code else { return Ended::Absent };
        let (before, name, callback) = self.names;
        log_request!(request, Level::Debug, "{before}: connection reusable: 0");
        let (outcome, waited) = match self.start(request, code) {
            Run::Now(outcome) => (outcome, false),
            Run::Wait(future) => {
                let mut waiting = Waiting { request, names: self.names, is_over: false };
                let outcome = future.await;
                waiting.is_over = true;
                (outcome, true)
            }
            Run::Refused(_) => return Ended::Badly,
        };
        let result = match outcome {
            Completion::Returned => 0,
            Completion::Finished(code) => code,
            Completion::Failed(error) if self.phase == LuaPhase::SSL_SESS_STORE => {
                request.log(Level::Error, &[b"failed to run session_store_by_lua*: ".as_slice(), &error.message].concat());
                -1
            }
            Completion::Failed(error) => {
                request.log(Level::Error, &[b"lua entry thread aborted: ".as_slice(), &error.log_text()].concat());
                500
            }
        };
        let well = (0..300).contains(&result);
        if self.phase == LuaPhase::SSL_SESS_STORE {
            // Whatever it says, the session stands.
            log_request!(request, Level::Debug, "{name}: handler return value: 0, {callback} exit code: 0");
        } else if waited {
            log_request!(request, Level::Debug, "{name}: {callback} exit code: {}", i32::from(well));
        } else {
            log_request!(request, Level::Debug, "{name}: handler return value: {result}, {callback} exit code: {}", i32::from(well));
        }
        if well { Ended::Well } else { Ended::Badly }
    }
}
