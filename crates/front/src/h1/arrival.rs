//! Turns a parsed head into a request.

use super::body::BodyFraming;
use crate::request::{KnownRequest, Refusal, enter_host, enter_target, enter_valid_target, invalid_target};
use base::log::Level;
use engine::find;
use http::body::Body;
use http::core::{ServerCore, default};
use http::line::Version;
use http::method::Method;
use http::root::Endpoint;
use http::{Request, log_request};
use std::cell::RefCell;
use std::rc::Rc;
use wire::h1::error::HeadError;
use wire::h1::framing::{self, Framed, Framing};
use wire::h1::host;
use wire::h1::method::Method as WireMethod;
use wire::h1::request::{Head, Limits};
use wire::known::Known;
use wire::uri::shape::Shape;

/// Limits of the server that listens, before a host is known.
pub fn limits(core: &ServerCore) -> Limits {
    let (number, size) = core.large_client_header_buffers.unwrap_or(default::LARGE_HEADER_BUFFERS);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Limits {
        first: narrow(core.client_header_buffer_size.unwrap_or(default::HEADER_BUFFER)),
        number: narrow(number),
        size: narrow(size),
        max_headers: narrow(core.max_headers.unwrap_or(default::MAX_HEADERS)),
        underscores: core.underscores_in_headers.unwrap_or(false),
        ignore_invalid: core.ignore_invalid_headers.unwrap_or(true),
        by_host: false,
    }
}

/// As nginx, which changes the server as soon as it has read the host: limits for the rest of a head whose beginning stands in `buffer`.
pub(crate) fn limits_of_host(head: &Head, buffer: &[u8], endpoint: &Endpoint) -> Limits {
    let host = head.asked_host().and_then(|span| host::validate(span.of(buffer)));
    let server = host.and_then(|host| find::by_name(endpoint, &host.name.to_ascii_lowercase()));
    limits(&server.as_ref().unwrap_or(&endpoint.default).core)
}

fn method(head: &Head, name: &[u8]) -> Method {
    match head.method {
        WireMethod::Get => Method::GET,
        WireMethod::Post => Method::POST,
        WireMethod::Head => Method::HEAD,
        _ => Method::from_name(name),
    }
}

/// What a head means where it arrived: all that [`fill`] puts into a request.
pub(crate) struct ParsedHead {
    request: KnownRequest,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

impl ParsedHead {
    /// Takes what [`fill`] has just put into `request`.
    pub(crate) fn of(request: &Request, framed: &Framed) -> ParsedHead {
        ParsedHead {
            request: KnownRequest::of(request),
            framing: framed.body,
            keep_alive: framed.keep_alive,
            expects_continue: framed.expects_continue,
        }
    }

