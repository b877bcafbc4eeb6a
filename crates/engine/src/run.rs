//! Drives a request through its phases (`ngx_http_core_run_phases`).
//!
//! Everything runs straight through until a handler must wait; only then does the rest of the run become a future.
//! Finding a location (`location`), going elsewhere (`redirect`) and ending (`end`) are stages of their own.

mod end;
mod location;
mod redirect;

use crate::stage::Stage;
use base::clock;
use base::log::Level;
use http::request::{MAX_SUBREQUEST_DEPTH, Subrequest};
use http::worker::SubrequestError;
use http::{BoxFuture, Outcome, Phase, Request, Step, log_request};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use sys::boxed::pinned;

/// Where a run stands.
struct Run {
    stage: Stage,
    /// Order of the last handler that ran in this stage; the next one is the first with a greater order, because
    /// `if` may have put another location with other handlers in this one's place.
    order: i32,
}

/// The engine.
#[derive(Debug, Default)]
pub struct HttpEngine;

impl http::Engine for HttpEngine {
    fn run(&self, request: &Rc<Request>) -> Option<BoxFuture<()>> {
        start(request, Stage::first(request))
    }

    fn refuse(&self, request: &Rc<Request>, status: u16) -> Option<BoxFuture<()>> {
        start(request, Stage::Finalize(Outcome::Status(status)))
    }

    fn abandon(&self, request: &Rc<Request>, status: u16) {
        request.response.borrow_mut().set_status(status);
        request.flags.abort.set(true);
        // Log handlers that wait go on by themselves.
        drop(start(request, Stage::Log));
    }

    fn subrequest(&self, parent: &Rc<Request>, what: Subrequest<'_>) -> Result<Rc<Request>, SubrequestError> {
        if parent.depth >= MAX_SUBREQUEST_DEPTH {
            return Err(SubrequestError { uri: String::from_utf8_lossy(what.uri).into_owned() });
        }
        Ok(parent.worker.spare.take_child(parent, what))
    }
}

fn start(request: &Rc<Request>, stage: Stage) -> Option<BoxFuture<()>> {
    let mut run = Run { stage, order: -1 };
    match catch_unwind(AssertUnwindSafe(|| run.advance(request))) {
        Ok(None) => None,
        Ok(Some(wait)) => Some(pinned(|| guarded(request.clone(), run, wait))),
        Err(_) => {
            after_panic(request);
            None
        }
    }
}

/// A run that waits. A panic inside it ends this request, not the worker.
async fn guarded(request: Rc<Request>, run: Run, wait: BoxFuture<Outcome>) {
    let mut finishing = pin!(run.finish(&request, wait));
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| finishing.as_mut().poll(cx))).unwrap_or_else(|_| {
            after_panic(&request);
            Poll::Ready(())
        })
    })
    .await;
}

/// Answers 500 if nothing was said yet, else cuts the connection.
fn after_panic(request: &Rc<Request>) {
    log_request!(request, Level::Alert, "a handler panicked, the request is given up");
    request.flags.keepalive.set(false);
    request.worker.note_panic();
    let answered = request.flags.header_sent.get()
        || catch_unwind(AssertUnwindSafe(|| {
            let mut run = Run { stage: Stage::Finalize(Outcome::Status(500)), order: -1 };
            // An error page that waits is not worth another chance.
            run.advance(request).is_some()
        }))
        .unwrap_or(true);
    if answered && !request.flags.output_ended.get() {
        request.flags.abort.set(true);
    }
}

impl Run {
    async fn finish(mut self, request: &Rc<Request>, mut wait: BoxFuture<Outcome>) {
        loop {
            let (phase, began) = (self.stage.phase(), clock::monotonic_ms());
            let outcome = wait.await;
            if let Some(phase) = phase {
                request.worker.observers.phase_waited(phase, clock::monotonic_ms().saturating_sub(began));
            }
            self.check(request, outcome);
            match self.advance(request) {
                Some(next) => wait = next,
                None => return,
            }
        }
    }

    fn enter_stage(&mut self, stage: Stage) {
        self.stage = stage;
        self.order = -1;
    }

