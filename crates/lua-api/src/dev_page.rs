//! The page that a developer's browser gets when Lua code fails (`lua_dev_errors on`): the error, the source around it, the
//! traceback. It shows what must not be shown to others, so it is off unless asked for.

use crate::options::Options;
use crate::state::State;
use bytes::Bytes;
use http::location::Filtered;
use http::output::then;
use http::{Chain, Outcome, Request, Step};
use lua::LuaError;
use std::path::PathBuf;
use std::rc::Rc;
use wire::uri::escape::escape_html;

/// Lines shown before and behind the one that failed.
const AROUND: usize = 5;
/// The bit of [`body`] among the body filters that run on demand.
pub(crate) const MARK: u32 = 1 << 24;
/// A larger file is not searched for its lines.
const LARGEST: u64 = 1 << 20;

/// Whether the page may be sent: it is wanted here, and no answer has begun.
pub(crate) fn is_wanted(request: &Request) -> bool {
    !request.flags.header_sent.get() && is_on(request)
}

fn is_on(request: &Request) -> bool {
    request.with_location(|l| l.conf.get::<Options>().and_then(|o| o.dev_errors) == Some(true))
}

/// A header filter failed, whose answer has not left: has the server answer 500 with the page for a body, if it is wanted.
pub(crate) fn replace(request: &Request, state: &State, phase: &str, error: &LuaError) -> Outcome {
    if !is_on(request) {
        return Outcome::Error;
    }
    state.page.replace(Some(page(request, phase, error).into()));
    request.demand_body_filter(MARK);
    Outcome::Status(500)
}

/// The head of the answer whose body [`body`] replaces.
pub(crate) fn head(request: &Request, state: &State) -> Outcome {
    let Some(length) = state.page.borrow().as_ref().map(Bytes::len) else { return Outcome::Error };
    let mut response = request.response.borrow_mut();
    response.set_content_type(b"text/html; charset=utf-8");
    response.content_length = Some(length as u64);
    Outcome::Ok
}

/// The page in the place of the server's own, once that ends.
pub(crate) fn body(request: &Rc<Request>, chain: Chain) -> Filtered {
    let state = State::of(request);
    if state.page.borrow().is_none() {
        return Filtered::Now(Ok(chain));
    }
    let page = if chain.last { state.page.take() } else { None };
    Filtered::Now(Ok(page.map_or_else(Chain::default, |page| Chain::bytes(page).and_last())))
}

/// Answers with the page; the phases that are left have nothing to do.
pub(crate) fn send(request: &Rc<Request>, phase: &str, error: &LuaError) -> Step {
    let page = page(request, phase, error);
    {
        let mut response = request.response.borrow_mut();
        response.set_status(500);
        response.set_content_type(b"text/html; charset=utf-8");
        response.content_length = Some(page.len() as u64);
        response.headers.remove(b"Content-Encoding");
    }
    if request.method() == http::Method::HEAD {
        request.flags.header_only.set(true);
    }
    let owned = request.clone();
    then(request.send_header(), move |sent| match sent {
        Outcome::Ok => then(owned.output_whole(page), |sent| Step::Now(if sent == Outcome::Ok { Outcome::Status(200) } else { sent })),
        other => Step::Now(other),
    })
}

fn page(request: &Request, phase: &str, error: &LuaError) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(
        b"<!DOCTYPE html>\n<html>\n<head><title>Lua error</title>\n<style>body{font-family:sans-serif;margin:2em}\
          pre{background:#f4f4f4;padding:1em;overflow:auto}b{background:#fdd}</style></head>\n<body>\n<h1>Lua error</h1>\n<p>",
    );
    {
        let line = request.line.borrow();
        escape_html(&line.method_name, &mut out);
        out.push(b' ');
        // A subrequest has its own path, but no line of its own.
        escape_html(if request.is_main() { &line.raw_uri } else { &line.uri }, &mut out);
    }
    out.extend_from_slice(b", in <code>");
    escape_html(phase.as_bytes(), &mut out);
    out.extend_from_slice(b"</code></p>\n<pre>");
    escape_html(&error.message, &mut out);
    out.extend_from_slice(b"</pre>\n");
    if let Some(source) = place(&error.message).and_then(|place| around(request, &place)) {
        out.extend_from_slice(&source);
    }
    if !error.traceback.is_empty() {
        out.extend_from_slice(b"<h2>Traceback</h2>\n<pre>");
        escape_html(&error.traceback, &mut out);
        out.extend_from_slice(b"</pre>\n");
    }
    out.extend_from_slice(b"<p>This page is shown because of <code>lua_dev_errors on</code>.</p>\n</body>\n</html>\n");
    out
}