    /// Fills an empty request, as [`fill`] does.
    pub(crate) fn enter(&self, body: &RefCell<BodyFraming>, request: &Request) {
        self.request.enter(request);
        fill_body(body, request, self.framing);
        request.flags.expects_continue.set(self.expects_continue);
        request.flags.keepalive.set(self.keep_alive);
    }
}

/// Whether a head that [`fill`] accepted means the same whenever it comes to this endpoint: no line of it was dropped
/// with a word in the log, and no expression among the server names has set captures.
pub(crate) fn is_constant(request: &Request, head: &Head, endpoint: &Endpoint) -> bool {
    !endpoint.names.has_regex() && request.headers.borrow().len() == head.headers.len()
}

/// Fills `request` from the head in `buffer`; chooses its server.
///
/// # Errors
/// The head contradicts itself or cannot be served; already logged.
pub fn fill(
    body: &RefCell<BodyFraming>,
    request: &Rc<Request>,
    head: &Head,
    buffer: &[u8],
    endpoint: &Endpoint,
) -> Result<Framed, Refusal> {
    fill_line(request, head, buffer);
    fill_headers(request, head, buffer);
    let refuse = |error: HeadError| {
        request.action.set(error.action());
        request.flags.lingers.set(error.lingers());
        if request.log_enabled(Level::Info) {
            request.log(Level::Info, &error.message(buffer));
        }
        Refusal { status: error.status() }
    };
    // Whether CONNECT may come says the server, which the host chooses.
    let framed = match framing::frame(head, buffer, true) {
        Ok(framed) => framed,
        Err(error) => {
            enter_known(request, head, buffer, endpoint);
            if error.action() == "reading client request line" {
                forget_fields(request);
            }
            forget_unread(request, head, error);
            return Err(refuse(error));
        }
    };
    let listening = request.server();
    enter_host(request, endpoint, framed.host.of(buffer), framed.host_upper);
    if head.method == WireMethod::Connect {
        enter_target(request, b"/", &Shape::default())?;
        if !request.server().core.takes_connect.unwrap_or(false) {
            return Err(refuse(HeadError::Connect));
        }
    } else if !enter_valid_target(request, head.target.of(buffer), &head.shape) {
        request.set_server(listening);
        request.line.borrow_mut().host.clear();
        forget_fields(request);
        return Err(invalid_target(request, "reading client request line"));
    }
    fill_body(body, request, framed.body);
    request.flags.expects_continue.set(framed.expects_continue);
    // What the location says of it is asked when the head of the response leaves.
    request.flags.keepalive.set(framed.keep_alive);
    Ok(framed)
}

/// nginx judges the request line before it has read the fields: what is wrong with it is answered and logged without them.
fn forget_fields(request: &Request) {
    request.headers.borrow_mut().clear();
}

/// nginx judges some lines as it reads them: those behind a line that it refuses are not known to logs.
fn forget_unread(request: &Request, head: &Head, error: HeadError) {
    let lines = &head.headers;
    let read = match error {
        HeadError::InvalidHost => lines.iter().position(|line| line.known == Known::Host).map(|place| place + 1),
        HeadError::DuplicateHost { this, .. } | HeadError::DuplicateHeader { this, .. } => lines.iter().position(|line| *line == this),
        _ => None,
    };
    let Some(read) = read else { return };
    let mut left = lines.iter().take(read).filter(|line| line.valid).count();
    request.headers.borrow_mut().retain(|_, _| left.checked_sub(1).inspect(|rest| left = *rest).is_some());
}

/// Enters host, server and target of a head that is refused, as far as they are right: error pages and logs are those of the server that
/// was asked for, and say what was asked.
fn enter_known(request: &Rc<Request>, head: &Head, buffer: &[u8], endpoint: &Endpoint) {
    if let Some(host) = head.asked_host().and_then(|span| host::validate(span.of(buffer))) {
        enter_host(request, endpoint, host.name, true);
    }
    match head.method {
        WireMethod::Connect => enter_valid_target(request, b"/", &Shape::default()),
        _ => enter_valid_target(request, head.target.of(buffer), &head.shape),
    };
}

/// Fills in what is known of a head that could not be parsed to its end.
pub(crate) fn fill_unparsed(request: &Rc<Request>, head: &Head, buffer: &[u8], endpoint: &Endpoint) {
    request.request_length.set(head.parsed_length() as u64);
    if head.has_line() {
        fill_line(request, head, buffer);
        fill_headers(request, head, buffer);
        enter_known(request, head, buffer, endpoint);
    } else {
        fill_unknown_line(request, head, buffer);
    }
}

/// For the log the line as it came, and whether a body may be sent.
fn fill_unknown_line(request: &Request, head: &Head, buffer: &[u8]) {
    let mut line = request.line.borrow_mut();
    let mut text = head.line.of(buffer);
    if text.is_empty() {
        let start = buffer.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(buffer.len());
        let raw = buffer.get(start..).unwrap_or_default();
        text = raw.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    }
    line.text.extend_from_slice(text);
    line.method_name.extend_from_slice(head.method_span.of(buffer));
    line.method = Method::from_name(text.split(|b| *b == b' ').next().unwrap_or_default());
    // Whose version is not known need not understand chunks.
    line.version = Version::Http10;
}

fn fill_line(request: &Request, head: &Head, buffer: &[u8]) {
    let mut line = request.line.borrow_mut();
    line.text.extend_from_slice(head.line.of(buffer));
    let name = head.method_span.of(buffer);
    line.method = method(head, name);
    line.method_name.extend_from_slice(name);
    line.raw_uri.extend_from_slice(head.target.of(buffer));
    line.version = match head.version.number() {
        0..=999 => Version::Http09,
        1000 => Version::Http10,
        _ => Version::Http11,
    };
}

fn fill_headers(request: &Request, head: &Head, buffer: &[u8]) {
    let mut headers = request.headers.borrow_mut();
    headers.load(buffer, head.line.start as usize, head.headers.len());
    for header in &head.headers {
        if header.valid {
            headers.push_span((header.name.start, header.name.end), (header.value.start, header.value.end));
        } else if request.log_enabled(Level::Info) {
            let name = String::from_utf8_lossy(header.name.of(buffer)).into_owned();
            let value = String::from_utf8_lossy(header.value.of(buffer)).into_owned();
            drop(headers);
            let before = request.action.replace("reading client request headers");
            log_request!(request, Level::Info, "client sent invalid header line: \"{name}: {value}\"");
            request.action.set(before);
            headers = request.headers.borrow_mut();
        }
    }
}

fn fill_body(body: &RefCell<BodyFraming>, request: &Request, framing: Framing) {
    let length = match framing {
        Framing::None => return,
        Framing::Length(n) => Some(n),
        Framing::Chunked => None,
    };
    request.body.replace(Rc::new(Body::on_wire(length)));
    body.replace(BodyFraming::new(framing));
}
