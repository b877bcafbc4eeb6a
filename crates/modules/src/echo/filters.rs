//! `echo_before_body`, `echo_after_body`.

use super::{Commands, Echo};
use base::log::Level;
use bytes::Bytes;
use http::location::Filtered;
use http::{Chain, Outcome, Piece, Request, Step, log_request};
use std::cell::Cell;
use std::rc::Rc;

/// How far the body has come.
#[derive(Default)]
struct Progress {
    started: Cell<bool>,
    ended: Cell<bool>,
}

fn log(request: &Request, filter: &str) {
    if request.log_enabled(Level::Debug) {
        let line = request.line.borrow();
        let (uri, args) = (String::from_utf8_lossy(&line.uri), String::from_utf8_lossy(&line.args));
        log_request!(request, Level::Debug, "echo {filter} filter, uri \"{uri}?{args}\"");
    }
}

/// The body's length is not what the handler said.
pub(super) fn header(request: &Rc<Request>) -> Step {
    log(request, "header");
    request.response.borrow_mut().clear_body_facts();
    request.set_context(Rc::new(Progress::default()));
    Step::Now(Outcome::Ok)
}

fn lines(commands: &Commands, request: &Request) -> Option<Piece> {
    let mut text = Vec::new();
    for command in commands.as_ref()?.iter() {
        command.push_line(request, &mut text);
    }
    Some(Piece::Bytes(Bytes::from(text)))
}

/// Adds the lines.
pub(super) fn body(request: &Rc<Request>, mut chain: Chain) -> Filtered {
    log(request, "body");
    if request.flags.header_only.get() {
        return Filtered::Now(Ok(chain));
    }
    let Some(progress) = request.find_context::<Progress>() else { return Filtered::Now(Ok(chain)) };
    let echo = request.conf::<Echo>();
    if !progress.started.replace(true)
        && let Some(piece) = lines(&echo.before, request)
    {
        chain.pieces.insert(0, piece);
    }
    if chain.last && !progress.ended.replace(true) {
        chain.pieces.extend(lines(&echo.after, request));
    }
    Filtered::Now(Ok(chain))
}
