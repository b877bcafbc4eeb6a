//! The variables that exist whatever modules are used (nginx manual, `ngx_http_core_module`, "Embedded Variables").
//!
//! One file per subject; which of them are evaluated anew for every use follows nginx's table.

mod connection;
pub(crate) mod request;
pub(crate) mod response;
mod stream;
mod tcp_info;
mod time;

use base::saturated::Saturated;
use http::{Module, Request, Variables};

/// The embedded variables. Wants no place in the order: it has no handlers.
pub const MODULE: Module = Module { variables: define, ..Module::named("variables") };

fn define(variables: &mut Variables) {
    request::define(variables);
    connection::define(variables);
    response::define(variables);
    tcp_info::define(variables);
    time::define(variables);
}

/// The embedded variables of `stream`.
pub const STREAM: ::stream::Module = ::stream::Module { variables: stream::define, ..::stream::Module::named("variables") };

/// Defines a variable of any protocol's sessions.
fn define_variable<S: session::Session>(variables: &mut session::Variables<S>, name: &str, flags: u8, get: fn(&S, &mut Vec<u8>) -> bool) {
    variables.define(name, flags, std::rc::Rc::new(get));
}

pub(crate) use request::cookie as cookie_value;
pub(crate) use time::host_name;

/// The client's request above `request`, which may be a subrequest.
fn root(request: &Request) -> &Request {
    let mut at = request;
    while let Some(parent) = &at.parent {
        at = parent;
    }
    at
}

/// Appends `text`; the value is found.
fn put(out: &mut Vec<u8>, text: &[u8]) -> bool {
    out.extend_from_slice(text);
    true
}

/// Appends milliseconds as seconds with three decimals.
fn put_seconds(out: &mut Vec<u8>, ms: u64) -> bool {
    base::text::push_number(out, ms / 1000);
    out.push(b'.');
    let rest = ms % 1000;
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        out.push(b'0' + u8::saturated(digit));
    }
    true
}

/// Appends a port; 0 stays empty.
fn put_port(out: &mut Vec<u8>, port: u16) -> bool {
    if port != 0 {
        base::text::push_number(out, u64::from(port));
    }
    true
}

/// Whether `header` is what a variable's name `wanted` means: dashes are underscores, case does not matter.
fn is_header(header: &[u8], wanted: &[u8]) -> bool {
    header.len() == wanted.len() && header.iter().zip(wanted).all(|(h, w)| if *h == b'-' { *w == b'_' } else { h.eq_ignore_ascii_case(w) })
}

/// Appends all values of the header that `wanted` names, joined. False: there is none.
fn put_headers(headers: &http::Headers, wanted: &[u8], out: &mut Vec<u8>) -> bool {
    let joint: &[u8] = if wanted == b"cookie" { b"; " } else { b", " };
    let mut found = false;
    for (_, value) in headers.iter().filter(|(name, _)| is_header(name, wanted)) {
        if found {
            out.extend_from_slice(joint);
        }
        out.extend_from_slice(value);
        found = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Headers;

    #[test]
    fn several_headers_are_joined() {
        let mut headers = Headers::default();
        headers.push(b"X-Forwarded-For", b"a");
        headers.push(b"x-forwarded-for", b"b");
        headers.push(b"Cookie", b"c=1");
        headers.push(b"Cookie", b"d=2");
        let mut out = Vec::new();
        assert!(put_headers(&headers, b"x_forwarded_for", &mut out));
        assert_eq!(out, b"a, b");
        out.clear();
        assert!(put_headers(&headers, b"cookie", &mut out));
        assert_eq!(out, b"c=1; d=2");
        assert!(!put_headers(&headers, b"host", &mut out));
    }

    #[test]
    fn seconds_have_three_decimals() {
        let mut out = Vec::new();
        put_seconds(&mut out, 61_007);
        assert_eq!(out, b"61.007");
    }
}
