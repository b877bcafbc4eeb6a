//! A response head as HTTP/2 and HTTP/3 encode it: lower-case names, no connection-specific fields (RFC 9113, 8.2; RFC 9114, 4.2).

use super::carrier::Carrier;
use super::draft::HeadBuilder;
use crate::fields;
use base::{clock, text};
use http::core::Core;
use http::headers::push_clean;
use http::response::Response;
use http::{Headers, Request};
use std::cell::RefCell;

// One buffer serves all heads of the worker.
thread_local!(static DRAFT: RefCell<HeadBuilder> = RefCell::default());

/// Writes the head of the response on stream `id`: how long it is, and whether the stream ends with it. `extended`: the request is an extended
/// CONNECT.
pub fn write<C: Carrier>(conn: &C, id: C::Id, own: &C::Own, extended: bool, request: &Request) -> (usize, bool) {
    let response = request.response.borrow();
    // The consent to an extended CONNECT is any 2xx (RFC 8441, 5); whoever makes the response speaks of an upgrade, as over HTTP/1.
    let consents = extended && response.status == 101;
    let status = if consents { 200 } else { response.status };
    let empty = response.content_length == Some(0) && !request.flags.expects_trailers.get();
    let end = !consents && (request.flags.header_only.get() || empty);
    let size = DRAFT.with_borrow_mut(|draft| {
        draft.0.clear();
        request.with_location(|location| fill(draft, request, &location.core, &response));
        conn.respond(id, own, status, &draft.0, end)
    });
    (size, end)
}

/// Writes an informational head.
pub fn write_interim<C: Carrier>(conn: &C, id: C::Id, own: &C::Own, status: u16, headers: &Headers) {
    DRAFT.with_borrow_mut(|draft| {
        draft.0.clear();
        headers.iter().for_each(|(name, value)| draft.field(name, value));
        conn.respond(id, own, status, &draft.0, false);
    });
}

fn fill(draft: &mut HeadBuilder, request: &Request, core: &Core, response: &Response) {
    fields::with_server(request, core, response, |server| draft.known("server", |out| push_clean(out, server)));
    if fields::wants_date(response) {
        clock::with_http_date(|date| draft.known("date", |out| out.extend_from_slice(date.as_bytes())));
    }
    if fields::wants_content_type(response) {
        draft.known("content-type", |out| {
            push_clean(out, &response.content_type);
            response.content_type_parameters().into_iter().for_each(|part| push_clean(out, part));
        });
    }
    if let Some(length) = fields::content_length(response) {
        draft.known("content-length", |out| text::push_number(out, length));
    }
    if let Some(time) = fields::last_modified(response) {
        fields::with_date(time, |date| draft.known("last-modified", |out| out.extend_from_slice(date)));
    }
    let own_location = fields::own_location(response);
    if let Some(target) = own_location {
        draft.known("location", |out| push_clean(out, target));
    }
    let mut own_location = own_location.is_some();
    for (name, value) in response.headers.iter() {
        if !fields::is_decided(name, &mut own_location) && !is_connections(name) {
            draft.field(name, value);
        }
    }
}

/// Fields that speak of an HTTP/1 connection (RFC 9113, 8.2.2), beside those that are decided anyway.
fn is_connections(name: &[u8]) -> bool {
    match name.len() {
        7 => name.eq_ignore_ascii_case(b"Upgrade"),
        16 => name.eq_ignore_ascii_case(b"Proxy-Connection"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_stays_there() {
        for (name, own) in [("Upgrade", true), ("proxy-connection", true), ("Upgraded", false), ("X", false)] {
            assert_eq!(is_connections(name.as_bytes()), own, "{name}");
        }
    }
}
