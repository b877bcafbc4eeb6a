//! Fetches the response from a location before the content is generated.

use crate::collector::Collector;
use crate::filtering::read_at;
use crate::srcache::conf::{Conf, Target};
use crate::srcache::state::State;
use base::log::Level;
use bytes::Bytes;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::{Chain, Outcome, Piece, Request, Step, body, log_request};
use std::rc::Rc;
use wire::h1::header::{HeaderSpan, Rules, parse_section};
use wire::known::Known;

/// The longest line of a stored head, by default.
const LINE: u64 = 4096;

/// In the access phase, behind all others.
pub(crate) fn handle(request: &Rc<Request>, own: &Rc<Conf>) -> Step {
    if !request.is_main() || !own.caches_method(request.method()) {
        return Step::Now(Outcome::Declined);
    }
    let (no_cache, no_store) = if own.request_control == Some(true) { refusals(request) } else { (false, false) };
    let state = Rc::new(State::default());
    state.unwanted.set(no_store);
    request.set_context(state.clone());
    let Some(target) = own.fetch.clone().filter(|_| !no_cache && !own.skips_fetch(request)) else {
        return Step::Now(Outcome::Declined);
    };
    let (request, own) = (request.clone(), own.clone());
    Step::wait(|| async move {
        match body::read(&request).finish().await {
            Outcome::Ok => {}
            refused => return refused,
        }
        state.fetched.set(true);
        let Some(pieces) = run_subrequest(&request, &target).await else { return Outcome::Declined };
        let Some(pieces) = restore(&request, &own, pieces) else { return Outcome::Declined };
        state.from_cache.set(true);
        send(&request, pieces).await
    })
}

/// What the request's `Cache-Control` and `Pragma` refuse: a response from the cache, keeping the response.
fn refusals(request: &Request) -> (bool, bool) {
    let headers = request.headers.borrow();
    let has =
        |name: &[u8], word: &[u8]| headers.get_all(name).any(|value| memchr::memmem::find(&value.to_ascii_lowercase(), word).is_some());
    (has(b"Cache-Control", b"no-cache") || has(b"Pragma", b"no-cache"), has(b"Cache-Control", b"no-store"))
}

/// Runs the subrequest; the body of a 200.
async fn run_subrequest(request: &Rc<Request>, target: &Target) -> Option<Vec<Piece>> {
    let wire = Collector::collecting();
    let child = subrequest(request, target, wire.clone(), SubrequestBody::Nothing)?;
    if let Some(running) = request.worker.engine()?.run(&child) {
        running.await;
    }
    let status = wire.status();
    log_request!(request, Level::Debug, "srcache_fetch: subrequest returned status {status}");
    if status == 200 && !child.flags.output_ended.get() {
        request.log(Level::Error, b"srcache_fetch: cache sent truncated response body");
        return None;
    }
    (status == 200).then(|| wire.take())
}

/// A subrequest by a target's values.
pub(crate) fn subrequest(request: &Rc<Request>, target: &Target, wire: Rc<Collector>, body: SubrequestBody) -> Option<Rc<Request>> {
    let uri = target.uri.to_vec(&**request);
    let (path, own_args) = wire::uri::args::split(&uri);
    let args = target.args.as_ref().map(|args| args.to_vec(&**request)).filter(|args| !args.is_empty());
    let mut decoded = Vec::new();
    let Ok(checked) = wire::uri::internal::check(path, &mut decoded) else {
        log_request!(request, Level::Error, "unsafe URI \"{}\" was detected", String::from_utf8_lossy(path));
        return None;
    };
    let (method, name) = &target.method;
    let what = Subrequest {
        uri: checked.path(path, &decoded),
        args: args.as_deref().unwrap_or(own_args),
        method: Some((*method, name)),
        wire,
        body,
        // What one of them computes, such as memcached's command, is not for the other.
        variables: SubrequestVariables::Fresh,
    };
    match request.worker.engine()?.subrequest(request, what) {
        Ok(child) => Some(child),
        Err(error) => {
            request.log(Level::Error, error.to_string().as_bytes());
            None
        }
    }
}