    /// Runs until something must be waited for, or to the end. Not inlined: copies of it in each caller would make the frame of a
    /// connection's task five pages large, each of which is touched on entry, and a request that waited would run a copy of its own.
    #[inline(never)]
    fn advance(&mut self, request: &Rc<Request>) -> Option<BoxFuture<Outcome>> {
        loop {
            let step = match self.stage {
                Stage::Done => return None,
                Stage::FindConfig => self.find_config(request),
                Stage::PostRewrite => self.post_rewrite(request),
                Stage::PostAccess => self.post_access(request),
                Stage::ContentHandler => self.content_handler(request),
                Stage::Finalize(outcome) => self.finalize(request, outcome),
                Stage::Drain => self.drain(request),
                Stage::Log => {
                    self.log(request);
                    None
                }
                Stage::PostRead => self.phase(request, Phase::PostRead, Stage::ServerRewrite),
                Stage::ServerRewrite => self.phase(request, Phase::ServerRewrite, Stage::FindConfig),
                Stage::Rewrite => self.phase(request, Phase::Rewrite, Stage::PostRewrite),
                Stage::Preaccess => self.phase(request, Phase::Preaccess, Stage::Access),
                Stage::Access if !request.is_main() => {
                    self.enter_stage(Stage::Precontent);
                    None
                }
                Stage::Access => self.phase(request, Phase::Access, Stage::PostAccess),
                Stage::Precontent => self.phase(request, Phase::Precontent, Stage::ContentHandler),
                Stage::Content => self.phase(request, Phase::Content, Stage::Finalize(Outcome::Declined)),
            };
            match step {
                None => {}
                Some(Step::Now(outcome)) => self.check(request, outcome),
                Some(Step::Wait(future)) => return Some(future),
            }
        }
    }

    /// The next handler of a phase, or on to the next stage.
    fn phase(&mut self, request: &Rc<Request>, phase: Phase, next: Stage) -> Option<Step> {
        let handler = request.with_location(|l| l.handlers(phase).iter().find(|h| i32::from(h.order) > self.order).cloned());
        match handler {
            Some(handler) => {
                self.order = i32::from(handler.order);
                Some((handler.run)(request))
            }
            None => {
                self.enter_stage(next);
                None
            }
        }
    }

    /// Applies a handler's answer: nginx's phase checkers.
    fn check(&mut self, request: &Rc<Request>, outcome: Outcome) {
        if outcome == Outcome::Done && !matches!(self.stage, Stage::Finalize(_) | Stage::Drain) {
            return self.enter_stage(Stage::Finalize(Outcome::Done));
        }
        match self.stage {
            Stage::ServerRewrite | Stage::Rewrite if outcome == Outcome::Declined => {}
            Stage::PostRead | Stage::Preaccess | Stage::Precontent if outcome == Outcome::Declined => {}
            Stage::PostRead if outcome == Outcome::Ok => self.enter_stage(Stage::ServerRewrite),
            Stage::Preaccess if outcome == Outcome::Ok => self.enter_stage(Stage::Access),
            Stage::Precontent if outcome == Outcome::Ok => self.enter_stage(Stage::ContentHandler),
            Stage::Access => self.settle_access(request, outcome),
            Stage::ContentHandler if outcome == Outcome::Declined => {
                request.content.replace(None);
                self.enter_stage(Stage::Content);
            }
            Stage::Content if outcome == Outcome::Declined => {}
            Stage::Drain => self.answered(request),
            _ => self.enter_stage(Stage::Finalize(outcome)),
        }
    }

    fn settle_access(&mut self, request: &Rc<Request>, outcome: Outcome) {
        if outcome == Outcome::Declined {
            return;
        }
        if request.with_location(|l| l.core.satisfy_any.unwrap_or(false)) {
            match outcome {
                Outcome::Ok => {
                    request.progress.access_code.set(0);
                    {
                        let headers = &mut request.response.borrow_mut().headers;
                        headers.remove(b"WWW-Authenticate");
                        headers.remove(b"Proxy-Authenticate");
                    }
                    return self.enter_stage(Stage::Precontent);
                }
                Outcome::Status(code @ (401 | 403 | 407)) => {
                    if !matches!(request.progress.access_code.get(), 401 | 407) {
                        request.progress.access_code.set(code);
                    }
                    return;
                }
                _ => {}
            }
        } else if outcome == Outcome::Ok {
            return;
        }
        self.enter_stage(Stage::Finalize(outcome));
    }

    fn post_access(&mut self, request: &Rc<Request>) -> Option<Step> {
        let code = request.progress.access_code.replace(0);
        if code == 0 {
            self.enter_stage(Stage::Precontent);
            return None;
        }
        if code == 403 {
            log_request!(request, Level::Error, "access forbidden by rule");
        }
        Some(Step::Now(Outcome::Status(code)))
    }

    fn content_handler(&mut self, request: &Rc<Request>) -> Option<Step> {
        let handler = request.content.borrow().clone();
        match handler {
            Some(handler) => Some(handler(request)),
            None => {
                self.enter_stage(Stage::Content);
                None
            }
        }
    }
}
