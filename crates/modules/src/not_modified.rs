//! Conditional requests: 304 and 412 (RFC 9110 section 13; `if_modified_since`).

use http::core::IfModifiedSince;
use http::{Attach, Module, Outcome, Request, Step};
use std::rc::Rc;
use wire::date;

/// The module.
pub const MODULE: Module = Module { attach, ..Module::named("not_modified") };

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    at.header_filter(filter);
    Ok(())
}

enum Verdict {
    Send,
    NotModified,
    Failed,
}

fn filter(request: &Rc<Request>) -> Step {
    if request.response.borrow().status != 200 || !request.is_main() || request.flags.unconditional.get() {
        return Step::Now(Outcome::Ok);
    }
    match evaluate(request) {
        Verdict::Send => Step::Now(Outcome::Ok),
        Verdict::Failed => {
            // Nothing that was said of the answer holds for the one that takes its place.
            request.response.borrow_mut().clear();
            Step::Now(Outcome::Status(412))
        }
        Verdict::NotModified => {
            let mut response = request.response.borrow_mut();
            response.set_status(304);
            response.content_type.clear();
            response.clear_body_facts();
            response.headers.remove(b"Content-Encoding");
            Step::Now(Outcome::Ok)
        }
    }
}

fn evaluate(request: &Request) -> Verdict {
    let headers = request.headers.borrow();
    let response = request.response.borrow();
    let modified = response.last_modified;
    let tag = response.headers.get(b"ETag");
    if let Some(value) = headers.get(b"If-Unmodified-Since")
        && modified.is_none_or(|m| date::parse(value).is_none_or(|given| given < m))
    {
        return Verdict::Failed;
    }
    if let Some(value) = headers.get(b"If-Match")
        && !tag_listed(value, tag, false)
    {
        return Verdict::Failed;
    }
    let since = headers.get(b"If-Modified-Since");
    let none_match = headers.get(b"If-None-Match");
    if since.is_none() && none_match.is_none() {
        return Verdict::Send;
    }
    let mode = request.with_location(|l| l.core.if_modified_since).unwrap_or(IfModifiedSince::Exact);
    if since.is_some_and(|value| is_modified(value, modified, mode)) {
        return Verdict::Send;
    }
    if none_match.is_some_and(|value| !tag_listed(value, tag, true)) {
        return Verdict::Send;
    }
    Verdict::NotModified
}

fn is_modified(value: &[u8], modified: Option<i64>, mode: IfModifiedSince) -> bool {
    let Some(modified) = modified else { return true };
    if mode == IfModifiedSince::Off {
        return true;
    }
    match date::parse(value) {
        Some(given) => given != modified && (mode == IfModifiedSince::Exact || given < modified),
        None => true,
    }
}

/// Whether `list` is `*` or holds `tag`; with `weak` the `W/` marks do not count (RFC 9110 section 8.8.3.2).
fn tag_listed(list: &[u8], tag: Option<&[u8]>, weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(tag) = tag else { return false };
    let plain = |text: &'_ [u8]| -> usize { if weak && text.len() > 2 && text.starts_with(b"W/") { 2 } else { 0 } };
    let tag = tag.get(plain(tag)..).unwrap_or_default();
    let mut rest = list;
    while !rest.is_empty() {
        rest = rest.get(plain(rest)..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix(tag) {
            let after = after.trim_ascii_start();
            if after.is_empty() || after.starts_with(b",") {
                return true;
            }
        }
        let comma = memchr::memchr(b',', rest).unwrap_or(rest.len());
        rest = rest.get(comma..).unwrap_or_default();
        let skip = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b',')).count();
        rest = rest.get(skip..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let tag = Some(&b"\"a-1\""[..]);
        for (list, strong, weak) in [
            (&b"*"[..], true, true),
            (b"\"a-1\"", true, true),
            (b"W/\"a-1\"", false, true),
            (b"\"x\", \"a-1\" ,\"y\"", true, true),
            (b"\"x\",W/\"a-1\"", false, true),
            (b"\"a-12\"", false, false),
            (b"\"a-1\"x", false, false),
            (b"", false, false),
        ] {
            let name = String::from_utf8_lossy(list);
            assert_eq!(tag_listed(list, tag, false), strong, "{name}");
            assert_eq!(tag_listed(list, tag, true), weak, "{name}");
        }
        assert!(tag_listed(b"\"a\"", Some(b"W/\"a\""), true));
        assert!(!tag_listed(b"\"a\"", Some(b"W/\"a\""), false));
        assert!(!tag_listed(b"\"a\"", None, true));
    }

    #[test]
    fn times() {
        let date = &b"Sun, 06 Nov 1994 08:49:37 GMT"[..];
        let at = Some(784_111_777);
        assert!(!is_modified(date, at, IfModifiedSince::Exact));
        assert!(is_modified(date, at.map(|t| t - 1), IfModifiedSince::Exact));
        assert!(!is_modified(date, at.map(|t| t - 1), IfModifiedSince::Before));
        assert!(is_modified(date, at.map(|t| t + 1), IfModifiedSince::Before));
        assert!(is_modified(date, at, IfModifiedSince::Off));
        assert!(is_modified(b"never", at, IfModifiedSince::Before));
        assert!(is_modified(date, None, IfModifiedSince::Before));
    }
}