/// The bytes of pieces, those of files included.
pub(crate) fn bytes_of(request: &Request, pieces: &[Piece], out: &mut Vec<u8>) -> bool {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::File(file) => match read_at(&file.file, file.start, usize::try_from(piece.len()).unwrap_or(usize::MAX)) {
                Ok(data) if data.len() as u64 == piece.len() => out.extend_from_slice(&data),
                _ => {
                    request.log(Level::Crit, b"srcache: reading a file failed");
                    return false;
                }
            },
        }
    }
    true
}

/// Makes the response's head of a stored one; its body. `None`: it is none, which has been logged.
fn restore(request: &Request, own: &Conf, pieces: Vec<Piece>) -> Option<Bytes> {
    let mut text = Vec::new();
    if !bytes_of(request, &pieces, &mut text) {
        return None;
    }
    let Some(end) = memchr::memmem::find(&text, b"\r\n\r\n").map(|at| at + 4) else {
        request.log(Level::Error, b"srcache_fetch: cache sent truncated status line or headers");
        return None;
    };
    let text = Bytes::from(text);
    let head = text.slice(..end);
    let limit = usize::try_from(own.line_size.unwrap_or(LINE)).unwrap_or(usize::MAX);
    let mut lines = Vec::new();
    let start = memchr::memchr(b'\n', &head)? + 1;
    let status = status_of(head.get(..start)?);
    let fits = head.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() <= limit);
    let parsed = parse_section(head.get(start..)?, Rules { underscores: true, upstream: true }, &mut lines).is_ok();
    let Some((status, line)) = status.filter(|_| parsed && fits) else {
        request.log(Level::Error, b"srcache_fetch: cache sent invalid status line or header");
        return None;
    };
    let mut response = request.response.borrow_mut();
    response.set_status(status);
    response.status_line.extend_from_slice(line);
    response.content_length = Some((text.len() - end) as u64);
    let fields = head.get(start..)?;
    let cuts = lines.iter().any(|line| is_range_mark(line, fields));
    response.allow_ranges = cuts;
    for line in &lines {
        let (name, value) = (line.name.of(fields), line.value.of(fields));
        match line.known {
            Known::ContentLength | Known::Connection | Known::KeepAlive | Known::TransferEncoding => {}
            Known::AcceptRanges if cuts => {}
            Known::ContentType => response.take_content_type(value),
            Known::LastModified => {
                response.last_modified = wire::date::parse(value);
                response.headers.push(name, value);
            }
            _ if is_range_mark(line, fields) => {}
            _ => response.headers.push(name, value),
        }
    }
    Some(text.slice(end..))
}

/// The field that says that the response could be cut into ranges.
pub(crate) const RANGE_MARK: &str = "X-SRCache-Allow-Ranges";

fn is_range_mark(line: &HeaderSpan, fields: &[u8]) -> bool {
    line.name.of(fields).eq_ignore_ascii_case(RANGE_MARK.as_bytes())
}

/// Status, and code with reason, of `HTTP/1.1 200 OK`.
fn status_of(line: &[u8]) -> Option<(u16, &[u8])> {
    let line = line.trim_ascii_end();
    let rest = line.strip_prefix(b"HTTP/1.").filter(|rest| rest.first().is_some_and(u8::is_ascii_digit))?;
    let rest = rest.get(1..)?.strip_prefix(b" ")?;
    let status = rest.get(..3).and_then(base::text::parse_number).and_then(|status| u16::try_from(status).ok())?;
    let ends = rest.get(3).is_none_or(|byte| *byte == b' ');
    (ends && (100..1000).contains(&status)).then_some((status, rest))
}

async fn send(request: &Rc<Request>, body: Bytes) -> Outcome {
    let sent = request.send_header().finish().await;
    if sent != Outcome::Ok {
        return sent;
    }
    if !request.flags.header_only.get() {
        let sent = request.output(Chain::bytes(body).and_last()).finish().await;
        if sent != Outcome::Ok {
            return sent;
        }
    }
    // The response is complete: no later phase runs.
    Outcome::Status(200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\n"), Some((200, &b"200 OK"[..])));
        assert_eq!(status_of(b"HTTP/1.0 404\r\n"), Some((404, &b"404"[..])));
        for wrong in ["", "HTTP/1.1 20 OK", "HTTP/2 200 OK", "HTTP/1.x 200", "200 OK", "HTTP/1.1 2000", "HTTP/1.1 099 x"] {
            assert_eq!(status_of(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
