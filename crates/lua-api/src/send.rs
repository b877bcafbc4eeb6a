//! How Lua's output leaves: the head first, then data, then the end (`ngx_http_lua_send_chain_link`).

use crate::options::Options;
use crate::state::State;
use base::log::Level;
use http::line::Version;
use http::output::then;
use http::{Chain, Method, Outcome, Request, Step};
use std::rc::Rc;

/// Sends the head if it has not gone: what the first output does.
pub fn header(request: &Rc<Request>, state: &Rc<State>) -> Step {
    if request.flags.header_sent.get() {
        return Step::Now(Outcome::Ok);
    }
    {
        let mut response = request.response.borrow_mut();
        if response.status == 0 {
            response.status = 200;
        }
        if !state.headers_set.get() {
            response.content_length = None;
            response.allow_ranges = false;
            response.headers.remove(b"Accept-Ranges");
        }
    }
    if !state.mime_set.get() && request.with_location(|l| l.conf.get::<Options>().and_then(|o| o.use_default_type).unwrap_or(true)) {
        set_default_type(request);
    }
    if state.buffering.get() {
        return Step::Now(Outcome::Ok);
    }
    match request.send_header() {
        Step::Now(Outcome::Ok) => Step::Now(Outcome::Ok),
        other => {
            let state = state.clone();
            then(other, move |sent| {
                if let Outcome::Status(status) = sent {
                    state.refused.set(status);
                    state.eof.set(true);
                }
                Step::Now(sent)
            })
        }
    }
}

/// The type of the URI's extension, or the default, unless there is a type (`ngx_http_set_content_type`).
fn set_default_type(request: &Request) {
    let mut response = request.response.borrow_mut();
    if !response.content_type.is_empty() || response.status == 304 {
        return;
    }
    request.with_location(|location| {
        let line = request.line.borrow();
        let mut lower = [0u8; 64];
        let extension = line.extension();
        let found = lower.get_mut(..extension.len()).filter(|l| !l.is_empty()).and_then(|lower| {
            lower.copy_from_slice(extension);
            lower.make_ascii_lowercase();
            location.core.types.as_ref()?.get(&*lower).map(|t| &**t)
        });
        response.set_content_type(found.or(location.core.default_type.as_deref()).unwrap_or(b"text/plain"));
    });
}

fn wants_buffering(request: &Request, state: &State) -> bool {
    request.version() < Version::Http11
        && !state.buffering.get()
        && !request.flags.header_sent.get()
        && request.response.borrow().content_length.is_none()
        && request.with_location(|l| l.conf.get::<Options>().and_then(|o| o.http10_buffering).unwrap_or(true))
}

/// What is decided at the first output.
fn begin(request: &Request, state: &State) {
    if request.method() == Method::HEAD {
        request.flags.header_only.set(true);
    }
    if wants_buffering(request, state) {
        if request.log_enabled(Level::Debug) {
            request.log(Level::Debug, b"lua buffering output bufs for the HTTP 1.0 request");
        }
        state.buffering.set(true);
    }
}

/// Sends data, the head before it.
pub fn data(request: &Rc<Request>, state: &Rc<State>, bytes: &[u8]) -> Step {
    if state.eof.get() || state.raw_socket.get() {
        return Step::Now(Outcome::Ok);
    }
    begin(request, state);
    match header(request, state) {
        Step::Now(Outcome::Ok) => body(request, state, bytes),
        Step::Now(other) => Step::Now(other),
        wait => {
            let (request, state, bytes) = (request.clone(), state.clone(), bytes.to_vec());
            then(wait, move |outcome| match outcome {
                Outcome::Ok => body(&request, &state, &bytes),
                other => Step::Now(other),
            })
        }
    }
}

fn body(request: &Rc<Request>, state: &Rc<State>, bytes: &[u8]) -> Step {
    if request.flags.header_only.get() {
        state.eof.set(true);
        return if state.buffering.replace(false) { header(request, state) } else { Step::Now(Outcome::Ok) };
    }
    if request.wire.is_broken() {
        return Step::Now(Outcome::Error);
    }
    if state.buffering.get() {
        state.gathered.borrow_mut().extend_from_slice(bytes);
        return Step::Now(Outcome::Ok);
    }
    request.output_slice(bytes)
}

/// Sends the mark that what is there shall leave at once.
pub(crate) fn flush_mark(request: &Rc<Request>) -> Step {
    if request.wire.is_broken() {
        return Step::Now(Outcome::Error);
    }
    request.output(Chain { flush: true, ..Chain::default() })
}

/// Ends the response: the head if need be, what was gathered, the last mark.
pub fn finish(request: &Rc<Request>, state: &Rc<State>) -> Step {
    if state.eof.get() || state.raw_socket.get() {
        return Step::Now(Outcome::Ok);
    }
    begin(request, state);
    if state.buffering.replace(false) && !request.flags.header_sent.get() && !request.flags.header_only.get() {
        request.response.borrow_mut().content_length = Some(state.gathered.borrow().len() as u64);
        state.headers_set.set(true);
    }
    match header(request, state) {
        Step::Now(Outcome::Ok) => end(request, state),
        Step::Now(other) => Step::Now(other),
        wait => {
            let (request, state) = (request.clone(), state.clone());
            then(wait, move |outcome| match outcome {
                Outcome::Ok => end(&request, &state),
                other => Step::Now(other),
            })
        }
    }
}

fn end(request: &Rc<Request>, state: &State) -> Step {
    state.eof.set(true);
    if request.flags.header_only.get() {
        return Step::Now(Outcome::Ok);
    }
    if request.wire.is_broken() {
        return Step::Now(Outcome::Error);
    }
    let gathered = std::mem::take(&mut *state.gathered.borrow_mut());
    if gathered.is_empty() { request.output_end() } else { request.output(Chain::bytes(gathered).and_last()) }
}
