//! `$echo_*`.

use base::clock;
use base::text;
use http::Variables;
use http::body::BodyState;
use http::variables::define as variable;
use session::variable::NO_CACHE;
use std::cell::{Cell, RefCell};

/// What the variables show of a request.
#[derive(Default)]
pub(super) struct EchoVariables {
    /// When the timer began, in milliseconds since the epoch; 0 is the request's start.
    pub(super) timer: Cell<u64>,
    /// The loop's current part.
    pub(super) part: RefCell<Option<Vec<u8>>>,
    increment: Cell<u64>,
}

pub(super) fn define(variables: &mut Variables) {
    variable(variables, "echo_timer_elapsed", NO_CACHE, |request, out| {
        clock::update();
        let begun = match request.context::<EchoVariables>().timer.get() {
            0 => request.started.get().epoch_ms(),
            timer => timer,
        };
        text::push_seconds(out, clock::now().epoch_ms().saturating_sub(begun));
        true
    });
    variable(variables, "echo_request_method", 0, |request, out| {
        out.extend_from_slice(&request.line.borrow().method_name);
        true
    });
    variable(variables, "echo_client_request_method", 0, |request, out| {
        let mut at = request;
        while let Some(parent) = &at.parent {
            at = parent;
        }
        out.extend_from_slice(&at.line.borrow().method_name);
        true
    });
    variable(variables, "echo_cacheable_request_uri", 0, uri);
    variable(variables, "echo_request_uri", NO_CACHE, uri);
    variable(variables, "echo_request_body", 0, |request, out| {
        let body = request.body.borrow();
        if body.state() != BodyState::Read || body.file().is_some() || body.size() == 0 {
            return false;
        }
        body.with_data(|data| out.extend_from_slice(data));
        true
    });
    variable(variables, "echo_client_request_headers", 0, |request, out| {
        let mut at = request;
        while let Some(parent) = &at.parent {
            at = parent;
        }
        out.extend_from_slice(at.headers.borrow().received());
        true
    });
    variable(variables, "echo_it", NO_CACHE, |request, out| match &*request.context::<EchoVariables>().part.borrow() {
        Some(part) => {
            out.extend_from_slice(part);
            true
        }
        None => false,
    });
    variable(variables, "echo_incr", NO_CACHE, |request, out| {
        let mut at = request;
        while let Some(parent) = &at.parent {
            at = parent;
        }
        let shown = at.context::<EchoVariables>();
        shown.increment.set(shown.increment.get() + 1);
        text::push_number(out, shown.increment.get());
        true
    });
    variable(variables, "echo_response_status", NO_CACHE, |request, out| {
        let status = request.response.borrow().status;
        text::push_number(out, u64::from(status));
        status != 0
    });
}

fn uri(request: &http::Request, out: &mut Vec<u8>) -> bool {
    let line = request.line.borrow();
    out.extend_from_slice(&line.uri);
    !line.uri.is_empty()
}
