//! Drives a request through its phases (`ngx_http_core_run_phases`).
//!
//! Everything runs straight through until a handler must wait; only then does the rest of the run become a future.

use crate::error_page;
use crate::find::{self, Choice};
use crate::post_action;
use crate::stage::Stage;
use base::clock;
use base::log::Level;
use http::body::BodyState;
use http::core::default;
use http::location::Location;
use http::request::{MAX_SUBREQUEST_DEPTH, Subrequest};
use http::worker::SubrequestError;
use http::{BoxFuture, Jump, Outcome, Phase, Request, Step, log_request};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
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

    fn find_config(&mut self, request: &Rc<Request>) -> Option<Step> {
        request.content.replace(None);
        request.progress.uri_changed.set(false);
        let server = request.server();
        let (chosen, slash_is_missing) = match find::location(request, &server.locations) {
            Choice::Final(location) | Choice::Prefix(location) => (location, false),
            Choice::None => (server.own.clone(), false),
            Choice::Redirect(location) => (location, true),
        };
        if chosen.core.internal && !request.flags.internal.get() {
            request.set_location(chosen);
            return Some(Step::Now(Outcome::Status(404)));
        }
        enter(request, chosen);
        if let Some(refused) = body_too_large(request) {
            return Some(Step::Now(refused));
        }
        if slash_is_missing {
            return Some(slash_redirect(request));
        }
        self.enter_stage(Stage::in_location(request));
        None
    }

    fn post_rewrite(&mut self, request: &Rc<Request>) -> Option<Step> {
        if !request.progress.uri_changed.get() {
            self.enter_stage(Stage::Preaccess);
            return None;
        }
        let left = request.progress.uri_changes.get().saturating_sub(1);
        request.progress.uri_changes.set(left);
        if left == 0 {
            let uri = String::from_utf8_lossy(&request.line.borrow().uri).into_owned();
            log_request!(request, Level::Error, "rewrite or internal redirection cycle while processing \"{uri}\"");
            return Some(Step::Now(Outcome::Status(500)));
        }
        request.set_server(request.server());
        self.enter_stage(Stage::FindConfig);
        None
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

    /// Ends the request with `outcome`, which may lead elsewhere first (`ngx_http_finalize_request`).
    fn finalize(&mut self, request: &Rc<Request>, outcome: Outcome) -> Option<Step> {
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

    fn jump(&mut self, request: &Rc<Request>, jump: Jump) {
        let left = request.progress.uri_changes.get().saturating_sub(1);
        request.progress.uri_changes.set(left);
        let cycle = |what: &str, name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            log_request!(request, Level::Error, "rewrite or internal redirection cycle while {what} \"{name}\"");
        };
        request.clear_contexts();
        request.flags.internal.set(true);
        request.content.replace(None);
        match jump {
            Jump::Internal { uri, .. } if left == 0 => {
                cycle("internally redirecting to", &uri);
                self.enter_stage(Stage::Finalize(Outcome::Status(500)));
            }
            Jump::Named(name) if left == 0 => {
                cycle("redirect to named location", &[b"@", name.as_slice()].concat());
                self.enter_stage(Stage::Finalize(Outcome::Status(500)));
            }
            Jump::Internal { uri, args } => {
                {
                    let mut line = request.line.borrow_mut();
                    line.set_uri(&uri);
                    line.set_args(&args);
                    line.location_is_valid = true;
                }
                request.set_server(request.server());
                request.action.set("");
                self.enter_stage(Stage::first(request));
            }
            Jump::Named(name) => {
                let server = request.server();
                let found = server.locations.named.iter().find(|l| *l.name == *name).cloned();
                request.set_server(server);
                match found {
                    Some(location) => {
                        request.progress.uri_changed.set(false);
                        enter(request, location);
                        self.enter_stage(Stage::in_location(request));
                    }
                    None => {
                        let name = String::from_utf8_lossy(&name).into_owned();
                        log_request!(request, Level::Error, "could not find named location \"@{name}\"");
                        self.enter_stage(Stage::Finalize(Outcome::Status(500)));
                    }
                }
            }
        }
    }

    /// Large answers leave before they are logged, so that the log tells how long it took; all leave before code logs them,
    /// which may take long itself.
    fn drain(&mut self, request: &Rc<Request>) -> Option<Step> {
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
    fn answered(&mut self, request: &Rc<Request>) {
        match post_action::next(request) {
            Some(jump) => self.jump(request, jump),
            None => self.enter_stage(Stage::Log),
        }
    }

    fn log(&mut self, request: &Rc<Request>) {
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

/// Enters the location that was found, and what `limit_except` puts in its place.
fn enter(request: &Rc<Request>, location: Rc<Location>) {
    let method = request.method();
    let instead = match &location.limit_except {
        Some((excepted, inner)) if !excepted.intersects(method) => Some(inner.clone()),
        _ => None,
    };
    request.set_location(location);
    if let Some(inner) = instead {
        request.set_location(inner);
    }
}

/// Sends the client to the location that was entered, whose name has the slash that its URI lacks.
fn slash_redirect(request: &Request) -> Step {
    let mut target = Vec::new();
    request.with_location(|location| wire::uri::escape::escape(&location.name, wire::uri::escape::Class::Uri, &mut target));
    let line = request.line.borrow();
    if !line.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&line.args);
    }
    request.response.borrow_mut().redirect_to(&target);
    Step::Now(Outcome::Status(301))
}

fn body_too_large(request: &Request) -> Option<Outcome> {
    if !request.is_main() {
        return None;
    }
    let max = request.with_location(|l| l.core.client_max_body_size.unwrap_or(default::MAX_BODY));
    let body = request.body.borrow();
    let length = body.length().filter(|length| max != 0 && *length > max && body.state() != BodyState::Discarded)?;
    // The location of an error page does not judge it again.
    body.set_state(BodyState::Discarded);
    log_request!(request, Level::Error, "client intended to send too large body: {length} bytes");
    Some(Outcome::Status(413))
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
