//! Sending a file, and refusing one.

use super::cache::{Content, Opened};
use super::open::Failure;
use base::errno::strerror;
use base::log::Level;
use http::output::then;
use http::{Chain, FilePiece, Outcome, Piece, Request, Step, log_request};
use std::rc::Rc;

/// The status for a file that cannot be opened, with nginx's log line: `open() "/path" failed (2: …)`.
pub fn refuse(request: &Request, failure: Failure, path: &[u8]) -> Outcome {
    let status = failure.status();
    let quiet = status == 404 && request.with_location(|l| l.core.log_not_found == Some(false));
    if !quiet {
        let level = if status == 500 { Level::Crit } else { Level::Error };
        log_failure(request, level, failure, path);
    }
    Outcome::Status(status)
}

/// Logs a failed call on a path.
pub fn log_failure(request: &Request, level: Level, failure: Failure, path: &[u8]) {
    let (call, number) = (failure.call, failure.errno);
    let path = String::from_utf8_lossy(path);
    log_request!(request, level, "{call} \"{path}\" failed ({number}: {})", strerror(number));
}

/// Fills the response head for a file: status, length, times and tag; the type is the caller's.
pub fn describe(request: &Request, file: &Opened) {
    let etag = request.with_location(|l| l.core.etag) != Some(false);
    let mut response = request.response.borrow_mut();
    response.set_status(200);
    response.content_length = Some(file.size());
    response.last_modified = Some(file.identity.modified);
    if etag {
        response.headers.set(b"ETag", &file.etag);
    }
}

/// As [`describe`], for a film of which a part of `length` bytes is sent: its tag is that of the part.
pub(crate) fn describe_part(request: &Request, file: &Opened, length: u64) {
    describe(request, file);
    let mut response = request.response.borrow_mut();
    response.content_length = Some(length);
    if response.headers.contains(b"ETag") {
        response.headers.set(b"ETag", format!("\"{:x}-{length:x}\"", file.identity.modified).as_bytes());
    }
}

/// Sends head and body of a file whose head is filled.
pub fn send(request: &Rc<Request>, file: Rc<Opened>) -> Step {
    request.action.set("sending response to client");
    let pieces = piece(&file, 0, file.size()).into_iter().collect();
    send_chain(request, Chain { pieces, flush: false, last: true })
}

/// Sends the head, which is filled, and a body.
pub(crate) fn send_chain(request: &Rc<Request>, body: Chain) -> Step {
    let request = request.clone();
    then(request.send_header(), move |outcome| match outcome {
        Outcome::Ok if request.flags.header_only.get() => Step::Now(Outcome::Ok),
        Outcome::Ok => request.output(body),
        other => Step::Now(other),
    })
}

/// A file's bytes from `start` to before `end`; nothing, if there are none.
pub fn piece(file: &Opened, start: u64, end: u64) -> Option<Piece> {
    let piece = match &file.content {
        Content::Memory(bytes) => {
            let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
            Piece::Bytes(bytes.slice(at(start)..at(end).max(at(start))))
        }
        Content::Open(open) => Piece::File(FilePiece { file: open.clone(), start, end: end.max(start) }),
        Content::None => return None,
    };
    Some(piece).filter(|piece| !piece.is_empty())
}

/// As [`refuse`] for a directory that is to be listed: its absence is always logged.
pub(crate) fn refuse_directory(request: &Request, failure: Failure, path: &[u8]) -> Outcome {
    let status = failure.status();
    log_failure(request, if status == 500 { Level::Crit } else { Level::Error }, failure, path);
    Outcome::Status(status)
}
