//! Finds a request's location and enters it.

use super::Run;
use crate::find::{self, Choice};
use crate::stage::Stage;
use base::log::Level;
use http::body::BodyState;
use http::core::default;
use http::location::Location;
use http::{Outcome, Request, Step, log_request};
use std::rc::Rc;

impl Run {
    pub(super) fn find_config(&mut self, request: &Rc<Request>) -> Option<Step> {
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
}

/// Enters the location that was found, and what `limit_except` puts in its place.
pub(super) fn enter(request: &Rc<Request>, location: Rc<Location>) {
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
