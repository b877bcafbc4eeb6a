//! Turns a stream's fields into a request.

use super::carrier::Carrier;
use super::stream::Stream;
use crate::request::{KnownRequest, Refusal, check_tls, enter_host, enter_valid_target, invalid_target};
use base::log::Level;
use engine::find;
use http::body::Body;
use http::core::ServerCore;
use http::line::Version;
use http::method::Method;
use http::root::Endpoint;
use http::{Request, log_request};
use std::rc::Rc;
use wire::h1::host;
use wire::h2::request::{NameClass, RequestHead, name_class};
use wire::hpack::Fields;
use wire::uri::shape;

/// What the handshake of a WebSocket asks for in HTTP/1 and not in later versions (RFC 8441, 5), so that handlers see what they know.
const HANDSHAKE: [(&[u8], &[u8]); 2] = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")];

/// Fills `request`, chooses its server, and says how its body comes. `again`: the head is that of the connection's last request.
///
/// # Errors
/// It cannot be served; already logged.
pub fn fill<C: Carrier>(stream: &Stream<C>, request: &Rc<Request>, head: &RequestHead, end: bool, again: bool) -> Result<(), Refusal> {
    let known = &mut *stream.conn.hub().known_request.borrow_mut();
    match known.as_ref().filter(|_| again) {
        Some(known) => known.enter(request),
        None => {
            *known = None;
            let constant = stream.conn.with_fields(|fields| read(stream, request, head, fields))?;
            // Only what has come twice is worth the memory.
            *known = (again && constant).then(|| KnownRequest::of(request));
        }
    }
    check_protocol(stream, request)?;
    if stream.conn.hub().listener.endpoint.tls {
        check_tls(request)?;
    }
    // What comes behind an extended CONNECT is no body.
    if !end && head.protocol.is_none() {
        request.body.replace(Rc::new(Body::on_wire(head.content_length)));
    }
    // What a response says of the connection has no meaning here; the connection decides by itself.
    request.flags.keepalive.set(true);
    Ok(())
}

/// Reads what the fields say. True: they say the same whenever they come on this connection.
fn read<C: Carrier>(stream: &Stream<C>, request: &Rc<Request>, head: &RequestHead, fields: &Fields) -> Result<bool, Refusal> {
    let endpoint = stream.conn.hub().listener.endpoint.clone();
    fill_line(request, head, fields, C::VERSION);
    let core = core_of_host(request, head, fields, &endpoint);
    let complete = fill_headers(request, head, fields, &core);
    if let Some(fault) = head.fault {
        request.action.set("reading client request headers");
        enter_known(request, head, fields, &endpoint);
        if request.log_enabled(Level::Info) {
            request.log(Level::Info, &fault.message(fields.bytes()));
        }
        stream.reset_after.set(C::MALFORMED);
        return Err(Refusal { status: fault.status() });
    }
    if head.protocol.is_some() {
        open_tunnel(stream, request);
    }
    fill_host(request, head, fields, &endpoint);
    let path = head.path.of(fields.bytes());
    let shape = shape::scan(path).map_err(|_| {
        log_request!(request, Level::Info, "client sent invalid :path header: \"{}\"", String::from_utf8_lossy(path));
        Refusal { status: 400 }
    })?;
    if !enter_valid_target(request, path, &shape) {
        // A target is one of the fields here.
        return Err(invalid_target(request, "reading client request headers"));
    }
    // Expressions among the names set captures.
    Ok(complete && head.protocol.is_none() && !endpoint.names.has_regex())
}

/// Enters host, server and target of a head that is refused, as far as they are right: error pages and logs are those of the server that
/// was asked for, and say what was asked.
fn enter_known(request: &Rc<Request>, head: &RequestHead, fields: &Fields, endpoint: &Endpoint) {
    if head.authority.is_some() || head.has_line() {
        fill_host(request, head, fields, endpoint);
    }
    let path = head.path.of(fields.bytes());
    if let Ok(shape) = shape::scan(path) {
        enter_valid_target(request, path, &shape);
    }
}

