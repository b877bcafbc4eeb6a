//! `rewrite`: a new URI, or a redirect, for requests whose URI matches.

use super::condition::matches;
use super::push_value;
use crate::compile::complex_of;
use base::log::Level;
use base::saturated::Saturated;
use conf::row::Cx;
use conf::tree::Error;
use http::program::{Flow, Program, State};
use http::{Complex, Outcome, Regex, Request, Variables, log_request};
use std::rc::Rc;

/// What follows after a match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The directives that follow.
    Go,
    /// A new search for a location.
    Last,
    /// The same location with the new URI.
    Break,
    /// A response with this status.
    Redirect(u16),
}

struct Rewrite {
    regex: Regex,
    pattern: Vec<u8>,
    /// The new path; with a redirect the whole target.
    path: Complex,
    /// New arguments, if the replacement has a `?` (not with a redirect).
    args: Option<Complex>,
    /// The replacement has a `?`.
    has_args: bool,
    /// The request's own arguments follow.
    keep_args: bool,
    next: Next,
}

/// Whether a replacement is a redirect by its look.
pub(super) fn is_url(text: &[u8]) -> bool {
    text.starts_with(b"http://") || text.starts_with(b"https://") || text.starts_with(b"$scheme")
}

pub(super) fn row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let pattern = cx.arg(0).to_vec();
    let replacement = cx.arg(1);
    if replacement.is_empty() {
        return Err(cx.error_at(1, "empty replacement"));
    }
    let regex = Regex::new(&pattern, false, &mut cx.global::<Variables>()).map_err(|message| cx.error_at(0, message))?;
    let (text, keep_args) = match replacement.strip_suffix(b"?") {
        Some(shorter) => (shorter, false),
        None => (replacement, true),
    };
    let mut next = if is_url(text) { Next::Redirect(302) } else { Next::Go };
    if cx.args().len() == 3 {
        next = match (cx.arg(2), next) {
            (b"redirect", _) => Next::Redirect(302),
            (b"permanent", _) => Next::Redirect(301),
            (b"last", Next::Go) => Next::Last,
            (b"break", Next::Go) => Next::Break,
            // A URL redirects whatever the flag says.
            (b"last" | b"break", redirect) => redirect,
            _ => return Err(cx.invalid_parameter(2)),
        };
    }
    let question = memchr::memchr(b'?', text);
    let is_redirect = matches!(next, Next::Redirect(_));
    let (path, args) = match question.filter(|_| !is_redirect).and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
        Some((path, args)) => (complex_of(cx, 1, path)?, Some(complex_of(cx, 1, args)?)),
        None => (complex_of(cx, 1, text)?, None),
    };
    let rewrite = Rewrite { regex, pattern, path, args, has_args: question.is_some(), keep_args, next };
    cx.location::<Program>().push(move |request, state| rewrite.run(request, state));
    Ok(())
}

impl Rewrite {
    fn run(&self, request: &Rc<Request>, state: &mut State) -> Flow {
        let uri = request.line.borrow().uri.clone();
        if !matches(request, &self.regex, &self.pattern, &uri, state.log) {
            return Flow::Next;
        }
        request.flags.internal.set(true);
        {
            let mut line = request.line.borrow_mut();
            line.raw_is_valid = false;
            line.location_is_valid &= self.next != Next::Break;
        }
        request.progress.uri_changed.set(self.next != Next::Break);
        state.quote = false;
        match self.next {
            Next::Redirect(status) => self.redirect(request, status, state.log),
            _ => self.replace(request, state.log),
        }
    }

    fn redirect(&self, request: &Request, status: u16, log: bool) -> Flow {
        let mut raw = Vec::new();
        push_value(&self.path, request, true, &mut raw);
        let mut target = Vec::with_capacity(raw.len());
        unescape_redirect(&raw, &mut target);
        {
            let line = request.line.borrow();
            if self.keep_args && !line.args.is_empty() {
                target.push(if self.has_args { b'&' } else { b'?' });
                target.extend_from_slice(&line.args);
            }
        }
        if log {
            log_request!(request, Level::Notice, "rewritten redirect: \"{}\"", String::from_utf8_lossy(&target));
        }
        request.response.borrow_mut().redirect_to(&target);
        Flow::End(Outcome::Status(status))
    }

    fn replace(&self, request: &Request, log: bool) -> Flow {
        let mut path = Vec::new();
        push_value(&self.path, request, false, &mut path);
        let args = self.args.as_ref().map(|args| {
            let mut out = Vec::new();
            push_value(args, request, true, &mut out);
            out
        });
        let mut line = request.line.borrow_mut();
        match args {
            Some(mut args) => {
                if self.keep_args && !line.args.is_empty() {
                    args.push(b'&');
                    args.extend_from_slice(&line.args);
                }
                line.set_args(&args);
            }
            None if !self.keep_args => line.args.clear(),
            None => {}
        }
        line.set_uri(&path);
        let shown = log.then(|| (String::from_utf8_lossy(&path).into_owned(), String::from_utf8_lossy(&line.args).into_owned()));
        drop(line);
        if let Some((path, args)) = shown {
            log_request!(request, Level::Notice, "rewritten data: \"{path}\", args: \"{args}\"");
        }
        if path.is_empty() {
            request.log(Level::Error, b"the rewritten URI has a zero length");
            return Flow::End(Outcome::Status(500));
        }
        match self.next {
            Next::Go => Flow::Next,
            _ => Flow::End(Outcome::Declined),
        }
    }
}

/// Decodes the escapes of printable bytes in a redirect's path; others, and everything behind a `?`, stay
/// (`NGX_UNESCAPE_REDIRECT`).
fn unescape_redirect(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'?' {
            out.extend_from_slice(rest);
            return;
        }
        if byte != b'%' {
            out.push(byte);
            rest = tail;
            continue;
        }
        let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
        rest = match (digit(0), digit(1)) {
            (Some(high), Some(low)) => {
                let letter_ends = tail.get(1).is_some_and(u8::is_ascii_alphabetic);
                match u8::saturated(high * 16 + low) {
                    b'?' if letter_ends => {
                        // nginx stops at an escaped question mark as at a bare one.
                        out.push(b'?');
                        out.extend_from_slice(tail.get(2..).unwrap_or_default());
                        return;
                    }
                    byte @ 0x26..=0x7e => out.push(byte),
                    _ => {
                        out.push(b'%');
                        out.extend_from_slice(tail.get(..2).unwrap_or_default());
                    }
                }
                tail.get(2..).unwrap_or_default()
            }
            // A `%` that introduces nothing disappears, with its one digit if it has one.
            (Some(_), None) => tail.get(2..).unwrap_or_default(),
            (None, _) => {
                out.extend(tail.first());
                tail.get(1..).unwrap_or_default()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_targets_are_decoded_up_to_the_arguments() {
        for (text, wanted) in [
            ("/a%41b", "/aAb"),
            ("/a%20b", "/a%20b"),
            ("/a%3fb%41", "/a?b%41"),
            ("/a?b=%41", "/a?b=%41"),
            ("/%zz", "/zz"),
            ("/100%", "/100"),
        ] {
            let mut out = Vec::new();
            unescape_redirect(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn urls_redirect() {
        assert!(is_url(b"https://x"));
        assert!(is_url(b"$scheme://x"));
        assert!(!is_url(b"/http://x"));
    }
}
