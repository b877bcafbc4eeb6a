//! Builds a request from what every protocol knows of it: host, target, connection.

use base::log::Level;
use engine::find;
use http::core::{KeepaliveDisable, default};
use http::headers::Headers;
use http::line::Line;
use http::method::Method;
use http::root::Endpoint;
use http::tls::ClientVerify;
use http::{Core, Request, Server, log_request};
use std::fmt;
use std::rc::Rc;
use wire::uri::normal;
use wire::uri::shape::Shape;

/// The status with which a request is refused before it has run.
#[derive(Debug)]
pub struct Refusal {
    /// Status to answer with.
    pub status: u16,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request is refused with status {}", self.status)
    }
}

impl std::error::Error for Refusal {}

/// What a head says where it arrived, whatever the protocol.
pub struct KnownRequest {
    line: Line,
    headers: Headers,
    server: Rc<Server>,
}

impl KnownRequest {
    /// Takes what was just put into `request`.
    pub fn of(request: &Request) -> KnownRequest {
        let (line, headers) = (request.line.borrow().clone(), request.headers.borrow().clone());
        KnownRequest { line, headers, server: request.server() }
    }

    /// Puts it into an empty request.
    pub fn enter(&self, request: &Request) {
        request.line.borrow_mut().copy_from(&self.line);
        request.headers.borrow_mut().copy_from(&self.headers);
        request.set_server(self.server.clone());
    }
}

/// Enters the host, without its port, and the server that it leads to. `upper`: it may hold capitals.
pub(crate) fn enter_host(request: &Rc<Request>, endpoint: &Endpoint, name: &[u8], upper: bool) {
    let mut host = std::mem::take(&mut request.line.borrow_mut().host);
    host.extend_from_slice(name);
    if upper {
        host.make_ascii_lowercase();
    }
    let server = find::server(endpoint, &host, request);
    request.line.borrow_mut().host = host;
    request.set_server(server);
}

/// Enters the target: `raw` as it came, whose form is `shape`. The server, which says how to normalise, is chosen before.
///
/// # Errors
/// The target leaves the root or has a bad escape; logged.
pub(crate) fn enter_target(request: &Request, raw: &[u8], shape: &Shape) -> Result<(), Refusal> {
    if enter_valid_target(request, raw, shape) { Ok(()) } else { Err(invalid_target(request, "reading client request line")) }
}

/// Logs a target that leaves the root or has a bad escape; `action`: what was being done.
pub(crate) fn invalid_target(request: &Request, action: &'static str) -> Refusal {
    request.action.set(action);
    log_request!(request, Level::Info, "client sent invalid request");
    Refusal { status: 400 }
}

/// As [`enter_target`], without a word about a target that is wrong: false, and nothing is entered.
pub(crate) fn enter_valid_target(request: &Request, raw: &[u8], shape: &Shape) -> bool {
    let merge = request.server().core.merge_slashes.unwrap_or(true);
    let mut line = request.line.borrow_mut();
    let mut path = std::mem::take(&mut line.uri);
    let Ok(parts) = normal::normalise(raw, shape, merge, &mut path) else { return false };
    if let Some(plain) = parts.plain {
        path.extend_from_slice(plain.of(raw));
    }
    line.uri = path;
    line.args.extend_from_slice(parts.args.of(raw));
    line.quoted = parts.quoted;
    line.plus = parts.plus;
    line.complex = parts.complex;
    true
}

/// What the connection's TLS, or its lack, says against a request whose server is known (`ngx_http_process_request`).
///
/// # Errors
/// It is refused; logged.
pub(crate) fn check_tls(request: &Request) -> Result<(), Refusal> {
    let (info, server) = (request.connection.tls_info(), request.server());
    // A client that named none of the servers may ask for the one that answered it.
    let judged = info.as_ref().filter(|info| info.is_named || !Rc::ptr_eq(&info.server, &server));
    let other = judged.and_then(|info| info.server_name.as_deref()).is_some_and(|name| {
        let bare = name.strip_suffix(b".").unwrap_or(name);
        !bare.eq_ignore_ascii_case(&request.line.borrow().host)
    });
    if other && server.tls.verify.get() != ClientVerify::Off {
        if let Some(info) = judged {
            request.set_server(info.server.clone());
        }
        log_request!(request, Level::Info, "client attempted to request the server name different from the one that was negotiated");
        return Err(Refusal { status: 421 });
    }
    match server.tls.refusal(info.as_deref()) {
        Some((status, message)) => {
            log_request!(request, Level::Info, "{message}");
            Err(Refusal { status })
        }
        None => Ok(()),
    }
}

/// The location's limits on keep-alive.
pub(crate) fn keepalive_allowed(request: &Request, core: &Core) -> bool {
    let requests = request.connection.requests.get();
    let age = base::clock::epoch_ms().saturating_sub(request.connection.started_ms);
    core.keepalive_timeout.unwrap_or(default::KEEPALIVE_TIMEOUT) > 0
        && requests < core.keepalive_requests.unwrap_or(default::KEEPALIVE_REQUESTS)
        && age <= core.keepalive_time.unwrap_or(default::KEEPALIVE_TIME)
        && !request.worker.exiting.get()
        && !disabled_for_browser(request, core.keepalive_disable.unwrap_or(KeepaliveDisable { msie6: true, safari: false }))
}

fn disabled_for_browser(request: &Request, disable: KeepaliveDisable) -> bool {
    if request.method() != Method::POST && !disable.safari {
        return false;
    }
    let headers = request.headers.borrow();
    let agent = headers.get(b"user-agent").unwrap_or_default();
    let has = |text: &[u8]| agent.windows(text.len()).any(|w| w == text);
    let msie6 = request.method() == Method::POST && [&b"MSIE 4."[..], b"MSIE 5.", b"MSIE 6."].iter().any(|m| has(m));
    (disable.msie6 && msie6 && !has(b"SV1")) || (disable.safari && has(b"Safari/") && has(b"Mac OS X") && !has(b"Chrome/"))
}
