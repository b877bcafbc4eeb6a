//! What the end of a handler means for its request (`ngx_http_lua_handle_exit`).

use crate::dev_page;
use crate::send;
use crate::state::State;
use base::log::Level;
use http::output::then;
use http::{Outcome, Request, Step};
use std::rc::Rc;

/// `ngx.OK`
pub const OK: i32 = 0;
/// `ngx.ERROR`
pub const ERROR: i32 = -1;
/// `ngx.AGAIN`
pub const AGAIN: i32 = -2;
/// `ngx.DONE`: the request goes on elsewhere.
pub const DONE: i32 = -4;
/// `ngx.DECLINED`
pub const DECLINED: i32 = -5;

/// Whether the code gives up on the connection rather than answering.
pub fn aborts(code: i32) -> bool {
    matches!(code, ERROR | 408 | 444 | 499)
}

/// Why a handler cannot end itself while it waits for captured subrequests.
pub const PENDING: &str = "attempt to abort with pending subrequests";

fn outcome_of(code: i32) -> Outcome {
    match code {
        OK => Outcome::Ok,
        DECLINED => Outcome::Declined,
        DONE => Outcome::Done,
        100.. => u16::try_from(code).map_or(Outcome::Error, Outcome::Status),
        _ => Outcome::Error,
    }
}

/// Whether the response has begun: later phases must not make another.
fn answered(request: &Request, state: &State) -> bool {
    request.flags.header_sent.get() || (request.response.borrow().status != 0 && !state.gathered.borrow().is_empty())
}

/// The entry thread died: logs it; the response is 500 if there is none yet.
fn failed(request: &Rc<Request>, state: &State, error: &lua::LuaError) -> Step {
    let mut line = b"lua entry thread aborted: ".to_vec();
    line.extend_from_slice(&error.log_text());
    request.log(Level::Error, &line);
    if dev_page::is_wanted(request) {
        return dev_page::send(request, state.phase.get(), error);
    }
    Step::Now(if request.flags.header_sent.get() { Outcome::Error } else { Outcome::Status(500) })
}

/// Applies `ngx.exit(code)`.
fn exited(request: &Rc<Request>, state: &Rc<State>, code: i32) -> Step {
    let in_content = state.in_content.get();
    let status = {
        let mut response = request.response.borrow_mut();
        if !request.flags.header_sent.get() && response.status == 0 && code >= 200 {
            response.set_status(u16::try_from(code).unwrap_or(500));
        }
        response.status
    };
    if state.buffering.get() && status != 0 && !aborts(code) {
        return then(send::finish(request, state), move |sent| match sent {
            Outcome::Ok if code >= 200 => Step::Now(Outcome::Status(200)),
            Outcome::Ok => Step::Now(outcome_of(code)),
            other => Step::Now(other),
        });
    }
    let ends = (code == OK && in_content) || ((200..300).contains(&code) && code != 204);
    let sent = if ends { send::finish(request, state) } else { Step::Now(Outcome::Ok) };
    let owned = request.clone();
    then(sent, move |sent| {
        if sent == Outcome::Error || matches!(sent, Outcome::Status(s) if s >= 300) {
            return Step::Now(sent);
        }
        if owned.flags.header_sent.get() && code > OK && !aborts(code) {
            return Step::Now(if in_content { Outcome::Ok } else { Outcome::Status(200) });
        }
        Step::Now(outcome_of(code))
    })
}

/// The end of a handler that comes before the content: `go_on` lets the next phase have it.
fn before_content(request: &Rc<Request>, state: &Rc<State>, ended: lua::Completion, normal: Outcome) -> Step {
    let step = match ended {
        lua::Completion::Failed(error) => return failed(request, state, &error),
        lua::Completion::Returned => Step::Now(Outcome::Ok),
        lua::Completion::Finished(code) => exited(request, state, code),
    };
    let (request, state) = (request.clone(), state.clone());
    then(step, move |outcome| match outcome {
        Outcome::Ok | Outcome::Declined if answered(&request, &state) => {
            then(send::finish(&request, &state), |sent| Step::Now(if sent == Outcome::Ok { Outcome::Status(200) } else { sent }))
        }
        Outcome::Ok => Step::Now(normal),
        other => Step::Now(other),
    })
}

/// The end of `rewrite_by_lua*` and others that always let the next handler go on.
pub(crate) fn after_rewrite(request: &Rc<Request>, state: &Rc<State>, ended: lua::Completion) -> Step {
    before_content(request, state, ended, Outcome::Declined)
}

/// The end of `access_by_lua*`: going on means that access is granted.
pub(crate) fn after_access(request: &Rc<Request>, state: &Rc<State>, ended: lua::Completion) -> Step {
    before_content(request, state, ended, Outcome::Ok)
}

/// The end of `content_by_lua*`.
pub(crate) fn after_content(request: &Rc<Request>, state: &Rc<State>, ended: lua::Completion) -> Step {
    match ended {
        lua::Completion::Failed(error) => failed(request, state, &error),
        lua::Completion::Finished(code) => exited(request, state, code),
        lua::Completion::Returned => send::finish(request, state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_nginxs() {
        for (code, outcome) in [
            (OK, Outcome::Ok),
            (ERROR, Outcome::Error),
            (AGAIN, Outcome::Error),
            (DONE, Outcome::Done),
            (DECLINED, Outcome::Declined),
            (404, Outcome::Status(404)),
            (70_000, Outcome::Error),
        ] {
            assert_eq!(outcome_of(code), outcome, "{code}");
        }
        assert!(aborts(444) && aborts(ERROR) && !aborts(404) && !aborts(OK));
    }
}