/// Where an error message says that it happened.
#[derive(Debug, PartialEq, Eq)]
struct SourcePosition {
    file: PathBuf,
    /// From 1.
    line: usize,
    in_configuration: bool,
}

/// Reads `/file.lua:3: text`, or `content_by_lua(nginx.conf:42):3: text`, whose first line is line 42.
fn place(message: &[u8]) -> Option<SourcePosition> {
    let text = String::from_utf8_lossy(message);
    let first = text.lines().next()?;
    let (chunk, rest) = match first.find("):") {
        Some(at) if first.get(..at)?.contains("_by_lua") => (first.get(..at)?, first.get(at + 2..)?),
        _ => {
            let at = first.match_indices(':').map(|(at, _)| at).find(|at| number(first.get(at + 1..).unwrap_or_default()).is_some())?;
            (first.get(..at)?, first.get(at + 1..)?)
        }
    };
    let line = number(rest)?;
    match chunk.split_once('(') {
        Some((_, inner)) => {
            let (file, start) = inner.rsplit_once(':')?;
            Some(SourcePosition { file: PathBuf::from(file), line: start.parse::<usize>().ok()? + line - 1, in_configuration: true })
        }
        None => Some(SourcePosition { file: PathBuf::from(chunk), line, in_configuration: false }),
    }
}

/// The number before the next colon.
fn number(text: &str) -> Option<usize> {
    text.split_once(':')?.0.parse().ok().filter(|line| *line > 0)
}

fn around(request: &Request, place: &SourcePosition) -> Option<Vec<u8>> {
    let paths = &request.http.paths;
    let file = if place.in_configuration { paths.conf_prefix.join(&place.file) } else { paths.prefix.join(&place.file) };
    if std::fs::metadata(&file).ok()?.len() > LARGEST {
        return None;
    }
    let text = std::fs::read(&file).ok()?;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.get(place.line - 1)?;
    let first = place.line.saturating_sub(AROUND + 1);
    let mut out = b"<h2>".to_vec();
    escape_html(file.as_os_str().as_encoded_bytes(), &mut out);
    out.extend_from_slice(b"</h2>\n<pre>");
    for (at, line) in lines.iter().enumerate().skip(first).take(place.line + AROUND - first) {
        let here = at + 1 == place.line;
        out.extend_from_slice(if here { b"<b>".as_slice() } else { b"" });
        out.extend_from_slice(format!("{:5}  ", at + 1).as_bytes());
        escape_html(line, &mut out);
        out.extend_from_slice(if here { b"</b>\n".as_slice() } else { b"\n" });
    }
    out.extend_from_slice(b"</pre>\n");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let of = |message: &str| place(message.as_bytes()).map(|p| (p.file.display().to_string(), p.line, p.in_configuration));
        assert_eq!(of("content_by_lua(nginx.conf:42):3: oops"), Some(("nginx.conf".into(), 44, true)));
        assert_eq!(of("/a/b.lua:7: attempt to index a nil value"), Some(("/a/b.lua".into(), 7, false)));
        assert_eq!(of("./lua/c.lua:1: x"), Some(("./lua/c.lua".into(), 1, false)));
        assert_eq!(of("/a:b/c.lua:9: x"), Some(("/a:b/c.lua".into(), 9, false)));
        for message in ["", "no place", "a:b: c", "content_by_lua(nginx.conf:42): x", "f.lua:0: x"] {
            assert_eq!(of(message), None, "{message}");
        }
    }
}
