//! Serialises a response head, in nginx's order of fields.

use super::connection::H1;
use base::{clock, text};
use engine::error_page::{PRODUCT, PRODUCT_VERSION};
use http::Request;
use http::core::{Core, ServerTokens};
use http::headers::push_clean;
use http::line::Version;
use http::response::Response;
use std::cell::RefCell;

/// Most heads fit in this many bytes.
const USUAL_HEAD: usize = 512;

/// Decides the framing and appends the head to the connection's output.
pub fn write(conn: &H1, request: &Request) {
    let response = request.response.borrow();
    request.with_location(|location| {
        let core = &location.core;
        decide_framing(conn, request, core, &response);
        let mut output = conn.output.borrow_mut();
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
        general_fields(out, &response, conn.chunked.get());
        connection_fields(out, conn, request, core, &response);
        other_fields(out, &response);
        out.extend_from_slice(b"\r\n");
        output.appended(before);
    });
}

/// Length, chunks, or the end of the connection: decided here and nowhere else.
fn decide_framing(conn: &H1, request: &Request, core: &Core, response: &Response) {
    let bodiless = request.flags.header_only.get() || response.status == 101;
    let unknown = response.content_length.is_none();
    let can = request.version() >= Version::Http11 && core.chunked_transfer_encoding.unwrap_or(true);
    conn.chunked.set(!bodiless && can && (unknown || request.flags.expects_trailers.get()));
    if !bodiless && unknown && !can {
        request.flags.keepalive.set(false);
    }
}

fn status_line(out: &mut Vec<u8>, response: &Response) {
    out.extend_from_slice(b"HTTP/1.1 ");
    if !response.status_line.is_empty() {
        push_clean(out, &response.status_line);
    } else {
        text::push_number(out, u64::from(response.status));
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

/// Formatting a date costs more than the rest of a head: the last ones are kept.
fn with_date(time: i64, f: impl FnOnce(&[u8])) {
    const KEPT: usize = 16;
    thread_local!(static DATES: RefCell<[(i64, [u8; 29]); KEPT]> = const { RefCell::new([(i64::MIN, [0; 29]); KEPT]) });
    DATES.with_borrow_mut(|dates| {
        let place = (time as u64 % KEPT as u64) as usize;
        let Some((kept, text)) = dates.get_mut(place) else { return };
        if *kept != time {
            *text = wire::date::http(time);
            *kept = time;
        }
        f(text);
    });
}

/// Whether the answer begins as most do.
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

/// The two fields that nearly all answers share.
fn server_and_date(out: &mut Vec<u8>, request: &Request, core: &Core, response: &Response) {
    let headers = &response.headers;
    if !response.no_server && !headers.contains(b"Server") {
        match &core.server_tokens {
            None | Some(ServerTokens::On | ServerTokens::Build) => field(out, b"Server", PRODUCT_VERSION.as_bytes()),
            Some(ServerTokens::Off) => field(out, b"Server", PRODUCT.as_bytes()),
            Some(ServerTokens::Custom(value)) => {
                let value = value.to_vec(request);
                if !value.is_empty() {
                    field(out, b"Server", &value);
                }
            }
        }
    }
    if !response.no_date && !headers.contains(b"Date") {
        clock::with_http_date(|date| field(out, b"Date", date.as_bytes()));
    }
}

fn content_type(out: &mut Vec<u8>, response: &Response) {
    if !response.content_type.is_empty() && response.status != 204 {
        out.extend_from_slice(b"Content-Type: ");
        push_clean(out, &response.content_type);
        response.content_type_parameters().into_iter().for_each(|part| push_clean(out, part));
        out.extend_from_slice(b"\r\n");
    }
}

fn general_fields(out: &mut Vec<u8>, response: &Response, chunked: bool) {
    if let Some(length) = response.content_length.filter(|_| !chunked && response.status != 204 && response.status != 304) {
        out.extend_from_slice(b"Content-Length: ");
        text::push_number(out, length);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(time) = response.last_modified
        && !response.headers.contains(b"Last-Modified")
    {
        out.extend_from_slice(b"Last-Modified: ");
        with_date(time, |date| out.extend_from_slice(date));
        out.extend_from_slice(b"\r\n");
    }
    if response.location_is_own
        && let Some(target) = response.headers.get(b"Location")
    {
        out.extend_from_slice(b"Location: ");
        out.extend_from_slice(target);
        out.extend_from_slice(b"\r\n");
    }
}

fn connection_fields(out: &mut Vec<u8>, conn: &H1, request: &Request, core: &Core, response: &Response) {
    if conn.chunked.get() {
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
    let mut own_location = response.location_is_own;
    for (name, line) in response.headers.lines() {
        // Written above, or decided by the framing.
        let known = match name.len() {
            // One that was added behind it is another's.
            8 => own_location && name.eq_ignore_ascii_case(b"Location") && std::mem::take(&mut own_location),
            10 => name.eq_ignore_ascii_case(b"Connection") || name.eq_ignore_ascii_case(b"Keep-Alive"),
            14 => name.eq_ignore_ascii_case(b"Content-Length"),
            17 => name.eq_ignore_ascii_case(b"Transfer-Encoding"),
            _ => false,
        };
        if !known {
            out.extend_from_slice(line);
        }
    }
}
