//! Serialises a response head, in nginx's order of fields.

use crate::fields;
use crate::output::Output;
use base::{clock, text};
use engine::error_page::PRODUCT_VERSION;
use http::Request;
use http::core::{Core, ServerTokens};
use http::headers::push_clean;
use http::line::Version;
use http::method::Method;
use http::response::Response;
use std::cell::RefCell;

/// Most heads fit in this many bytes.
const USUAL_HEAD: usize = 512;

/// Decides the framing and appends the head to the connection's output. Answers whether the body goes in chunks.
pub(crate) fn write(output: &mut Output, request: &Request) -> bool {
    let response = request.response.borrow();
    request.with_location(|location| {
        let core = &location.core;
        let chunked = decide_framing(request, core, &response);
        let out = output.tail();
        let before = out.len();
        out.reserve(USUAL_HEAD);
        if is_usual(core, &response) {
            usual_start(out, &response);
        } else {
            status_line(out, &response);
            server_and_date(out, request, core, &response);
            content_type(out, &response);
        }
        general_fields(out, &response, chunked);
        connection_fields(out, request, core, &response, chunked);
        other_fields(out, &response);
        out.extend_from_slice(b"\r\n");
        output.appended(before);
        chunked
    })
}

/// Length, chunks, or the end of the connection: decided here and nowhere else. True: chunks.
fn decide_framing(request: &Request, core: &Core, response: &Response) -> bool {
    let unknown = response.content_length.is_none();
    // Behind the consent to CONNECT comes the tunnel (RFC 9110, 9.3.6).
    let consents = unknown && (200..300).contains(&response.status) && request.method() == Method::CONNECT;
    let bodiless = request.flags.header_only.get() || response.status == 101 || consents;
    let can = request.version() >= Version::Http11 && core.chunked_transfer_encoding.unwrap_or(true);
    if !bodiless && unknown && !can {
        request.flags.keepalive.set(false);
    }
    !bodiless && can && (unknown || request.flags.expects_trailers.get())
}

fn status_line(out: &mut Vec<u8>, response: &Response) {
    out.extend_from_slice(b"HTTP/1.1 ");
    if !response.status_line.is_empty() {
        push_clean(out, &response.status_line);
    } else {
        text::push_status(out, response.status);
        // The space stands also without a reason (RFC 9112 section 4).
        out.push(b' ');
        if let Some(reason) = wire::status::reason(response.status) {
            out.extend_from_slice(reason.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    push_clean(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Whether the response begins as most do.
fn is_usual(core: &Core, response: &Response) -> bool {
    let headers = &response.headers;
    response.status_line.is_empty()
        && !response.no_server
        && !response.no_date
        && matches!(core.server_tokens, None | Some(ServerTokens::On))
        && !headers.contains(b"Server")
        && !headers.contains(b"Date")
}

/// The beginning of the last usual answer of some kind: it serves for a whole second.
struct Start {
    second: i64,
    status: u16,
    content_type: Vec<u8>,
    parameters: Vec<u8>,
    text: Vec<u8>,
}

impl Start {
    const NOTHING: Start = Start { second: i64::MIN, status: 0, content_type: Vec::new(), parameters: Vec::new(), text: Vec::new() };

    fn serves(&self, second: i64, response: &Response) -> bool {
        self.second == second
            && self.status == response.status
            && self.content_type == response.content_type
            && is_concatenation(&self.parameters, response.content_type_parameters())
    }

    fn renew(&mut self, second: i64, response: &Response) {
        (self.second, self.status) = (second, response.status);
        self.content_type.clone_from(&response.content_type);
        self.parameters.clear();
        response.content_type_parameters().into_iter().for_each(|part| self.parameters.extend_from_slice(part));
        self.text.clear();
        status_line(&mut self.text, response);
        field(&mut self.text, b"Server", PRODUCT_VERSION.as_bytes());
        clock::with_http_date(|date| field(&mut self.text, b"Date", date.as_bytes()));
        content_type(&mut self.text, response);
    }
}

fn is_concatenation(whole: &[u8], [first, second]: [&[u8]; 2]) -> bool {
    whole.strip_prefix(first) == Some(second)
}

/// Status line, `Server`, `Date` and `Content-Type` of a usual answer.
fn usual_start(out: &mut Vec<u8>, response: &Response) {
    const KEPT: usize = 8;
    thread_local!(static STARTS: RefCell<[Start; KEPT]> = const { RefCell::new([Start::NOTHING; KEPT]) });
    let second = clock::now().sec;
    STARTS.with_borrow_mut(|starts| {
        // Most kinds that alternate differ in the length of their type or in their status.
        let place = (response.content_type.len() + usize::from(response.status)) % KEPT;
        let Some(start) = starts.get_mut(place) else { return };
        if !start.serves(second, response) {
            start.renew(second, response);
        }
        out.extend_from_slice(&start.text);
    });
}

/// The two fields that nearly all responses share.
fn server_and_date(out: &mut Vec<u8>, request: &Request, core: &Core, response: &Response) {
    fields::with_server(request, core, response, |server| field(out, b"Server", server));
    if fields::wants_date(response) {
        clock::with_http_date(|date| field(out, b"Date", date.as_bytes()));
    }
}

fn content_type(out: &mut Vec<u8>, response: &Response) {
    if fields::wants_content_type(response) {
        out.extend_from_slice(b"Content-Type: ");
        push_clean(out, &response.content_type);
        response.content_type_parameters().into_iter().for_each(|part| push_clean(out, part));
        out.extend_from_slice(b"\r\n");
    }
}

fn general_fields(out: &mut Vec<u8>, response: &Response, chunked: bool) {
    if let Some(length) = fields::content_length(response).filter(|_| !chunked) {
        out.extend_from_slice(b"Content-Length: ");
        text::push_number(out, length);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(time) = fields::last_modified(response) {
        out.extend_from_slice(b"Last-Modified: ");
        fields::with_date(time, |date| out.extend_from_slice(date));
        out.extend_from_slice(b"\r\n");
    }
    if let Some(target) = fields::own_location(response) {
        out.extend_from_slice(b"Location: ");
        out.extend_from_slice(target);
        out.extend_from_slice(b"\r\n");
    }
}

fn connection_fields(out: &mut Vec<u8>, request: &Request, core: &Core, response: &Response, chunked: bool) {
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if response.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if request.flags.keepalive.get() {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
        if let Some(seconds) = core.keepalive_header.filter(|seconds| *seconds > 0) {
            out.extend_from_slice(b"Keep-Alive: timeout=");
            text::push_number(out, seconds);
            out.extend_from_slice(b"\r\n");
        }
    } else {
        out.extend_from_slice(b"Connection: close\r\n");
    }
}

fn other_fields(out: &mut Vec<u8>, response: &Response) {
    let mut own_location = fields::own_location(response).is_some();
    for (name, line) in response.headers.lines() {
        if !fields::is_decided(name, &mut own_location) {
            out.extend_from_slice(line);
        }
    }
}
