//! `$upstream_*`: recorded by the attempts of a request.

use crate::record::{Attempt, Record};
use base::text::{push_number, push_seconds};
use http::Request;
use http::Variables;
use http::variables::{define, define_family};
use session::variable::NO_CACHE;

/// Defines the variables that all protocols share.
pub fn define_all(variables: &mut Variables) {
    define(variables, "upstream_addr", NO_CACHE, |r, out| join_tries(r, out, |t, out| out.extend_from_slice(t.peer.as_bytes())));
    define(variables, "upstream_status", NO_CACHE, |r, out| {
        join_tries(r, out, |t, out| number_or_dash((t.status != 0).then_some(u64::from(t.status)), out))
    });
    define(variables, "upstream_connect_time", NO_CACHE, |r, out| join_tries(r, out, |t, out| seconds_or_dash(t.connect, out)));
    define(variables, "upstream_header_time", NO_CACHE, |r, out| join_tries(r, out, |t, out| seconds_or_dash(t.header, out)));
    define(variables, "upstream_response_time", NO_CACHE, |r, out| join_tries(r, out, |t, out| seconds_or_dash(t.response, out)));
    define(variables, "upstream_response_length", NO_CACHE, |r, out| join_tries(r, out, |t, out| push_number(out, t.length)));
    define(variables, "upstream_bytes_received", NO_CACHE, |r, out| join_tries(r, out, |t, out| push_number(out, t.received)));
    define(variables, "upstream_bytes_sent", NO_CACHE, |r, out| join_tries(r, out, |t, out| push_number(out, t.sent)));
    crate::caching::facts::define_all(variables);
    define_family(variables, "upstream_http_", NO_CACHE, header);
    define_family(variables, "upstream_trailer_", NO_CACHE, trailer);
    define_family(variables, "upstream_cookie_", NO_CACHE, cookie);
}

fn record(request: &Request) -> Option<std::rc::Rc<Record>> {
    request.find_lasting::<Record>()
}

/// One value per try: `, ` between tries, ` : ` where an internal redirect began another exchange.
fn join_tries(request: &Request, out: &mut Vec<u8>, push: impl Fn(&Attempt, &mut Vec<u8>)) -> bool {
    let Some(record) = record(request) else { return false };
    let tries = record.tries.borrow();
    for (i, one) in tries.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(if one.first { b" : " } else { b", " });
        }
        push(one, out);
    }
    !tries.is_empty()
}

fn number_or_dash(value: Option<u64>, out: &mut Vec<u8>) {
    match value {
        Some(value) => push_number(out, value),
        None => out.push(b'-'),
    }
}

fn seconds_or_dash(value: Option<u64>, out: &mut Vec<u8>) {
    match value {
        Some(value) => push_seconds(out, value),
        None => out.push(b'-'),
    }
}

/// Whether a header is the one that a variable's name means: `-` is `_` there, and case does not matter.
fn names(header: &[u8], variable: &str) -> bool {
    let same = |h: u8, v: u8| h.eq_ignore_ascii_case(&v) || (h == b'-' && v == b'_');
    header.len() == variable.len() && header.iter().zip(variable.bytes()).all(|(h, v)| same(*h, v))
}

fn header(request: &Request, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(record) = record(request) else { return false };
    let head = record.head.borrow();
    let mut found = false;
    for line in record.lines.borrow().iter().filter(|line| names(line.name.of(&head), name)) {
        if std::mem::replace(&mut found, true) {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(line.value.of(&head));
    }
    found || record.has_empty_fields.get() && matches!(name, "server" | "date")
}

fn trailer(request: &Request, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(record) = record(request) else { return false };
    let trailers = record.trailers.borrow();
    let mut found = false;
    for (_, value) in trailers.iter().filter(|(n, _)| names(n, name)) {
        if std::mem::replace(&mut found, true) {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value);
    }
    found
}

/// Without spaces at both ends; a tab is part of a cookie.
fn trim(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ") {
        text = rest;
    }
    while let Some(rest) = text.strip_suffix(b" ") {
        text = rest;
    }
    text
}

fn cookie(request: &Request, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(record) = record(request) else { return false };
    let head = record.head.borrow();
    let lines = record.lines.borrow();
    let cookies = lines.iter().filter(|l| l.name.of(&head).eq_ignore_ascii_case(b"set-cookie"));
    for value in cookies.map(|l| l.value.of(&head)) {
        let pair = value.split(|b| *b == b';').next().unwrap_or_default();
        let pair = trim(pair);
        if let Some(at) = memchr::memchr(b'=', pair)
            && pair.get(..at).is_some_and(|n| trim(n).eq_ignore_ascii_case(name.as_bytes()))
        {
            out.extend_from_slice(trim(pair.get(at + 1..).unwrap_or_default()));
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_names_a_header_by_underscores() {
        assert!(names(b"X-Foo", "x_foo") && names(b"x_foo", "x_foo"));
        assert!(!names(b"X-Foo", "x-fo") && !names(b"XFoo", "x_foo"));
    }
}