fn fill_line(request: &Request, head: &RequestHead, fields: &Fields, version: Version) {
    let bytes = fields.bytes();
    let mut line = request.line.borrow_mut();
    let (method, path) = (head.method.of(bytes), head.path.of(bytes));
    line.version = version;
    if head.has_line() {
        for part in [method, b" ", path, b" ", version.name().as_bytes()] {
            line.text.extend_from_slice(part);
        }
    }
    line.method = Method::from_name(method);
    line.method_name.extend_from_slice(method);
    line.raw_uri.extend_from_slice(path);
}

/// False: a field was dropped, with a word in the log.
fn fill_headers(request: &Request, head: &RequestHead, fields: &Fields, core: &ServerCore) -> bool {
    let (ignore, underscores) = (core.ignore_invalid_headers.unwrap_or(true), core.underscores_in_headers.unwrap_or(false));
    let bytes = fields.bytes();
    let mut headers = request.headers.borrow_mut();
    headers.load(bytes, 0, fields.list().len() + 2);
    let mut cookies: Vec<u8> = Vec::new();
    let mut dropped = Vec::new();
    for field in fields.list().iter().skip(head.pseudo) {
        let name = field.name.of(bytes);
        if ignore && name_class(name, underscores) == NameClass::Odd {
            dropped.push(field.name);
        } else if name == b"cookie" {
            // What was one line may come in crumbs (RFC 9113, 8.2.3).
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(field.value.of(bytes));
        } else {
            headers.push_span((field.name.start, field.name.end), (field.value.start, field.value.end));
        }
    }
    if !cookies.is_empty() {
        headers.push(b"cookie", &cookies);
    }
    if let Some(authority) = head.authority
        && !headers.contains(b"host")
    {
        headers.push(b"host", authority.of(bytes));
    }
    drop(headers);
    for name in &dropped {
        log_request!(request, Level::Info, "client sent invalid header: \"{}\"", String::from_utf8_lossy(name.of(bytes)));
    }
    dropped.is_empty()
}

fn fill_host(request: &Rc<Request>, head: &RequestHead, fields: &Fields, endpoint: &Endpoint) {
    if head.authority.is_some() {
        let (name, upper) = head.host;
        return enter_host(request, endpoint, name.of(fields.bytes()), upper);
    }
    let own = request.headers.borrow().get(b"host").unwrap_or_default().to_vec();
    match host::validate(&own) {
        Some(host) => enter_host(request, endpoint, host.name, host.upper),
        None => enter_host(request, endpoint, b"", false),
    }
}

/// The values of the server that the client asks for, which say what names of fields may be.
fn core_of_host(request: &Request, head: &RequestHead, fields: &Fields, endpoint: &Endpoint) -> Rc<ServerCore> {
    let listening = request.server();
    if !endpoint.limits_by_host {
        return listening.core.clone();
    }
    let bytes = fields.bytes();
    let own = || fields.list().iter().find(|field| field.name.of(bytes) == b"host").and_then(|field| host::validate(field.value.of(bytes)));
    let name = if head.authority.is_some() { Some(head.host.0.of(bytes)) } else { own().map(|host| host.name) };
    let server = name.and_then(|name| find::by_name(endpoint, &name.to_ascii_lowercase()));
    server.unwrap_or(listening).core.clone()
}

/// Whether the request's server speaks the protocol at all: another one's name led to this connection.
fn check_protocol<C: Carrier>(stream: &Stream<C>, request: &Request) -> Result<(), Refusal> {
    let server = request.server();
    if Rc::ptr_eq(&stream.conn.hub().listener.server, &server) || stream.conn.enabled_on(&server) {
        return Ok(());
    }
    log_request!(request, Level::Info, "client attempted to request the server name for which the negotiated protocol is disabled");
    Err(Refusal { status: 421 })
}

/// Makes an extended CONNECT what handlers of WebSockets expect.
fn open_tunnel<C: Carrier>(stream: &Stream<C>, request: &Request) {
    stream.extended.set(true);
    let mut line = request.line.borrow_mut();
    line.method = Method::GET;
    line.method_name.clear();
    line.method_name.extend_from_slice(b"GET");
    let mut headers = request.headers.borrow_mut();
    for (name, value) in HANDSHAKE {
        headers.push(name, value);
    }
    if !headers.contains(b"sec-websocket-key") {
        // Its response is not passed on, so any key of the right form will do.
        headers.push(b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA==");
    }
}
