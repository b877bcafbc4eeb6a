//! Variables of the response: status, sizes, header and trailer fields.

use super::{put, put_headers, root};
use base::text::{push_number, push_status};
use http::Request;
use http::Variables;
use http::line::Version;
use http::variables::{define as http_define, define_family};
use session::variable::NO_CACHE;

pub(super) fn define(variables: &mut Variables) {
    http_define(variables, "status", NO_CACHE, |request, out| {
        push_status(out, status(request));
        true
    });
    http_define(variables, "bytes_sent", 0, bytes_sent);
    http_define(variables, "body_bytes_sent", 0, body_bytes_sent);
    http_define(variables, "request_completion", 0, |request, out| {
        let main = root(request);
        let ended = main.flags.output_ended.get() || main.flags.header_sent.get() && main.is_bodiless();
        put(out, if ended && !main.flags.client_gone.get() { b"OK" } else { b"" })
    });
    sent_headers(variables);
    define_family(variables, "sent_http_", 0, |request, name, out| put_headers(&request.response.borrow().headers, name.as_bytes(), out));
    define_family(variables, "sent_trailer_", 0, |request, name, out| {
        put_headers(&request.response.borrow().trailers, name.as_bytes(), out)
    });
}

pub(crate) fn bytes_sent(request: &Request, out: &mut Vec<u8>) -> bool {
    push_number(out, root(request).bytes_sent.get());
    true
}

pub(crate) fn body_bytes_sent(request: &Request, out: &mut Vec<u8>) -> bool {
    let main = root(request);
    push_number(out, main.bytes_sent.get().saturating_sub(main.header_size.get()));
    true
}

/// Fields that the response keeps apart from its list, or that the front makes from its state.
fn sent_headers(variables: &mut Variables) {
    http_define(variables, "sent_http_content_type", 0, |request, out| {
        let response = request.response.borrow();
        if response.content_type.is_empty() {
            return put_headers(&response.headers, b"content_type", out);
        }
        response.push_content_type(out);
        true
    });
    http_define(variables, "sent_http_content_length", 0, |request, out| {
        if is_chunked(request) {
            return false;
        }
        let response = request.response.borrow();
        if put_headers(&response.headers, b"content_length", out) {
            return true;
        }
        response.content_length.is_some_and(|length| {
            push_number(out, length);
            true
        })
    });
    http_define(variables, "sent_http_last_modified", 0, |request, out| {
        let response = request.response.borrow();
        if put_headers(&response.headers, b"last_modified", out) {
            return true;
        }
        response.last_modified.is_some_and(|time| put(out, &wire::date::http(time)))
    });
    http_define(variables, "sent_http_connection", 0, |request, out| {
        let text: &[u8] = match (request.response.borrow().status, request.flags.keepalive.get()) {
            (101, _) => b"upgrade",
            (_, true) => b"keep-alive",
            (_, false) => b"close",
        };
        put(out, text)
    });
    http_define(variables, "sent_http_keep_alive", 0, |request, out| {
        let seconds = request.core().keepalive_header.unwrap_or(0);
        if !request.flags.keepalive.get() || seconds == 0 {
            return false;
        }
        out.extend_from_slice(b"timeout=");
        push_number(out, seconds);
        true
    });
    http_define(variables, "sent_http_transfer_encoding", 0, |request, out| is_chunked(request) && put(out, b"chunked"));
}

/// Whether the front frames the body in chunks: it does for a body of unknown length on HTTP/1.1 (RFC 9112 section 7.1).
fn is_chunked(request: &Request) -> bool {
    let unknown = {
        let response = request.response.borrow();
        request.flags.expects_trailers.get() || response.content_length.is_none() && !response.headers.contains(b"content-length")
    };
    unknown
        && request.flags.header_sent.get()
        && request.version() == Version::Http11
        && !request.is_bodiless()
        && request.core().chunked_transfer_encoding.unwrap_or(true)
}

fn status(request: &Request) -> u16 {
    match (request.error_status.get(), request.response.borrow().status) {
        (0, 0) if request.version() == Version::Http09 => 9,
        (0, status) => status,
        (error, _) => error,
    }
}
