//! The end of a request: what becomes of a handler's outcome, the rest of the response, the log.

use super::Run;
use crate::stage::Stage;
use crate::{error_page, post_action};
use base::log::Level;
use http::{Outcome, Phase, Request, Step, log_request};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use sys::boxed::pinned;

impl Run {
    /// Ends the request with `outcome`, which may lead elsewhere first (`ngx_http_finalize_request`).
    pub(super) fn finalize(&mut self, request: &Rc<Request>, outcome: Outcome) -> Option<Step> {
        let outcome = request.take_refusal().map_or(outcome, Outcome::Status);
        match outcome {
            Outcome::Done => match request.progress.jump.replace(None) {
                Some(jump) => self.jump(request, jump),
                None => self.enter_stage(Stage::Drain),
            },
            Outcome::Declined => return Some(no_handler(request)),
            Outcome::Error | Outcome::Status(408 | 444 | 499) => {
                if let Outcome::Status(status) = outcome
                    && !request.flags.header_sent.get()
                {
                    request.response.borrow_mut().set_status(status);
                }
                request.flags.abort.set(true);
                self.enter_stage(Stage::Drain);
            }
            Outcome::Status(status) if status >= 300 || status == 201 || status == 204 => {
                if request.flags.post_action.get() {
                    // Only the log tells of it.
                    request.response.borrow_mut().set_status(status);
                    self.enter_stage(Stage::Drain);
                } else if request.flags.header_sent.get() {
                    request.flags.abort.set(!request.flags.output_ended.get());
                    self.enter_stage(Stage::Drain);
                } else if request.flags.captured.get() {
                    return Some(error_page::bare_response(request, status));
                } else {
                    return Some(error_page::special_response(request, status));
                }
            }
            Outcome::Ok | Outcome::Status(_) => {
                // Another protocol has its own end.
                let switched = request.response.borrow().status == 101;
                let unfinished = !request.flags.output_ended.get() && !request.flags.header_only.get() && !switched;
                if unfinished || !request.flags.header_sent.get() {
                    // Nobody can tell this response from a whole one unless the connection closes.
                    request.flags.abort.set(true);
                }
                self.enter_stage(Stage::Drain);
            }
        }
        None
    }

    /// Large answers leave before they are logged, so that the log tells how long it took; all leave before code logs them,
    /// which may take long itself.
    pub(super) fn drain(&mut self, request: &Rc<Request>) -> Option<Step> {
        const GATHER: u64 = 64 * 1024;
        let at_once =
            request.limit_rate.get().is_some_and(|rate| rate > 0) || request.with_location(|l| l.code_logs || l.core.post_action.is_some());
        let gathers = if at_once { 0 } else { GATHER };
        let queued = request.is_main() && !request.flags.abort.get() && (request.wire.queued() > gathers || request.wire.is_blocked());
        // Mostly the socket takes all of it, and nobody waits.
        if queued && !matches!(request.wire.poll_drain(&mut Context::from_waker(Waker::noop()), 0), Poll::Ready(Ok(()))) {
            return Some(request.drain(0));
        }
        self.answered(request);
        None
    }

    /// The response is over.
    pub(super) fn answered(&mut self, request: &Rc<Request>) {
        match post_action::next(request) {
            Some(jump) => self.jump(request, jump),
            None => self.enter_stage(Stage::Log),
        }
    }

    pub(super) fn log(&mut self, request: &Rc<Request>) {
        self.enter_stage(Stage::Done);
        let wanted = request.is_main() || request.with_location(|l| l.core.log_subrequest.unwrap_or(false));
        if wanted && !request.flags.logged.replace(true) {
            if request.is_main() {
                request.action.set("logging request");
                request.finalize_bytes_sent();
                request.worker.observers.request_ended(request);
                request.with_location(|location| location.zones.ended(request));
            }
            for handler in request.location().handlers(Phase::Log) {
                if let Step::Wait(future) = (handler.run)(request) {
                    // It goes on beside the connection's next request. All else of this one ends here: its line in the
                    // access log, and the places that it holds.
                    request.worker.spawn(pinned(|| async move {
                        future.await;
                    }));
                }
            }
        }
        request.run_cleanups();
    }
}

/// No module made the content.
fn no_handler(request: &Request) -> Step {
    let is_directory = request.line.borrow().uri.last() == Some(&b'/');
    if !is_directory {
        return Step::Now(Outcome::Status(404));
    }
    if let Ok(path) = request.map_path() {
        let path = String::from_utf8_lossy(&path.bytes).into_owned();
        log_request!(request, Level::Error, "directory index of \"{path}\" is forbidden");
    }
    Step::Now(Outcome::Status(403))
}
